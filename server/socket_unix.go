//go:build unix

package server

import (
	"errors"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// sharePort lets several sockets listen on one port.
func sharePort(raw syscall.RawConn) error {
	var optErr error
	err := raw.Control(func(fd uintptr) {
		optErr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	})
	return errors.Join(err, os.NewSyscallError("setsockopt", optErr))
}

// setBacklog sets how many connections the kernel keeps for Accept.
func setBacklog(l net.Listener, n int) error {
	s, ok := l.(syscall.Conn)
	if !ok {
		return ErrUnsupported
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	var listenErr error
	err = raw.Control(func(fd uintptr) { listenErr = unix.Listen(int(fd), n) })
	return errors.Join(err, os.NewSyscallError("listen", listenErr))
}

func closeOnExec(fd int) { unix.CloseOnExec(fd) }

// passing reports whether an Accept failed because of one client.
func passing(err error) bool {
	return errors.Is(err, syscall.ECONNABORTED) || errors.Is(err, syscall.EPROTO) || errors.Is(err, syscall.EINTR) ||
		errors.Is(err, syscall.ECONNREFUSED) // of a datagram sent before, to one who was gone
}

// brokenSocket reports whether the socket is none that accepts.
func brokenSocket(err error) bool {
	return errors.Is(err, syscall.EBADF) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSOCK) ||
		errors.Is(err, syscall.EOPNOTSUPP)
}

func acceptHint(err error) string {
	switch {
	case errors.Is(err, syscall.EMFILE):
		return " (all descriptors of the process are in use: set MaxConns, or raise 'ulimit -n')"
	case errors.Is(err, syscall.ENFILE):
		return " (all descriptors of the machine are in use: raise fs.file-max)"
	}
	return ""
}
