package local

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/gtoken"
	"github.com/tristrand/tristrand/strand"
)

// A Condition lets the holder of a lock wait for something that others change
// under the same lock. The zero value has an RLock of its own.
type Condition struct {
	// Name is shown in errors; "" shows the address.
	Name string

	lock lockable // nil: own
	own  RLock

	mu    sync.Mutex // guards queue
	queue waiters
}

var _ tristrand.Condition = (*Condition)(nil)

// lockable is a lock of this package.
type lockable interface {
	tristrand.Locker
	strand.Resource
	mutex() *mutex
}

func (l *Lock) mutex() *mutex  { return &l.m }
func (l *RLock) mutex() *mutex { return &l.m }

// NewCondition returns a condition on l, a *Lock or *RLock; nil is an RLock of
// its own. It panics for a lock of another scope.
func NewCondition(l tristrand.Locker) *Condition {
	if l == nil {
		return new(Condition)
	}
	k, ok := l.(lockable)
	if !ok {
		panic(fmt.Sprintf("local: NewCondition: a %T is not a local lock; use the condition of its own scope", l))
	}
	return &Condition{lock: k}
}

func (c *Condition) locker() lockable {
	if c.lock == nil {
		return &c.own
	}
	return c.lock
}

// Locker returns the lock.
func (c *Condition) Locker() tristrand.Locker { return c.locker() }

// Wait releases the lock, all levels of it, waits for Notify, and acquires the
// lock again whatever has become of ctx. It returns ErrNotHeld at once if the
// caller does not hold the lock. The caller holds it on return unless the error
// is ErrNotHeld, which is also so when the lock cannot be acquired again because
// its next holder died or is in a deadlock with the caller.
//
//go:noinline
func (c *Condition) Wait(ctx context.Context) error {
	l := c.locker()
	m := l.mutex()
	if _, err := m.holder(l); err != nil {
		return err
	}
	s := strand.Enter(ctx, strand.Op{Verb: "wait", On: c, Write: true})
	if ctx.Err() != nil {
		return strand.Err(ctx)
	}
	claim := s.Claim(gtoken.Caller())
	n := &waiter{w: s.NewWait()}
	c.mu.Lock()
	c.queue.pushBack(n)
	c.mu.Unlock()
	depth := m.depth.Swap(0)
	m.free(claimOf(m.word.Load()).Strand())

	err := n.w.Park(ctx, c)
	if err != nil {
		c.mu.Lock()
		c.queue.remove(n)
		c.mu.Unlock()
	}
	if lerr := m.acquireAgain(ctx, l, s, claim); lerr != nil {
		return errors.Join(fmt.Errorf("%w: %v could not be acquired again", tristrand.ErrNotHeld, l), lerr, err)
	}
	m.depth.Store(depth)
	return err
}

func (m *mutex) acquireAgain(ctx context.Context, on strand.Resource, s *strand.Strand, c strand.Claim) error {
	if sched := s.Scheduler(); sched != nil {
		sched.Step(s, strand.Op{Verb: "acquire", On: on, Write: true})
	}
	if m.take(s, c) || s.Scheduler() == nil && m.barge(s, c, 0) {
		return nil
	}
	return m.lock(context.WithoutCancel(ctx), on, s, c, false)
}

// Notify wakes n of the strands that wait, the longest waiting first; all with
// n < 0. It returns ErrNotHeld if the caller does not hold the lock.
func (c *Condition) Notify(ctx context.Context, n int) error {
	l := c.locker()
	if _, err := l.mutex().holder(l); err != nil {
		return err
	}
	strand.Enter(ctx, strand.Op{Verb: "notify", On: c, Write: true})
	for n != 0 {
		c.mu.Lock()
		w := c.queue.pop()
		c.mu.Unlock()
		if w == nil {
			break
		}
		if w.w.Grant() {
			n--
		}
	}
	return nil
}

// State returns what the condition looks like. It does not wait.
func (c *Condition) State(context.Context) (tristrand.ConditionState, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return tristrand.ConditionState{Waiting: c.queue.n}, nil
}

// String names the condition for errors.
func (c *Condition) String() string { return nameOf("condition", c.Name, c) }

// Releasers says that anyone could notify.
func (c *Condition) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) { return buf, false }
