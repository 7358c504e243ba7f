package server

import (
	"context"
	"net"

	"golang.org/x/sys/unix"

	"github.com/tristrand/tristrand/strand"
)

// warm takes a connection of its own through what the worker's one is to go
// through, so that the pages of code and the tables that this needs are there
// before the client is. The handler is not called. It is no error if this fails.
func (w *worker) warm(ctx context.Context) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer func() { _ = unix.Close(fds[1]) }()
	addr := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}
	k := &core{conf: w.core.conf, handler: HandlerFunc(answerOnce)}
	k.conf.Proxy, k.conf.MaxPerAddr = nil, 0
	c := &Conn{}
	c.init(k.prepare(), newFDConn(fds[0], addr, addr), addr, addr)
	if k.add(c) != nil {
		return
	}
	_, _ = unix.Write(fds[1], []byte{0})
	k.start(ctx, c, strand.Worker)
	<-k.drained()
}

// answerOnce reads once and answers.
func answerOnce(_ context.Context, c *Conn) error {
	var buf [64]byte
	n, err := c.Read(buf[:])
	if err != nil {
		return err
	}
	_, err = c.Write(buf[:n])
	return err
}
