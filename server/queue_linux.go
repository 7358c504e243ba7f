package server

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// closeQueue lets no more clients into the kernel's queue of a socket, so that it
// can be emptied, and reports whether it could: by a filter that drops SYN packets,
// whose clients try again a second later and find the next server, or nobody. A
// kernel without filters, and Unix sockets, get the next best, a queue of one place.
// (A shutdown of a Unix socket would make it ready for ever, with nobody to accept.)
func closeQueue(l net.Listener) bool {
	err := error(unix.ENOTSUP)
	control(l, func(fd int) {
		if l.Addr().Network() != "unix" {
			err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{
				Len: uint16(len(dropSYN)), Filter: &dropSYN[0],
			})
		}
		if err != nil {
			_ = unix.Listen(fd, 0)
		}
	})
	return err == nil
}

// dropSYN is a filter of packets, which it sees from the TCP header on: those with
// SYN are dropped, the rest is taken, so that handshakes under way come to their end.
var dropSYN = []unix.SockFilter{
	{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 13}, // the flags
	{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: 0x02, Jt: 0, Jf: 1},
	{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	{Code: unix.BPF_RET | unix.BPF_K, K: 0xffffffff},
}

// queueEmpty reports whether nobody is in the kernel's queue.
func queueEmpty(l net.Listener) bool {
	n := -1
	control(l, func(fd int) {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}} //nolint:gosec // a descriptor fits
		n, _ = unix.Poll(p, 0)
	})
	return n == 0
}

// control calls f with the descriptor of a listener, if it has one.
func control(l net.Listener, f func(fd int)) {
	s, ok := l.(syscall.Conn)
	if !ok {
		return
	}
	if raw, err := s.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { f(int(fd)) })
	}
}
