package mpwire

import (
	"net"

	"golang.org/x/sys/unix"
)

// QuickAck returns a function that makes the next data from a TCP peer be
// acknowledged at once, nil for another kind of connection. Python's clients
// write in small pieces with Nagle's algorithm on, so that each connection
// costs them 40 ms when acknowledgements wait. It has to be called before every
// read, as the kernel forgets.
func QuickAck(c net.Conn) func() {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return nil
	}
	return func() {
		_ = raw.Control(func(fd uintptr) { // a closed connection is seen by the read
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1)
		})
	}
}
