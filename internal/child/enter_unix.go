//go:build unix

package child

import (
	"os"

	"golang.org/x/sys/unix"
)

func parentPID() int { return os.Getppid() }

// inherit makes a file of a descriptor that came from the parent. Pipes, sockets
// and eventfds go to the poller; of terminals and files the mode is left as it
// is, since others share it.
func inherit(n uint64, name string) *os.File {
	fd := int(n)
	unix.CloseOnExec(fd)
	var st unix.Stat_t
	if unix.Fstat(fd, &st) == nil {
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFIFO, unix.S_IFSOCK, 0:
			_ = unix.SetNonblock(fd, true)
		}
	}
	return os.NewFile(uintptr(fd), name)
}

// inheritReport leaves the pipe blocking: the runtime writes to it when it crashes.
func inheritReport(n uint64) *os.File {
	unix.CloseOnExec(int(n))
	return os.NewFile(uintptr(n), "child report")
}
