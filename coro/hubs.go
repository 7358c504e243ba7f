package coro

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/tristrand/tristrand/strand"
)

// A Set is several hubs that run at once, for servers that shall use more than one
// processor. A coroutine stays on the hub that it was started in; those of
// different hubs run at the same time, and what they share needs a lock.
type Set struct {
	n int

	// HogAfter, DeadlockAfter and Grace are those of each Hub.
	HogAfter, DeadlockAfter, Grace time.Duration
}

// Hubs returns a set of n hubs; 0 is one for each processor. It panics if n is
// below 0.
func Hubs(n int) *Set {
	if n < 0 {
		panic(fmt.Sprintf("coro: Hubs(%d): the number cannot be below 0, which is one for each processor", n))
	}
	if n == 0 {
		n = runtime.GOMAXPROCS(0)
	}
	return &Set{n: n}
}

// Len returns how many hubs there are.
func (s *Set) Len() int { return s.n }

// Run runs fn as the first coroutine of each hub, i being the number of the hub
// from 0, and waits as Run does for all of them. The first error ends the ctx of
// the others and is returned, joined with theirs unless those are its echo.
func (s *Set) Run(ctx context.Context, fn func(ctx context.Context, i int) error) error {
	if fn == nil {
		panic("coro: Set.Run: the function is nil")
	}
	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ends := make([]*ending, s.n)
	errs := make([]error, s.n)
	var mu sync.Mutex
	var first error
	for i := range s.n {
		ends[i] = new(ending)
		strand.Go(inner, strand.Options{Kind: strand.Thread, Name: fmt.Sprintf("hubs-%d", i)}, func(ctx context.Context) {
			h := &Hub{HogAfter: s.HogAfter, DeadlockAfter: s.DeadlockAfter, Grace: s.Grace}
			err := h.Run(ctx, func(ctx context.Context) error { return fn(ctx, i) })
			mu.Lock()
			if first == nil && err != nil {
				first = err
			} else if err != nil && !errors.Is(err, first) && !errors.Is(err, context.Canceled) {
				errs[i] = err
			}
			mu.Unlock()
			if err != nil {
				cancel(err)
			}
			ends[i].end(nil)
		})
	}
	who := strand.Enter(ctx, strand.Op{Verb: "run"})
	for _, e := range ends {
		if err := e.wait(context.WithoutCancel(ctx), who, s); err != nil {
			return err
		}
	}
	return errors.Join(append([]error{first}, errs...)...)
}

// Serve listens on an address and calls handle in a coroutine for each conn, on
// the hub that accepted it: all hubs accept from one listener. It returns when ctx
// has ended and every handler has returned, with ctx's error, or with that of the
// listener. handle closes its conn; its error is reported as that of a coroutine
// that nobody joins. ready, if not nil, is told the address.
func (s *Set) Serve(ctx context.Context, network, address string, ready func(net.Addr), handle func(ctx context.Context, c net.Conn) error) error {
	if err := streams(network, "listen"); err != nil {
		return err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, network, address)
	if err != nil {
		return err
	}
	defer l.Close()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() }) // where Accept is not the hub's own
	defer stop()
	if ready != nil {
		ready(l.Addr())
	}
	return s.Run(ctx, func(ctx context.Context, _ int) error {
		h, _ := caller(ctx)
		own, err := h.share(l)
		if err != nil {
			return err
		}
		defer own.Close()
		for {
			c, err := own.Accept()
			if err != nil {
				return err
			}
			Spawn(ctx, func(ctx context.Context) error { return handle(ctx, c) })
		}
	})
}

// String names the set for whoever looks at who waits for it.
func (s *Set) String() string { return fmt.Sprintf("%d hubs", s.n) }

// Releasers says that anyone could end them.
func (s *Set) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) { return buf, false }
