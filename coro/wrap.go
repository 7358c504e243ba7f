package coro

import (
	"context"
	"fmt"
	"net"
)

// WrapListener makes of l, a *net.TCPListener or *net.UnixListener, a listener as
// Listen returns it, of the caller's hub. It takes l over: l is closed.
func WrapListener(ctx context.Context, l net.Listener) (net.Listener, error) {
	h, _ := caller(ctx)
	if h == nil {
		return nil, fmt.Errorf("%w: WrapListener(%v)", ErrNoHub, l.Addr())
	}
	switch l.(type) {
	case *net.TCPListener, *net.UnixListener:
		return h.listener(l)
	}
	return nil, fmt.Errorf("coro: WrapListener: %T is no listener of package net", l)
}

// ShareListener makes one more listener on the socket of l, as Listen returns them, of
// the caller's hub. l stays open, and keeps what is its own: the file of a Unix socket,
// above all. Of several on one socket any may get a conn.
func ShareListener(ctx context.Context, l net.Listener) (net.Listener, error) {
	h, _ := caller(ctx)
	if h == nil {
		return nil, fmt.Errorf("%w: ShareListener(%v)", ErrNoHub, l.Addr())
	}
	return h.share(l)
}
