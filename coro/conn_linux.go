package coro

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// epollNow is epoll_wait without waiting: nothing for the scheduler to know of.
func epollNow(fd int, events []syscall.EpollEvent) (int, error) {
	n, _, e := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(fd), uintptr(unsafe.Pointer(&events[0])),
		uintptr(len(events)), 0, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(n), nil
}

// rawMost is up to how many bytes are moved without telling the scheduler, which
// cannot stop the thread meanwhile.
const rawMost = 64 << 10

func transfer(call uintptr, fd int, b []byte) (int, error) {
	for {
		var n uintptr
		var e syscall.Errno
		if len(b) <= rawMost {
			n, _, e = syscall.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		} else {
			n, _, e = syscall.Syscall(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		}
		switch e {
		case 0:
			return int(n), nil
		case syscall.EINTR:
		default:
			return 0, e
		}
	}
}

// A conn is a stream that hands the hub over.
type conn struct {
	d             *desc
	local, remote net.Addr
}

var (
	_ net.Conn     = (*conn)(nil)
	_ net.Listener = (*listener)(nil)
)

// Read reads up to len(b) bytes, waiting for the first.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.read(b)
	if err != nil {
		return n, opError("read", c.local, c.remote, err)
	}
	if st := c.d.p.h.on(); st != nil {
		c.d.p.h.fairly(st)
	}
	return n, nil
}

func (c *conn) read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	d := c.d
	for {
		seq, err := d.begin(&d.r, "the input")
		if err != nil {
			return 0, err
		}
		n, err := transfer(syscall.SYS_READ, d.fd, b)
		again := errors.Is(err, syscall.EAGAIN)
		d.end(&d.r, seq, leftBy(again, err == nil && n < len(b) && d.stream))
		switch {
		case again:
		case err != nil:
			return 0, os.NewSyscallError("read", err)
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// Write writes all of b, waiting for room as often as need be. Of several at a
// time one is done after another.
func (c *conn) Write(b []byte) (int, error) {
	n, err := c.write(b)
	if err != nil {
		return n, opError("write", c.local, c.remote, err)
	}
	if st := c.d.p.h.on(); st != nil {
		c.d.p.h.fairly(st)
	}
	return n, nil
}

func (c *conn) write(b []byte) (done int, err error) {
	d := c.d
	if err := d.own(); err != nil {
		return 0, err
	}
	defer d.disown()
	for {
		seq, err := d.begin(&d.w, "room for output")
		if err != nil {
			return done, err
		}
		n, err := transfer(syscall.SYS_WRITE, d.fd, b[done:])
		again := errors.Is(err, syscall.EAGAIN)
		if err == nil {
			done += n
		}
		d.end(&d.w, seq, leftBy(again || err == nil && done < len(b), false))
		switch {
		case again:
		case err != nil:
			return done, os.NewSyscallError("write", err)
		case done == len(b):
			return done, nil
		}
	}
}

// own makes the caller the one that writes.
func (d *desc) own() error {
	d.mu.Lock()
	for d.w.busy && !d.closed {
		if err := d.await(&d.w, "another Write"); err != nil {
			return err
		}
	}
	defer d.mu.Unlock()
	if d.closed {
		return errClosed
	}
	d.w.busy = true
	return nil
}

func (d *desc) disown() {
	d.mu.Lock()
	d.w.busy = false
	waits := d.w.takeWaits()
	d.mu.Unlock()
	for _, w := range waits {
		w.Grant()
	}
}

// Close closes it. Calls under way return net.ErrClosed.
func (c *conn) Close() error { return opError("close", c.local, c.remote, c.d.close()) }

// CloseWrite tells the peer that no more will come.
func (c *conn) CloseWrite() error { return c.shutdown(syscall.SHUT_WR) }

// CloseRead refuses what the peer still sends.
func (c *conn) CloseRead() error { return c.shutdown(syscall.SHUT_RD) }

func (c *conn) shutdown(how int) error {
	d := c.d
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return opError("close", c.local, c.remote, errClosed)
	}
	err := os.NewSyscallError("shutdown", syscall.Shutdown(d.fd, how))
	d.mu.Unlock()
	return opError("close", c.local, c.remote, err)
}

func (c *conn) LocalAddr() net.Addr  { return c.local }
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets both deadlines; zero is none. Calls under way are told.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *conn) SetReadDeadline(t time.Time) error {
	return opError("set", c.local, c.remote, c.d.setLimit(&c.d.r, t))
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	return opError("set", c.local, c.remote, c.d.setLimit(&c.d.w, t))
}

