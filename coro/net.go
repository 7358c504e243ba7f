package coro

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/tristrand/tristrand/strand"
)

// Listen is net.Listen whose listener, and the conns that it accepts, hand the hub
// over when a coroutine of it waits. They are ordinary in all else: deadlines,
// half-close by CloseWrite, use by net/http and crypto/tls. A goroutine that is no
// coroutine of the hub may use them, too, and waits as goroutines do. They are the
// caller's hub's: what is left open when it ends is closed. Networks are tcp,
// tcp4, tcp6 and unix.
//
// A coroutine that is killed while it waits for one gets ErrKilled, in a
// *net.OpError.
func Listen(ctx context.Context, network, address string) (net.Listener, error) {
	h, _ := caller(ctx)
	if h == nil {
		return nil, fmt.Errorf("%w: Listen(%s, %s)", ErrNoHub, network, address)
	}
	if err := streams(network, "listen"); err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return h.listener(l)
}

// Dial is net.Dial for a conn that hands the hub over; see Listen. It returns ctx's
// error when ctx ends first.
func Dial(ctx context.Context, network, address string) (net.Conn, error) {
	h, _ := caller(ctx)
	if h == nil {
		return nil, fmt.Errorf("%w: Dial(%s, %s)", ErrNoHub, network, address)
	}
	if err := streams(network, "dial"); err != nil {
		return nil, err
	}
	// Its look-up of names blocks. A conn that comes when nobody waits any more
	// is closed.
	var mu sync.Mutex
	var made net.Conn
	gaveUp := false
	c, err := Await(ctx, func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(ctx, network, address)
		mu.Lock()
		defer mu.Unlock()
		if err == nil && gaveUp {
			return nil, errors.Join(context.Canceled, c.Close())
		}
		made = c
		return c, err
	})
	if err != nil {
		mu.Lock()
		defer mu.Unlock()
		if gaveUp = true; made != nil { // it came as ctx ended
			_ = made.Close()
		}
		return nil, err
	}
	return h.conn(c)
}

func streams(network, op string) error {
	switch network {
	case "tcp", "tcp4", "tcp6", "unix":
		return nil
	}
	return &net.OpError{Op: op, Net: network, Err: net.UnknownNetworkError(network + " (coro has tcp, tcp4, tcp6 and unix)")}
}

// fairly lets others run when a coroutine has done much without waiting.
func (h *Hub) fairly(st *seat) {
	if h.ops++; h.ops >= opsPerTurn {
		h.ops = 0
		h.Step(st.s, strand.Op{Verb: "yield"})
	}
}

// opsPerTurn is how often a coroutine may read or write at once before it hands
// over.
const opsPerTurn = 32

// on returns the coroutine of h that calls, nil if the caller is none.
func (h *Hub) on() *seat {
	if h.trunk.here() == nil {
		return nil
	}
	return h.cur
}

// waiter returns the strand that calls, and the context to wait under.
func (h *Hub) waiter() (*strand.Strand, context.Context) {
	if st := h.on(); st != nil {
		return st.s, st.s.Context()
	}
	return strand.Current(context.Background()), context.Background()
}

// opError makes err one of package net.
func opError(op string, local, remote net.Addr, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	e := &net.OpError{Op: op, Source: local, Addr: remote, Err: err}
	if remote == nil {
		e.Source, e.Addr = nil, local
	}
	if local != nil {
		e.Net = local.Network()
	}
	return e
}

// A limit is the deadline of one direction of a conn.
type limit struct {
	at   time.Time
	stop func() bool
	up   bool // its time is up
	n    int  // of the current one
}

var errTimeout = os.ErrDeadlineExceeded
