package shm

import (
	"context"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/gtoken"
	"github.com/tristrand/tristrand/internal/parcel"
	"github.com/tristrand/tristrand/strand"
)

// A Condition lets the holder of a lock wait for something that others, of any
// process, change under the same lock. It is made by NewCondition, or arrives as
// a field of a task's input or output, with its lock.
type Condition struct {
	object
	lock lockable
	own  *RLock // the lock, if it was made with the condition
}

var _ tristrand.Condition = (*Condition)(nil)

type conditionCell struct{ _ cell }

// lockable is a lock of this package.
type lockable interface {
	tristrand.Locker
	strand.Resource
	parcel.Carrier
	MarshalCBOR() ([]byte, error)
	mutex(what string) (mutex, error)
}

// NewCondition returns a condition on l, a *Lock or *RLock of this package; nil is
// an RLock of its own. It panics for a lock of another scope. For the name and
// errors see NewLock.
func NewCondition(name string, l tristrand.Locker) (*Condition, error) {
	c := new(Condition)
	if l == nil {
		own, err := NewRLock(name)
		if err != nil {
			return nil, err
		}
		c.own, l = own, own
	}
	k, ok := l.(lockable)
	if !ok {
		panic(fmt.Sprintf("shm: NewCondition: a %T is not a lock of this package; use the condition of its own scope", l))
	}
	if _, err := k.mutex("lock"); err != nil {
		return nil, err
	}
	c.lock = k
	if err := c.make(kindCondition, name, units[conditionCell]()); err != nil {
		if c.own != nil {
			err = errors.Join(err, c.own.Close())
		}
		return nil, err
	}
	return c, nil
}

// Close gives the condition up in this process, and the lock if it was made with it; see
// the package's comment.
func (c *Condition) Close() error {
	if c.own != nil {
		return errors.Join(c.object.Close(), c.own.Close())
	}
	return c.object.Close()
}

// Locker returns the lock; nil for a zero value.
func (c *Condition) Locker() tristrand.Locker {
	if c.lock == nil {
		return nil
	}
	return c.lock
}

// ready returns the lock of a condition that can be used.
func (c *Condition) ready() (mutex, error) {
	if err := c.usable("condition"); err != nil {
		return mutex{}, err
	}
	return c.lock.mutex("lock")
}

// Wait releases the lock, all levels of it, waits for Notify, and acquires the
// lock again whatever has become of ctx. It returns ErrNotHeld at once if the
// caller does not hold the lock. The caller holds it on return unless the error
// is ErrNotHeld, which is also so when the lock cannot be acquired again because
// its next holder died or is in a deadlock with the caller.
//
//go:noinline
func (c *Condition) Wait(ctx context.Context) error {
	m, err := c.ready()
	if err != nil {
		return err
	}
	if _, err := m.holder(c.lock); err != nil {
		return err
	}
	s := strand.Enter(ctx, strand.Op{Verb: "wait", On: c, Write: true})
	if ctx.Err() != nil {
		return strand.Err(ctx)
	}
	place := s.Offset(gtoken.Caller())
	depth := m.cell.depth.Load()
	if err := c.wait(ctx, m, s); errors.Is(err, errStillHeld) {
		return err
	} else if lerr := m.acquireAgain(ctx, c.lock, s, place); lerr != nil {
		return errors.Join(fmt.Errorf("%w: %v could not be acquired again", tristrand.ErrNotHeld, c.lock), lerr, err)
	} else {
		m.cell.depth.Store(depth)
		return err
	}
}

// errStillHeld says that the wait did not begin.
var errStillHeld = errors.New("shm: the lock is still held")

// wait gives the lock up and waits to be notified.
func (c *Condition) wait(ctx context.Context, m mutex, s *strand.Strand) error {
	t, err := c.a.waiter(ctx, s, c.unit)
	if err != nil {
		return errors.Join(errStillHeld, err)
	}
	defer t.done()
	t.enter(ctx, 0, 0, false)
	m.cell.depth.Store(0)
	m.free(s)
	err = t.park(ctx, c)
	if t.leave() == passed {
		return nil
	}
	return err
}

func (m mutex) acquireAgain(ctx context.Context, on strand.Resource, s *strand.Strand, place int32) error {
	if sched := s.Scheduler(); sched != nil {
		sched.Step(s, strand.Op{Verb: "acquire", On: on, Write: true})
	}
	return m.lock(context.WithoutCancel(ctx), on, s, place, false)
}

// Notify wakes n of the strands that wait, the longest waiting first; all with
// n < 0. It returns ErrNotHeld if the caller does not hold the lock.
func (c *Condition) Notify(ctx context.Context, n int) error {
	m, err := c.ready()
	if err != nil {
		return err
	}
	if _, err := m.holder(c.lock); err != nil {
		return err
	}
	strand.Enter(ctx, strand.Op{Verb: "notify", On: c, Write: true})
	c.a.wake(c.unit, 0, n, passed)
	return nil
}

// State returns what the condition looks like. It does not wait.
func (c *Condition) State(context.Context) (tristrand.ConditionState, error) {
	if err := c.usable("condition"); err != nil {
		return tristrand.ConditionState{}, err
	}
	return tristrand.ConditionState{Waiting: c.a.count(c.unit, 0)}, nil
}

// String names the condition for errors.
func (c *Condition) String() string { return c.name("condition") }

// Releasers says that anyone could notify.
func (c *Condition) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) { return buf, false }

// Carry adds to p what the condition and its lock need to cross into another
// process.
func (c *Condition) Carry(p *parcel.Parcel) error {
	if err := c.object.Carry(p); err != nil {
		return err
	}
	return c.lock.Carry(p)
}

// A conditionWire is how a condition is encoded.
type conditionWire struct {
	_     struct{} `cbor:",toarray"`
	Own   cbor.RawMessage
	Lock  cbor.RawMessage
	RLock bool
}

// MarshalCBOR encodes where the condition and its lock are.
func (c *Condition) MarshalCBOR() ([]byte, error) {
	own, err := c.marshal("Condition")
	if err != nil {
		return nil, err
	}
	lock, err := c.lock.MarshalCBOR()
	if err != nil {
		return nil, err
	}
	_, r := c.lock.(*RLock)
	return cbor.Marshal(conditionWire{Own: own, Lock: lock, RLock: r})
}

// UnmarshalCBOR makes c the condition that was encoded.
func (c *Condition) UnmarshalCBOR(data []byte) error {
	var w conditionWire
	if err := cbor.Unmarshal(data, &w); err != nil {
		return fmt.Errorf("shm: this is not an encoded Condition: %w", err)
	}
	var lock lockable
	if w.RLock {
		l := new(RLock)
		if err := l.UnmarshalCBOR(w.Lock); err != nil {
			return err
		}
		lock = l
	} else {
		l := new(Lock)
		if err := l.UnmarshalCBOR(w.Lock); err != nil {
			return err
		}
		lock = l
	}
	if err := c.unmarshal(w.Own, "Condition", kindCondition); err != nil {
		return err
	}
	c.lock = lock
	return nil
}
