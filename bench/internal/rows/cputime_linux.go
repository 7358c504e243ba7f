package rows

import (
	"syscall"
	"time"
	"unsafe"
)

// cpuTime returns the processor time of a process, by its clock: the ticks of
// /proc are too coarse.
func cpuTime(pid int) (time.Duration, error) {
	clock := ^uintptr(pid)<<3 | 2 // CPUCLOCK_SCHED of the whole process
	var ts syscall.Timespec
	if _, _, e := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, uintptr(int32(clock)), uintptr(unsafe.Pointer(&ts)), 0); e != 0 {
		return 0, e
	}
	return time.Duration(ts.Nano()), nil
}
