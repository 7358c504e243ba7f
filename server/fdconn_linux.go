package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A fdConn is a stream socket that came as a descriptor, as a net.Conn. Unlike
// net.FileConn it neither duplicates the descriptor nor asks the kernel for what is
// known.
type fdConn struct {
	*os.File
	remote, local net.Addr
}

// newFDConn takes fd over, which must not block.
func newFDConn(fd int, remote, local net.Addr) *fdConn {
	return &fdConn{os.NewFile(uintptr(fd), "connection"), remote, local}
}

func (c *fdConn) LocalAddr() net.Addr  { return c.local }
func (c *fdConn) RemoteAddr() net.Addr { return c.remote }

// fault makes the error of a file one of a connection.
func (c *fdConn) fault(op string, err error) error {
	var p *os.PathError
	if !errors.As(err, &p) {
		return err
	}
	if errors.Is(p.Err, os.ErrClosed) {
		p.Err = net.ErrClosed
	}
	return &net.OpError{Op: op, Net: c.remote.Network(), Source: c.local, Addr: c.remote, Err: p.Err}
}

func (c *fdConn) Read(p []byte) (int, error) {
	n, err := c.File.Read(p)
	if err != nil {
		err = c.fault("read", err)
	}
	return n, err
}

func (c *fdConn) Write(p []byte) (int, error) {
	n, err := c.File.Write(p)
	if err != nil {
		err = c.fault("write", err)
	}
	return n, err
}

// CloseWrite ends what the peer reads.
func (c *fdConn) CloseWrite() error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var shutErr error
	err = raw.Control(func(fd uintptr) { shutErr = unix.Shutdown(int(fd), unix.SHUT_WR) })
	return errors.Join(err, os.NewSyscallError("shutdown", shutErr))
}

// A handed is a socket that was accepted to be handed over: a descriptor, which
// the runtime does not poll.
type handed struct {
	mu            sync.Mutex
	fd            int // -1: closed
	remote, local net.Addr
}

func (h *handed) RemoteAddr() net.Addr             { return h.remote }
func (h *handed) LocalAddr() net.Addr              { return h.local }
func (h *handed) Read([]byte) (int, error)         { return 0, ErrUnsupported }
func (h *handed) SetDeadline(time.Time) error      { return nil }
func (h *handed) SetReadDeadline(time.Time) error  { return nil }
func (h *handed) SetWriteDeadline(time.Time) error { return nil }

// Write does not wait: it is for a Refusal.
func (h *handed) Write(p []byte) (n int, err error) {
	err = h.lend(func(fd int) error {
		n, err = unix.Write(fd, p)
		return err
	})
	return n, err
}

// lend calls f with the descriptor.
func (h *handed) lend(f func(fd int) error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fd < 0 {
		return net.ErrClosed
	}
	return f(h.fd)
}

func (h *handed) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fd < 0 {
		return net.ErrClosed
	}
	err := unix.Close(h.fd)
	h.fd = -1
	return err
}

// A rawListener accepts descriptors.
type rawListener struct {
	net.Listener          // closed with it
	file         *os.File // the same socket
	raw          syscall.RawConn
	local        net.Addr // nil: it differs from connection to connection
	tune         func(fd int)
}

// newRawListener makes l accept descriptors. Those of a socket that we have opened have
// inherited what they have to be set to.
func newRawListener(src *listener, keepAlive net.KeepAliveConfig) (*rawListener, error) {
	l := src.Listener
	s, ok := l.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, fmt.Errorf("server: %T gives no descriptor to hand to processes", l)
	}
	f, err := s.File()
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	r := &rawListener{Listener: l, file: f, local: l.Addr()}
	if r.raw, err = f.SyscallConn(); err != nil {
		_ = f.Close()
		return nil, err
	}
	if t, ok := l.Addr().(*net.TCPAddr); ok {
		if t.IP.IsUnspecified() {
			r.local = nil
		}
		if !src.ours {
			r.tune = func(fd int) { tune(fd, keepAlive) }
		}
	}
	return r, nil
}

// Accept waits for a client.
func (r *rawListener) Accept() (net.Conn, error) {
	var fd int
	var from unix.Sockaddr
	var acceptErr error
	err := r.raw.Read(func(l uintptr) bool {
		for {
			fd, from, acceptErr = unix.Accept4(int(l), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			if !errors.Is(acceptErr, unix.EINTR) {
				return !errors.Is(acceptErr, unix.EAGAIN)
			}
		}
	})
	if err != nil {
		var p *os.PathError
		if errors.As(err, &p) && errors.Is(p.Err, os.ErrClosed) {
			err = net.ErrClosed
		}
		return nil, err
	}
	if acceptErr != nil {
		return nil, os.NewSyscallError("accept4", acceptErr)
	}
	if r.tune != nil {
		r.tune(fd)
	}
	h := &handed{fd: fd, remote: addrOf(from), local: r.local}
	if h.local == nil {
		to, err := unix.Getsockname(fd)
		if err != nil {
			_ = h.Close()
			return nil, os.NewSyscallError("getsockname", err)
		}
		h.local = addrOf(to)
	}
	return h, nil
}

// SetDeadline bounds Accept.
func (r *rawListener) SetDeadline(t time.Time) error { return r.file.SetReadDeadline(t) }

// SyscallConn is that of the socket.
func (r *rawListener) SyscallConn() (syscall.RawConn, error) { return r.raw, nil }

// Close closes the socket.
func (r *rawListener) Close() error { return errors.Join(r.file.Close(), r.Listener.Close()) }

func addrOf(sa unix.Sockaddr) net.Addr {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}
	case *unix.SockaddrInet6:
		a := &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}
		if sa.ZoneId != 0 {
			if i, err := net.InterfaceByIndex(int(sa.ZoneId)); err == nil {
				a.Zone = i.Name
			}
		}
		return a
	case *unix.SockaddrUnix:
		return &net.UnixAddr{Name: sa.Name, Net: "unix"}
	}
	return &net.UnixAddr{Net: "unix"}
}
