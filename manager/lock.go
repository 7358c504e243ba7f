package manager

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/gtoken"
	"github.com/tristrand/tristrand/internal/pickle"
	"github.com/tristrand/tristrand/strand"
)

// A Lock is a lock on a server. At a Go server it knows its holder, refuses a
// deadlock, and says ErrOwnerDied when its holder is gone; at CPython's, which
// knows none of that, Recover is Acquire and State is errors.ErrUnsupported.
type Lock struct{ mutex }

// RLock is re-entrant; it is not a read lock. For the rest it is as Lock.
type RLock struct{ mutex }

var (
	_ tristrand.Locker = (*Lock)(nil)
	_ tristrand.Locker = (*RLock)(nil)
)

// NewLock makes a lock on the server.
func NewLock(ctx context.Context, c *Client) (*Lock, error) {
	return wrap(LockOf)(c.Create(ctx, "Lock"))
}

// NewRLock makes a re-entrant lock on the server.
func NewRLock(ctx context.Context, c *Client) (*RLock, error) {
	return wrap(RLockOf)(c.Create(ctx, "RLock"))
}

// LockOf makes a Lock of a proxy for one.
func LockOf(p *Proxy) *Lock { return &Lock{mutex{base{p}}} }

// RLockOf makes an RLock of a proxy for one.
func RLockOf(p *Proxy) *RLock { return &RLock{mutex{base{p}}} }

// base is what all typed proxies are made of.
type base struct{ p *Proxy }

// Proxy returns the untyped proxy.
func (b base) Proxy() *Proxy { return b.p }

// Close gives the reference up. The object must not be used afterwards.
func (b base) Close(ctx context.Context) error { return b.p.Close(ctx) }

// String names the object.
func (b base) String() string { return b.p.String() }

// wrap makes typed proxies of what Create returns.
func wrap[T any](of func(*Proxy) T) func(*Proxy, error) (T, error) {
	return func(p *Proxy, err error) (T, error) {
		if err != nil {
			var none T
			return none, err
		}
		return of(p), nil
	}
}

// bounded returns a ctx for a call that is made even when ctx has ended: then it
// has a bound of its own.
func (b base) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx.Err() == nil {
		return ctx, func() {}
	}
	return context.WithTimeout(context.WithoutCancel(ctx), b.p.c.o.Timeout)
}

// a mutex is what Lock, RLock and a condition's lock have in common.
type mutex struct{ base }

// Acquire waits until the caller holds the lock; see tristrand.Locker.
//
//go:noinline
func (m *mutex) Acquire(ctx context.Context) error {
	return m.acquire(ctx, "acquire", gtoken.Caller())
}

// Recover is Acquire that also takes a lock whose holder died.
//
//go:noinline
func (m *mutex) Recover(ctx context.Context) error {
	return m.acquire(ctx, "recover", gtoken.Caller())
}

// TryAcquire is Acquire that returns ErrBusy instead of waiting.
//
//go:noinline
func (m *mutex) TryAcquire(ctx context.Context) error {
	place := placeOf(ctx, gtoken.Caller())
	ctx, cancel := m.bounded(ctx)
	defer cancel()
	return m.try(ctx, place, false)
}

// placeOf is where a lock is taken: who takes it for another says so.
func placeOf(ctx context.Context, pc uintptr) uintptr {
	return strand.Current(ctx).Claim(pc).Where()
}

func (m *mutex) acquire(ctx context.Context, method string, pc uintptr) error {
	place := placeOf(ctx, pc)
	if ctx.Err() != nil {
		return strand.Err(ctx)
	}
	if m.p.c.linked() {
		ok, err := m.call(ctx, call{method: method, place: place})
		return m.refused(ok, err)
	}
	return m.p.polled(ctx, func(seconds float64) (bool, error) {
		err := m.try(ctx, place, true, seconds)
		return err == nil, unless(err, tristrand.ErrBusy)
	})
}