// SyscallConn gives access to the descriptor for socket options. Its Read and
// Write call f once for each time that the conn is ready, as those of package net.
func (c *conn) SyscallConn() (syscall.RawConn, error) { return rawConn{c}, nil }

type rawConn struct{ c *conn }

func (r rawConn) Control(f func(fd uintptr)) error {
	d := r.c.d
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return errClosed
	}
	d.uses++
	d.mu.Unlock()
	f(uintptr(d.fd))
	d.end(&d.r, 0, unknown)
	return nil
}

func (r rawConn) Read(f func(fd uintptr) bool) error  { return r.until(&r.c.d.r, f) }
func (r rawConn) Write(f func(fd uintptr) bool) error { return r.until(&r.c.d.w, f) }

func (r rawConn) until(s *side, f func(fd uintptr) bool) error {
	for {
		seq, err := r.c.d.begin(s, "the descriptor")
		if err != nil {
			return err
		}
		done := f(uintptr(r.c.d.fd))
		r.c.d.end(s, seq, leftBy(!done, false))
		if done {
			return nil
		}
	}
}

// A listener accepts conns of the hub.
type listener struct {
	d    *desc
	addr net.Addr
	once sync.Once
	path string // of a unix socket, to be removed
}

// Accept waits for a conn.
func (l *listener) Accept() (net.Conn, error) {
	d := l.d
	for {
		seq, err := d.begin(&d.r, "a connection")
		if err != nil {
			return nil, opError("accept", l.addr, nil, err)
		}
		fd, sa, err := syscall.Accept4(d.fd, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
		ended := d.end(&d.r, seq, leftBy(false, errors.Is(err, syscall.EAGAIN)))
		switch {
		case err == nil:
			c, err := d.p.accepted(fd, sa, l.addr)
			if err != nil {
				return nil, opError("accept", l.addr, nil, err)
			}
			if st := d.p.h.on(); st != nil {
				d.p.h.fairly(st)
			}
			return c, nil
		case ended && errors.Is(err, syscall.EAGAIN):
			// A Unix socket that was shut down, by whoever else has it, says so only
			// to those who block in accept.
			return nil, opError("accept", l.addr, nil, os.NewSyscallError("accept4", syscall.EINVAL))
		case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR), errors.Is(err, syscall.ECONNABORTED):
		default:
			return nil, opError("accept", l.addr, nil, os.NewSyscallError("accept4", err))
		}
	}
}

