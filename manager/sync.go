package manager

import (
	"context"
	"errors"
	"fmt"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/pickle"
	"github.com/tristrand/tristrand/strand"
)

// A Semaphore is one on a server. What a Go program that is gone had acquired is
// given back, up to the first count.
type Semaphore struct{ base }

// A BoundedSemaphore is a Semaphore whose count cannot rise above its first
// value.
type BoundedSemaphore struct{ Semaphore }

var (
	_ tristrand.Semaphore = (*Semaphore)(nil)
	_ tristrand.Event     = (*Event)(nil)
	_ tristrand.Condition = (*Condition)(nil)
	_ tristrand.Barrier   = (*Barrier)(nil)
)

// NewSemaphore makes a semaphore with the count n.
func NewSemaphore(ctx context.Context, c *Client, n int) (*Semaphore, error) {
	return wrap(SemaphoreOf)(c.Create(ctx, "Semaphore", n))
}

// NewBoundedSemaphore makes a semaphore whose count is n and cannot be more.
func NewBoundedSemaphore(ctx context.Context, c *Client, n int) (*BoundedSemaphore, error) {
	return wrap(BoundedSemaphoreOf)(c.Create(ctx, "BoundedSemaphore", n))
}

// SemaphoreOf makes a Semaphore of a proxy for one.
func SemaphoreOf(p *Proxy) *Semaphore { return &Semaphore{base{p}} }

// BoundedSemaphoreOf makes a BoundedSemaphore of a proxy for one.
func BoundedSemaphoreOf(p *Proxy) *BoundedSemaphore { return &BoundedSemaphore{*SemaphoreOf(p)} }

// Acquire waits until the count is above zero and takes one from it.
func (m *Semaphore) Acquire(ctx context.Context) error {
	if m.p.c.linked() {
		_, err := m.p.raw(ctx, "acquire")
		return err
	}
	return m.p.polled(ctx, func(seconds float64) (bool, error) { return get[bool](ctx, m.p, "acquire", true, seconds) })
}

// TryAcquire is Acquire that returns ErrBusy instead of waiting.
func (m *Semaphore) TryAcquire(ctx context.Context) error {
	ctx, cancel := m.bounded(ctx)
	defer cancel()
	ok, err := get[bool](ctx, m.p, "acquire", false)
	if err == nil && !ok {
		err = tristrand.ErrBusy
	}
	return err
}

// Release adds n, at least 1, to the count. A bounded semaphore returns
// ErrOverRelease, and nothing was released, if that is too many.
func (m *Semaphore) Release(ctx context.Context, n int) error {
	ctx, cancel := m.bounded(ctx)
	defer cancel()
	args := []any{n}
	if n == 1 {
		args = nil // Python 3.8 knows no other
	}
	_, err := m.p.raw(ctx, "release", args...)
	return err
}

// State returns what the semaphore looks like on the server.
func (m *Semaphore) State(ctx context.Context) (st tristrand.SemaphoreState, err error) {
	err = m.state(ctx, "state", &st.Free, &st.Bound, &st.Waiting)
	return st, err
}

// state asks a Go server.
func (b base) state(ctx context.Context, method string, to ...any) error {
	if !b.p.c.linked() {
		return errNoLink("State")
	}
	ctx, cancel := b.bounded(ctx)
	defer cancel()
	v, err := b.p.raw(ctx, method)
	if err != nil {
		return err
	}
	return fields(v, to...)
}

// An Event is one on a server.
type Event struct{ base }

// NewEvent makes an event that is clear.
func NewEvent(ctx context.Context, c *Client) (*Event, error) {
	return wrap(EventOf)(c.Create(ctx, "Event"))
}

// EventOf makes an Event of a proxy for one.
func EventOf(p *Proxy) *Event { return &Event{base{p}} }

// Wait waits until the flag is set.
func (e *Event) Wait(ctx context.Context) error {
	if e.p.c.linked() {
		_, err := e.p.raw(ctx, "wait")
		return err
	}
	return e.p.polled(ctx, func(seconds float64) (bool, error) { return get[bool](ctx, e.p, "wait", seconds) })
}

// Set sets the flag and lets all who wait pass.
func (e *Event) Set(ctx context.Context) error { return e.void(ctx, "set") }

// Clear clears the flag.
func (e *Event) Clear(ctx context.Context) error { return e.void(ctx, "clear") }

// void calls a method without arguments and result, also when ctx has ended.
func (b base) void(ctx context.Context, method string) error {
	ctx, cancel := b.bounded(ctx)
	defer cancel()
	_, err := b.p.raw(ctx, method)
	return err
}

// State returns what the event looks like on the server. CPython's says only
// whether it is set.
func (e *Event) State(ctx context.Context) (st tristrand.EventState, err error) {
	if !e.p.c.linked() {
		st.Set, err = get[bool](ctx, e.p, "is_set")
		return st, err
	}
	err = e.state(ctx, "state", &st.Set, &st.Waiting)
	return st, err
}

