//go:build unix

package serve

import (
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tristrand/tristrand/server"
)

func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func signalGroup(p *os.Process, sig syscall.Signal) { _ = unix.Kill(-p.Pid, sig) }

// socketPair returns our end and the program's.
func socketPair() (*net.UnixConn, *os.File, error) {
	syscall.ForkLock.RLock() // so that no other program gets them
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(fds[0])
		unix.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	ours := os.NewFile(uintptr(fds[0]), "program")
	defer ours.Close()
	theirs := os.NewFile(uintptr(fds[1]), "program")
	c, err := net.FileConn(ours)
	if err != nil {
		_ = theirs.Close()
		return nil, nil, err
	}
	return c.(*net.UnixConn), theirs, nil //nolint:forcetypeassert // it is what we have made
}

// Bounds of waiting for a client that still sends when its program has ended.
const (
	unreadTime  = 500 * time.Millisecond
	unreadBytes = 1 << 20
)

// unread discards what the program has left unread: the kernel would answer the
// close with a reset, which can destroy what the program has written. The socket may
// block by now, since the program had it.
func unread(c *server.Conn) {
	s, ok := c.NetConn().(syscall.Conn)
	if !ok {
		return
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return
	}
	buf := make([]byte, 16<<10)
	end := time.Now().Add(unreadTime)
	for total, n := 0, 0; total < unreadBytes && time.Now().Before(end); total += n {
		if raw.Control(func(fd uintptr) {
			n, _, err = unix.Recvfrom(int(fd), buf, unix.MSG_DONTWAIT)
			if n > 0 && total == 0 {
				_ = unix.Shutdown(int(fd), unix.SHUT_WR)
			}
		}) != nil || n == 0 {
			return
		}
		if n < 0 {
			if total == 0 || err != unix.EAGAIN { //nolint:errorlint // from a system call
				return
			}
			n = 0
			time.Sleep(time.Millisecond)
		}
	}
}
