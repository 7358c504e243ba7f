package server

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tune sets the options that package net sets on TCP connections, on one, or on a
// listening socket, from which they are inherited.
func tune(fd int, k net.KeepAliveConfig) {
	seconds := func(d, otherwise time.Duration) int {
		if d == 0 {
			d = otherwise
		}
		return int((d + time.Second - 1) / time.Second)
	}
	count := k.Count
	if count == 0 {
		count = 9
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if !k.Enable && k != (net.KeepAliveConfig{}) {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 0)
		return
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, seconds(k.Idle, 15*time.Second))
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, seconds(k.Interval, 15*time.Second))
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPCNT, count)
}

// tuneListener is tune for a socket that will listen: what comes before somebody
// accepts has the options, too, then.
func tuneListener(raw syscall.RawConn, k net.KeepAliveConfig) {
	_ = raw.Control(func(fd uintptr) { tune(int(fd), k) })
}

// tuneConn is tune for a connection that a hub has accepted, which has the usual
// options already.
func tuneConn(c net.Conn, k net.KeepAliveConfig) {
	s, ok := c.(syscall.Conn)
	if _, tcp := c.LocalAddr().(*net.TCPAddr); !ok || !tcp || k == (net.KeepAliveConfig{}) {
		return
	}
	if raw, err := s.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { tune(int(fd), k) })
	}
}