func (p *poller) accepted(fd int, sa syscall.Sockaddr, at net.Addr) (net.Conn, error) {
	c := &conn{remote: addrOf(sa), local: at}
	if _, tcp := at.(*net.TCPAddr); tcp {
		if err := tune(fd); err != nil {
			_ = syscall.Close(fd)
			return nil, err
		}
		if own, err := syscall.Getsockname(fd); err == nil {
			c.local = addrOf(own)
		}
	}
	var err error
	_, tcp := at.(*net.TCPAddr)
	c.d, err = p.add(fd, tcp)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// tune sets the options that package net sets.
func tune(fd int) error {
	for _, o := range [][3]int{
		{syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1},
		{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
		{syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, 15},
		{syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, 15},
	} {
		if err := syscall.SetsockoptInt(fd, o[0], o[1], o[2]); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	return nil
}

func addrOf(sa syscall.Sockaddr) net.Addr {
	switch a := sa.(type) {
	case *syscall.SockaddrInet4:
		return &net.TCPAddr{IP: a.Addr[:], Port: a.Port}
	case *syscall.SockaddrInet6:
		zone := ""
		if a.ZoneId != 0 {
			if i, err := net.InterfaceByIndex(int(a.ZoneId)); err == nil {
				zone = i.Name
			}
		}
		return &net.TCPAddr{IP: a.Addr[:], Port: a.Port, Zone: zone}
	case *syscall.SockaddrUnix:
		return &net.UnixAddr{Name: a.Name, Net: "unix"}
	default:
		return &net.UnixAddr{Net: "unix"}
	}
}

// Close stops listening. An Accept under way returns net.ErrClosed.
func (l *listener) Close() error {
	err := l.d.close()
	if err == nil && l.path != "" {
		l.once.Do(func() { _ = os.Remove(l.path) })
	}
	return opError("close", l.addr, nil, err)
}

func (l *listener) Addr() net.Addr { return l.addr }

// SetDeadline bounds Accept.
func (l *listener) SetDeadline(t time.Time) error {
	return opError("set", l.addr, nil, l.d.setLimit(&l.d.r, t))
}

// take returns a descriptor of what c stands on, and closes c.
func take(c interface {
	io.Closer
	syscall.Conn
},
) (int, error) {
	fd, err := duplicate(c)
	if cerr := c.Close(); err == nil && cerr != nil {
		_ = syscall.Close(fd)
		err = cerr
	}
	return fd, err
}

// duplicate returns another descriptor of what c stands on.
func duplicate(c syscall.Conn) (int, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	fd := -1
	var e syscall.Errno
	err = raw.Control(func(old uintptr) {
		var n uintptr
		if n, _, e = syscall.Syscall(syscall.SYS_FCNTL, old, syscall.F_DUPFD_CLOEXEC, 0); e == 0 {
			fd = int(n)
		}
	})
	runtime.KeepAlive(c)
	if err == nil && e != 0 {
		err = os.NewSyscallError("fcntl", e)
	}
	if err != nil {
		return 0, err
	}
	if err := syscall.SetNonblock(fd, true); err != nil {
		_ = syscall.Close(fd)
		return 0, os.NewSyscallError("fcntl", err)
	}
	return fd, nil
}

// listener makes l one of the hub's.
func (h *Hub) listener(l net.Listener) (net.Listener, error) {
	p, err := h.polls()
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	own := &listener{addr: l.Addr()}
	var fd int
	switch l := l.(type) {
	case *net.TCPListener:
		fd, err = take(l)
	case *net.UnixListener:
		l.SetUnlinkOnClose(false)
		own.path = l.Addr().String()
		fd, err = take(l)
	}
	if err != nil {
		return nil, err
	}
	if own.d, err = p.add(fd, false); err != nil {
		return nil, err
	}
	return own, nil
}

// share makes of l, which is not closed, one more that is the hub's. A conn wakes
// every hub that waits for one; those that come too late wait again.
func (h *Hub) share(l net.Listener) (net.Listener, error) {
	p, err := h.polls()
	if err != nil {
		return nil, err
	}
	raw, ok := l.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("coro: %T has no descriptor", l)
	}
	fd, err := duplicate(raw)
	if err != nil {
		return nil, err
	}
	d, err := p.add(fd, false)
	if err != nil {
		return nil, err
	}
	return &listener{d: d, addr: l.Addr()}, nil
}

// conn makes c one of the hub's.
func (h *Hub) conn(c net.Conn) (net.Conn, error) {
	p, err := h.polls()
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	own := &conn{local: c.LocalAddr(), remote: c.RemoteAddr()}
	var fd int
	tcp := false
	switch c := c.(type) {
	case *net.TCPConn:
		tcp = true
		fd, err = take(c)
	case *net.UnixConn:
		fd, err = take(c)
	}
	if err != nil {
		return nil, err
	}
	if own.d, err = p.add(fd, tcp); err != nil {
		return nil, err
	}
	return own, nil
}
