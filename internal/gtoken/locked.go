package gtoken

// Locked reports whether the calling goroutine is locked to its operating system
// thread, by runtime.LockOSThread or because C code called it. It costs about
// 2 ns where the place of the mark in the goroutine's descriptor could be found,
// which the first call does by locking a goroutine of its own and looking; where
// it could not, the goroutine's stack trace is asked, for about 2 µs.
func Locked() bool {
	_, locked := State()
	return locked
}

// State is Get and Locked in one.
func State() (t Token, locked bool) {
	off := lockedAt.Load()
	if off > 0 {
		t, w := getAnd(uintptr(off))
		return t, w != 0
	}
	return Get(), lockedSlow(off)
}
