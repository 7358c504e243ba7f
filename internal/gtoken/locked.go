package gtoken

import "sync/atomic"

// Locked reports whether the calling goroutine is locked to its operating system
// thread, by runtime.LockOSThread or because C code called it. It costs about
// 2 ns where the place of the mark in the goroutine's descriptor could be found,
// which the first call does by locking a goroutine of its own and looking; where
// it could not, the goroutine's stack trace is asked, for about 2 µs.
func Locked() bool {
	_, locked := State()
	return locked
}

// Free is Get, and a quick answer to whether the goroutine may be switched away from:
// false says that it is locked to its thread or that this is not known yet, and that
// Locked has to be asked. It is one call, so that it costs its caller no more.
func Free() (t Token, free bool) {
	t, w := getAnd(uintptr(quickAt.Load()))
	return t, w == 0
}

// quickAt is lockedAt where that is known, and otherwise the place of a word that is
// never zero: a descriptor begins with where the stack is.
var quickAt atomic.Uint32

// State is Get and Locked in one.
func State() (t Token, locked bool) {
	off := lockedAt.Load()
	if off > 0 {
		t, w := getAnd(uintptr(off))
		return t, w != 0
	}
	return Get(), lockedSlow(off)
}