// A Condition is one on a server.
type Condition struct {
	mutex
	lock tristrand.Locker
}

// NewCondition makes a condition on l, a *Lock or *RLock of the same server; nil
// is an RLock of its own.
func NewCondition(ctx context.Context, c *Client, l tristrand.Locker) (*Condition, error) {
	var args []any
	switch l := l.(type) {
	case nil:
	case *Lock:
		args = append(args, l)
	case *RLock:
		args = append(args, l)
	default:
		return nil, fmt.Errorf("manager: a condition on a %T: its lock must be a Lock or an RLock of the same server", l)
	}
	p, err := c.Create(ctx, "Condition", args...)
	if err != nil {
		return nil, err
	}
	cond := ConditionOf(p)
	if l != nil {
		cond.lock = l
	}
	return cond, nil
}

// ConditionOf makes a Condition of a proxy for one.
func ConditionOf(p *Proxy) *Condition {
	return &Condition{mutex: mutex{base{p}}, lock: RLockOf(p)}
}

// Locker returns the lock.
func (c *Condition) Locker() tristrand.Locker { return c.lock }

// Wait releases the lock, waits for Notify, and acquires the lock again whatever
// has become of ctx; see tristrand.Condition. It returns when the lock is
// acquired, or the connection broke.
func (c *Condition) Wait(ctx context.Context) error {
	if ctx.Err() != nil {
		return c.ended(ctx)
	}
	if c.p.c.linked() {
		_, err := c.call(ctx, call{method: "wait", patient: true})
		return err
	}
	return c.p.polled(ctx, func(seconds float64) (bool, error) {
		return c.call(context.WithoutCancel(ctx), call{method: "wait", args: pickle.Tuple{seconds}})
	})
}

// ended is the error of a wait whose ctx had ended: the caller may not even hold
// the lock.
func (c *Condition) ended(ctx context.Context) error {
	st, err := c.lock.State(ctx)
	if err == nil && (st.Holder == nil || st.Holder.Ref.Strand != strand.Current(ctx).ID()) {
		return fmt.Errorf("%v: %w", c.lock, tristrand.ErrNotHeld)
	}
	return strand.Err(ctx)
}

// Notify wakes n of the strands that wait, the longest waiting first; all with
// n < 0. It returns ErrNotHeld if the caller does not hold the lock.
func (c *Condition) Notify(ctx context.Context, n int) error {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	cl := call{method: "notify", args: pickle.Tuple{int64(n)}}
	if n < 0 {
		cl = call{method: "notify_all"}
	}
	_, err := c.call(ctx, cl)
	return err
}

// State returns what the condition looks like on the server.
func (c *Condition) State(ctx context.Context) (st tristrand.ConditionState, err error) {
	if !c.p.c.linked() {
		return st, errNoLink("State of a condition")
	}
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	st.Waiting, err = get[int](ctx, c.p, "waiting")
	return st, err
}

// A Barrier is one on a server. It has no action.
type Barrier struct{ base }

// NewBarrier makes a barrier for a number of parties.
func NewBarrier(ctx context.Context, c *Client, parties int) (*Barrier, error) {
	return wrap(BarrierOf)(c.Create(ctx, "Barrier", parties))
}

// BarrierOf makes a Barrier of a proxy for one.
func BarrierOf(p *Proxy) *Barrier { return &Barrier{base{p}} }

// Wait waits until all parties have called it and returns which of them, from 0,
// the caller was. A party whose ctx ends, or whose program is gone, breaks the
// barrier.
func (b *Barrier) Wait(ctx context.Context) (turn int, err error) {
	if ctx.Err() != nil {
		return 0, errors.Join(strand.Err(ctx), b.Abort(ctx))
	}
	if b.p.c.linked() {
		return get[int](ctx, b.p, "wait")
	}
	stop := context.AfterFunc(ctx, func() { _ = b.Abort(ctx) }) // the wait says how it went
	defer stop()
	turn, err = get[int](context.WithoutCancel(ctx), b.p, "wait")
	if err != nil && ctx.Err() != nil {
		err = strand.Err(ctx)
	}
	return turn, err
}

// Abort breaks the barrier.
func (b *Barrier) Abort(ctx context.Context) error { return b.void(ctx, "abort") }

// Reset makes the barrier whole and empty; those who wait get ErrBroken.
func (b *Barrier) Reset(ctx context.Context) error { return b.void(ctx, "reset") }

// State returns what the barrier looks like on the server.
func (b *Barrier) State(ctx context.Context) (st tristrand.BarrierState, err error) {
	if b.p.c.linked() {
		err = b.state(ctx, "state", &st.Parties, &st.Waiting, &st.Broken)
		return st, err
	}
	if st.Parties, err = get[int](ctx, b.p, "__getattribute__", "parties"); err != nil {
		return st, err
	}
	if st.Waiting, err = get[int](ctx, b.p, "__getattribute__", "n_waiting"); err != nil {
		return st, err
	}
	st.Broken, err = get[bool](ctx, b.p, "__getattribute__", "broken")
	return st, err
}
