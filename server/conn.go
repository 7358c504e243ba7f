package server

import (
	"context"
	"crypto/tls"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tristrand/tristrand/coro"
)

// A Conn is a connection as a [Handler] gets it: a net.Conn with lines and
// records, and with the server's time-outs. For UDP and Unix datagrams it is one
// datagram: Read, ReadLine and the like give what it holds and then [io.EOF], and
// each Write answers its sender with one datagram.
//
// One goroutine at a time may read, one may write, and any may close it. It holds
// no buffer while it waits for the client to send something.
type Conn struct {
	core *core
	conn net.Conn // what is read and written: the socket, or TLS over it
	sock net.Conn // the socket
	raw  syscall.RawConn

	id            uint64
	remote, local net.Addr
	since         int64 // unix nanoseconds
	strand        atomic.Pointer[string]
	pid           atomic.Int64    // of the worker process that has it
	coroutine     *coro.Coroutine // that serves it; nil: none does

	// Its neighbours in the list of the living, which core.mu guards.
	prev, next *Conn

	level   atomic.Int32 // how far the shutdown has come for it
	exited  bool         // the handler has not returned
	ended   bool         // the client has ended its sending side
	greeted bool         // its address is that of the PROXY header
	freed   bool         // its place, and that of its address, are another's; core.mu guards it
	err     error        // what the handler returned

	reading reading
	clock   clock

	readBytes, writtenBytes atomic.Uint64
}

// The levels of a shutdown, as a connection sees it.
const (
	levelOpen  = iota
	levelDrain // finish what you do
	levelStop  // ctx has ended, and reads fail
	levelCut   // closed
)

// init makes c of a socket.
func (c *Conn) init(k *core, sock net.Conn, remote, local net.Addr) {
	c.core, c.conn, c.sock = k, sock, sock
	c.remote, c.local = remote, local
	c.since = time.Now().UnixNano()
}

// RemoteAddr returns the client's address: that in the PROXY header if there
// was one.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// LocalAddr returns the address that the client connected to, as RemoteAddr.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// ID is unique among the connections of a server.
func (c *Conn) ID() uint64 { return c.id }

// Since returns when the connection was accepted.
func (c *Conn) Since() time.Time { return time.Unix(0, c.since) }

// NetConn returns the socket below: a *net.TCPConn or *net.UnixConn for the
// options that only those have, or, where a worker process serves, another
// net.Conn with SyscallConn and CloseWrite. What is read from it passes by the
// buffer of the Conn, and by TLS.
func (c *Conn) NetConn() net.Conn { return c.sock }

// TLS returns what was agreed on, nil without TLS.
func (c *Conn) TLS() *tls.ConnectionState {
	t, ok := c.conn.(*tls.Conn)
	if !ok {
		return nil
	}
	s := t.ConnectionState()
	return &s
}

// Draining reports whether the server is shutting down: a handler that could go
// on for long says goodbye now.
func (c *Conn) Draining() bool { return c.level.Load() >= levelDrain }

// Close closes the connection; the server does it when the handler returns.
func (c *Conn) Close() error { return c.conn.Close() }

// CloseWrite ends what the client reads; it can still send. Datagrams have no
// end: it does nothing for them.
func (c *Conn) CloseWrite() error {
	if w, ok := c.conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

// String names the client.
func (c *Conn) String() string { return addrString(c.remote) }

func addrString(a net.Addr) string {
	if a == nil {
		return "?"
	}
	if s := a.String(); s != "" {
		return s
	}
	return a.Network() // a client of a Unix socket seldom has a name
}

// view returns what is known of the connection. core.mu is held, under which a PROXY
// header changes the addresses.
func (c *Conn) view() ConnView {
	v := ConnView{
		ID: c.id, Remote: c.String(), Local: addrString(c.local), Since: c.Since(), PID: int(c.pid.Load()),
		ReadBytes: c.readBytes.Load(), WrittenBytes: c.writtenBytes.Load(),
	}
	if s := c.strand.Load(); s != nil {
		v.Strand = *s
	}
	return v
}

// raise tells the connection how far the shutdown has come and wakes its reader,
// which looks.
func (c *Conn) raise(level int32) {
	for {
		old := c.level.Load()
		if old >= level {
			return
		}
		if c.level.CompareAndSwap(old, level) {
			break
		}
	}
	switch level {
	case levelDrain:
		if c.core.conf.DrainIdle > 0 {
			_ = c.sock.SetReadDeadline(time.Now().Add(c.core.conf.DrainIdle))
		}
	case levelStop:
		_ = c.sock.SetReadDeadline(longAgo)
	case levelCut:
		_ = c.sock.Close()
	}
}

var longAgo = time.Unix(1, 0)

// run serves the connection to its end, on the strand that ctx names. An idle
// connection costs the stack of its handler: what lies below that here is kept
// small, since 2 KiB more are needed as soon as 1 KiB is used.
func (c *Conn) run(ctx context.Context) {
	defer c.over(ctx)
	c.exited = true
	k := c.core
	if k.greets {
		c.err = k.greet(c)
	}
	switch {
	case c.err != nil:
	case k.simple != nil:
		c.err = k.simple(ctx, c)
	default:
		c.err = handle(ctx, k.handler, c)
	}
	c.exited = false
}

// over ends the connection, also when its handler panicked or ended the goroutine.
func (c *Conn) over(ctx context.Context) {
	if v := recover(); v != nil {
		c.err = panicked(c, v)
	} else if c.exited {
		c.err = errGoexit(c)
		if c.coroutine != nil { // it is reported here, and once is enough
			c.coroutine.OnDone(func(co *coro.Coroutine) { _ = co.Err() })
		}
	}
	c.core.finished(ctx, c, c.err)
}
