package coro

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// Await calls fn, which may block, on a goroutine of its own and lets the other
// coroutines run until it has returned. It is for what does not know of hubs: a
// file, an HTTP client, a database. It returns what fn returns; a panic of fn is
// a *tristrand.PanicError. When ctx ends first it returns ctx's error at once, and
// fn goes on until it looks at ctx itself: what it then returns is dropped.
//
// fn runs beside the coroutines, so that what it shares with them needs a lock. A
// lock that fn takes is no coroutine's. Outside a hub Await calls fn.
func Await[T any](ctx context.Context, fn func(ctx context.Context) (T, error)) (T, error) {
	if fn == nil {
		panic("coro: Await: the function is nil")
	}
	s := strand.Enter(ctx, strand.Op{Verb: "await"})
	st, ok := s.Turn().(*seat)
	if !ok {
		return fn(ctx)
	}
	var none T
	if err := strand.Err(ctx); err != nil {
		return none, err
	}
	a := &await[T]{w: s.NewWait()}
	name := s.Name()
	h := st.h
	h.waits.Add(1)
	call := h.awaits.add(name)
	go func() {
		defer func() {
			h.waits.Add(-1)
			h.awaits.remove(call)
		}()
		a.run(ctx, fn)
	}()
	if err := a.w.Park(ctx, awaiting{name}); err != nil {
		return none, err
	}
	return a.v, a.err
}

// An await is one call of Await.
type await[T any] struct {
	w   strand.Wait
	v   T
	err error
}

func (a *await[T]) run(ctx context.Context, fn func(context.Context) (T, error)) {
	a.err = tristrand.ErrGoexit
	defer func() {
		if v := recover(); v != nil {
			a.err = &tristrand.PanicError{Value: v, Stack: debug.Stack(), Task: "Await"}
		}
		a.w.Grant()
	}()
	a.v, a.err = fn(ctx)
}

// awaiting is what a coroutine waits for in Await.
type awaiting struct{ name string }

func (a awaiting) String() string { return "a function given to Await" }

// Releasers says that something outside could.
func (awaiting) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) { return buf, false }

// awaits has the functions given to Await that have not returned.
type awaits struct {
	mu    sync.Mutex // guards the rest
	n     uint64
	calls map[uint64]string
	last  chan struct{} // closed when there is none; nil if nobody waits
	named []string      // those that were there when the hub gave up
}

func (a *awaits) add(name string) uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.calls == nil {
		a.calls = make(map[uint64]string)
	}
	a.n++
	a.calls[a.n] = name
	return a.n
}

func (a *awaits) remove(n uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.calls, n)
	if len(a.calls) == 0 && a.last != nil {
		close(a.last)
		a.last = nil
	}
}

const defaultGrace = time.Second

// drain waits for the functions that are left, for the hub's grace, and notes
// those that are left even then: they cannot be ended.
func (a *awaits) drain(h *Hub) {
	a.mu.Lock()
	if len(a.calls) == 0 {
		a.mu.Unlock()
		return
	}
	last := make(chan struct{})
	a.last = last
	a.mu.Unlock()
	grace := h.Grace
	if grace == 0 {
		grace = defaultGrace
	}
	if grace > 0 {
		select {
		case <-last:
		case <-time.After(grace):
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var order []uint64
	for n := range a.calls {
		order = append(order, n)
	}
	slices.Sort(order)
	for _, n := range order {
		a.named = append(a.named, fmt.Sprintf("a function given to Await by %q", a.calls[n]))
	}
}

func (a *awaits) left() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.named
}