// unless returns err, or nil if it is the other.
func unless(err, other error) error {
	if errors.Is(err, other) {
		return nil
	}
	return err
}

func (m *mutex) refused(ok bool, err error) error {
	if err != nil {
		return err
	}
	if !ok {
		return tristrand.ErrBusy
	}
	return nil
}

// try calls acquire with arguments as Python has them.
func (m *mutex) try(ctx context.Context, place uintptr, block bool, seconds ...float64) error {
	cl := call{method: "acquire", args: pickle.Tuple{block}, place: place}
	for _, s := range seconds {
		cl.args = append(cl.args, s)
	}
	return m.refused(m.call(ctx, cl))
}

// call calls a method whose caller matters and that answers with a bool or None.
func (m *mutex) call(ctx context.Context, cl call) (bool, error) {
	cl.owner, cl.on = true, m.p
	cl.after = func(key int64, an *answer) {
		if an.kind != returned {
			return
		}
		switch {
		case cl.method == "release":
			m.p.c.sessions.hold(key, m.p.id, -1)
		case an.v == any(true) && (cl.method == "acquire" || cl.method == "recover"):
			m.p.c.sessions.hold(key, m.p.id, 1)
		}
	}
	v, err := m.p.do(ctx, cl)
	ok, _ := v.(bool)
	return ok, err
}

// Release gives the lock up. It returns ErrNotHeld when the caller does not hold
// it. It works when ctx has ended, within a bounded time.
func (m *mutex) Release(ctx context.Context) error {
	if !m.p.c.linked() && m.p.c.sessions.held(ownerKey(ctx), m.p.id) == 0 {
		return fmt.Errorf("%v: %w", m, tristrand.ErrNotHeld)
	}
	ctx, cancel := m.bounded(ctx)
	defer cancel()
	_, err := m.call(ctx, call{method: "release"})
	return err
}

// State returns what the lock looks like on the server.
func (m *mutex) State(ctx context.Context) (tristrand.LockState, error) {
	if !m.p.c.linked() {
		return tristrand.LockState{}, errNoLink("State of a lock")
	}
	ctx, cancel := m.bounded(ctx)
	defer cancel()
	v, err := m.p.raw(ctx, "state")
	if err != nil {
		return tristrand.LockState{}, err
	}
	type wire struct {
		holder         any
		depth, waiting int64
		died           bool
	}
	var w wire
	if err := fields(v, &w.holder, &w.depth, &w.waiting, &w.died); err != nil {
		return tristrand.LockState{}, err
	}
	st := tristrand.LockState{Depth: int(w.depth), Waiting: int(w.waiting), OwnerDied: w.died}
	if w.holder == nil {
		return st, nil
	}
	h := new(tristrand.Holder)
	var process, id, pid, since int64
	if err := fields(w.holder, &process, &id, &h.Name, &h.Host, &pid, &h.At, &since); err != nil {
		return st, err
	}
	h.Ref = strand.Ref{Process: strand.ID(process), Strand: strand.ID(id)}
	h.PID = int(pid)
	if since != 0 {
		h.Since = time.Unix(0, since)
	}
	st.Holder = h
	return st, nil
}

// fields takes a tuple apart.
func fields(v any, to ...any) error {
	t, ok := v.(pickle.Tuple)
	if !ok || len(t) != len(to) {
		return fmt.Errorf("manager: the server answers %s, which is none of the protocol's", pickle.Repr(v, 200))
	}
	for i, x := range t {
		ok := true
		switch p := to[i].(type) {
		case *any:
			*p = x
		case *int64:
			*p, ok = x.(int64)
		case *int:
			var n int64
			n, ok = x.(int64)
			*p = int(n)
		case *bool:
			*p, ok = x.(bool)
		case *string:
			*p, ok = x.(string)
		}
		if !ok {
			return fmt.Errorf("manager: the server answers %s, which is none of the protocol's", pickle.Repr(v, 200))
		}
	}
	return nil
}
