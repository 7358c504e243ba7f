//go:build !linux

package coro

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
)

// A poller counts who waits for conns. Elsewhere than on Linux it is no more: a
// conn's calls that wait are made by a goroutine each.
type poller struct {
	users atomic.Int64

	mu   sync.Mutex // guards the rest
	open map[interface{ Close() error }]struct{}
}

func (p *poller) sleeps() bool { return false }
func (p *poller) sleep(*Hub)   {}
func (p *poller) poll(*Hub)    {}
func (p *poller) wake()        {}

func (p *poller) close() {
	p.mu.Lock()
	open := p.open
	p.open = nil
	p.mu.Unlock()
	for c := range open {
		_ = c.Close()
	}
}

func (h *Hub) keep(c interface{ Close() error }) {
	if h.net == nil {
		h.net = &poller{open: make(map[interface{ Close() error }]struct{})}
	}
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.net.open[c] = struct{}{}
}

func (p *poller) forget(c interface{ Close() error }) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
}

// aside calls fn, which blocks; a coroutine of h lets others run meanwhile.
func aside[T any](h *Hub, fn func() (T, error)) (T, error) {
	st := h.on()
	if st == nil {
		return fn()
	}
	v, err := Await(st.s.Context(), func(context.Context) (T, error) { return fn() })
	if err == nil {
		h.fairly(st)
	}
	return v, err
}

type listener struct {
	net.Listener
	h *Hub
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := aside(l.h, l.Listener.Accept)
	if err != nil {
		return nil, err
	}
	return l.h.conn(c)
}

func (l *listener) Close() error {
	l.h.net.forget(l)
	return l.Listener.Close()
}

type conn struct {
	net.Conn
	h *Hub
}

func (c *conn) Read(b []byte) (int, error) {
	return aside(c.h, func() (int, error) { return c.Conn.Read(b) })
}

func (c *conn) Write(b []byte) (int, error) {
	return aside(c.h, func() (int, error) { return c.Conn.Write(b) })
}

func (c *conn) Close() error {
	c.h.net.forget(c)
	return c.Conn.Close()
}

// CloseWrite tells the peer that no more will come.
func (c *conn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}

// CloseRead refuses what the peer still sends.
func (c *conn) CloseRead() error {
	if r, ok := c.Conn.(interface{ CloseRead() error }); ok {
		return r.CloseRead()
	}
	return errors.ErrUnsupported
}

func (h *Hub) listener(l net.Listener) (net.Listener, error) {
	own := &listener{l, h}
	h.keep(own)
	return own, nil
}

// share makes of l one more listener; to close it does not close l.
func (h *Hub) share(l net.Listener) (net.Listener, error) {
	return h.listener(unclosed{l})
}

// unclosed is a listener that is somebody else's to close.
type unclosed struct{ net.Listener }

func (u unclosed) Close() error { return nil }

func (h *Hub) conn(c net.Conn) (net.Conn, error) {
	own := &conn{c, h}
	h.keep(own)
	return own, nil
}
