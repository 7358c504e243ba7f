package futex

import (
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Supported says whether this system has futexes.
const Supported = true

const (
	opWait = 0
	opWake = 1
)

// Wait sleeps while *addr is val, until it is woken, d has passed, or a signal
// comes; d ≤ 0 is for ever. Whoever calls it looks at the word again: it says
// nothing about why it returned.
func Wait(addr *uint32, val uint32, d time.Duration) {
	var ts *unix.Timespec
	if d > 0 {
		t := unix.NsecToTimespec(int64(d))
		ts = &t
	}
	_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(addr)), opWait, uintptr(val),
		uintptr(unsafe.Pointer(ts)), 0, 0)
	runtime.KeepAlive(ts)
}

// Wake wakes at most n of those who sleep on addr and returns how many.
func Wake(addr *uint32, n int) int {
	woken, _, errno := unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(addr)), opWake, uintptr(n), 0, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(woken)
}
