package manager

import (
	"net"

	"golang.org/x/sys/unix"
)

// peerPID returns the process at the other end of a Unix socket, 0 if it is not
// known.
func peerPID(c net.Conn) int {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return 0
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0
	}
	pid := 0
	err = raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(cred.Pid)
		}
	})
	if err != nil {
		return 0
	}
	return pid
}

// life is a process's: a descriptor, so that another one of the same number is
// not taken for it.
type life struct{ fd int }

func watchLife(pid int) (life, bool) {
	fd, err := unix.PidfdOpen(pid, 0)
	return life{fd}, err == nil
}

// over reports whether the process has ended.
func (l life) over() bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(l.fd), Events: unix.POLLIN}}, 0)
	return err == nil && n > 0
}

func (l life) close() { _ = unix.Close(l.fd) } // nothing was written to it
