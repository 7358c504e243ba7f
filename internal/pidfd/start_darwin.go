package pidfd

import "golang.org/x/sys/unix"

// startTime returns the start of a process in microseconds, 0 if the kernel
// does not tell.
func startTime(pid int) uint64 {
	p, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil {
		return 0
	}
	at := p.Proc.P_starttime
	return uint64(at.Sec)*1e6 + uint64(at.Usec) | byStart
}
