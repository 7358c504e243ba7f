package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/tristrand/tristrand/coro"
)

// Coroutines serves each connection as a coroutine of a hub: handlers of one hub run
// by turns, on one processor, and hand over when they wait, so that what only they
// use needs no lock. A handler must not block in a way that the hub does not know
// of, but in coro.Await. It serves streams, not datagrams.
type Coroutines struct {
	// Hubs is how many hubs there are, each with a processor of its own; 0 is 1. A
	// connection stays with the hub that has accepted it.
	Hubs int

	// Max bounds the connections that are served at once, beside Server.MaxConns;
	// 0 does not.
	Max int
}

func (m Coroutines) bound() int {
	if m.Hubs < 0 {
		return -1
	}
	return m.Max
}

func (m Coroutines) open(_ context.Context, r *room) (engine, error) {
	if r.sources[0].packets() {
		return nil, errors.Join(ErrUnsupported, errors.New("server: the model Coroutines is for streams: serve datagrams by Threads"))
	}
	return &coroutines{room: r, hubs: max(m.Hubs, 1)}, nil
}

// coroutines is the engine of hubs.
type coroutines struct {
	room *room
	hubs int

	running sync.WaitGroup // of hubs

	mu        sync.Mutex // guards the rest
	listeners []net.Listener
	level     int32
}

// accept runs a loop on each hub for a source, and returns when they are over. What
// they have accepted goes on.
func (e *coroutines) accept(base context.Context, src *listener) error {
	errs := make(chan error, e.hubs)
	for i := range e.hubs {
		e.running.Go(func() {
			h := &coro.Hub{Name: fmt.Sprintf("server %v hub %d", src.addr(), i+1)}
			told := false
			err := h.Run(base, func(ctx context.Context) error {
				err := e.loop(ctx, src)
				told = true
				errs <- err
				return nil
			})
			if !told {
				errs <- err
			}
		})
	}
	var all error
	for range e.hubs {
		all = errors.Join(all, <-errs)
	}
	return all
}

// loop accepts on the hub of ctx, on a socket that it shares with the others.
func (e *coroutines) loop(ctx context.Context, src *listener) error {
	l, err := coro.ShareListener(ctx, src.Listener)
	if err != nil {
		return fmt.Errorf("server: %w", err)
	}
	defer func() { _ = l.Close() }()
	e.mu.Lock()
	e.listeners = append(e.listeners, l)
	if e.level > levelOpen {
		e.interrupt(l)
	}
	e.mu.Unlock()
	return e.room.acceptConns(ctx, &listener{Listener: l, socket: src.Listener, ours: src.ours, passedOn: src.passedOn})
}

func (e *coroutines) serve(ctx context.Context, c *Conn) {
	tuneConn(c.sock, e.room.s.KeepAlive)
	name := "conn " + c.String()
	c.strand.Store(&name)
	c.coroutine = coro.Spawn(ctx, func(ctx context.Context) error {
		c.run(ctx)
		return nil
	}, coro.Name(name))
}

func (e *coroutines) interrupt(l net.Listener) {
	if d, ok := l.(deadliner); ok {
		_ = d.SetDeadline(longAgo)
	}
}

// raise ends the waits of the loops. The connections are told by the core.
func (e *coroutines) raise(level int32) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.level == levelOpen {
		for _, l := range e.listeners {
			e.interrupt(l)
		}
	}
	e.level = max(e.level, level)
}

func (e *coroutines) close() error {
	if len(e.room.core.living()) == 0 { // a hub with a handler that never ends never ends
		e.running.Wait()
	}
	return nil
}
