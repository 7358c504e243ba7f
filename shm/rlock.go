package shm

import (
	"context"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/gtoken"
	"github.com/tristrand/tristrand/strand"
)

// RLock is re-entrant; it is not a read lock. Its holder may acquire it again
// and releases it as often as it has acquired it. A nameless caller cannot acquire
// it again: it would wait for itself. It is made by NewRLock, or arrives as a field
// of a task's input or output.
type RLock struct{ locker }

var _ tristrand.Locker = (*RLock)(nil)

// NewRLock returns a free lock; see NewLock.
func NewRLock(name string) (*RLock, error) {
	l := new(RLock)
	if err := l.init(kindRLock, name); err != nil {
		return nil, err
	}
	return l, nil
}

// Acquire waits until the caller holds the lock; see tristrand.Locker.
//
//go:noinline
func (l *RLock) Acquire(ctx context.Context) error {
	s := strand.Enter(ctx, strand.Op{Verb: "acquire", On: l, Write: true})
	if ctx.Err() != nil {
		return strand.Err(ctx)
	}
	place := s.Offset(gtoken.Caller())
	if l.take(s, place) || l.again(s) {
		return nil
	}
	m, err := l.mutex("rlock")
	if err != nil {
		return err
	}
	return m.lock(ctx, l, s, place, false)
}

// TryAcquire is Acquire that returns ErrBusy instead of waiting.
//
//go:noinline
func (l *RLock) TryAcquire(ctx context.Context) error {
	s := strand.Enter(ctx, strand.Op{Verb: "tryacquire", On: l, Write: true})
	place := s.Offset(gtoken.Caller())
	if l.again(s) {
		return nil
	}
	m, err := l.mutex("rlock")
	if err != nil {
		return err
	}
	return m.try(ctx, l, s, place)
}

// Recover is Acquire that also takes a lock whose holder died.
//
//go:noinline
func (l *RLock) Recover(ctx context.Context) error {
	s := strand.Enter(ctx, strand.Op{Verb: "acquire", On: l, Write: true})
	if ctx.Err() != nil {
		return strand.Err(ctx)
	}
	place := s.Offset(gtoken.Caller())
	if l.again(s) {
		return nil
	}
	m, err := l.mutex("rlock")
	if err != nil {
		return err
	}
	return m.lock(ctx, l, s, place, true)
}

// again acquires one level more if s holds the lock.
func (l *RLock) again(s *strand.Strand) bool {
	c := l.cell.Load()
	if c == nil || s.ID() == 0 {
		return false
	}
	w, seat := c.word.Load(), l.a.seatOf(s)
	if w&transit != 0 || seatIn(w) < firstSeat {
		return false
	}
	if seat == 0 { // it has used another arena since
		if l.a.seats[seatIn(w)&(maxSeats-1)].strand.Load() != s {
			return false
		}
	} else if seatIn(w) != seat {
		return false
	}
	c.depth.Add(1)
	return true
}

// Release gives one level up, and the lock with the last. It returns
// ErrNotHeld, and changes nothing, when the calling goroutine does not hold it.
// ctx may have ended.
func (l *RLock) Release(context.Context) error {
	if l.release() {
		return nil
	}
	m, err := l.mutex("rlock")
	if err != nil {
		return err
	}
	s, err := m.holder(l)
	if err != nil {
		return err
	}
	if sched := s.Scheduler(); sched != nil {
		sched.Step(s, strand.Op{Verb: "release", On: l, Write: true})
	}
	if d := m.cell.depth.Load(); d > 0 {
		m.cell.depth.Store(d - 1)
		return nil
	}
	m.free(s)
	return nil
}

// State returns what the lock looks like. It does not wait.
func (l *RLock) State(context.Context) (tristrand.LockState, error) {
	m, err := l.mutex("rlock")
	if err != nil {
		return tristrand.LockState{}, err
	}
	return m.state(), nil
}

// String names the lock for errors.
func (l *RLock) String() string { return l.name("rlock") }

// MarshalCBOR encodes where the lock is.
func (l *RLock) MarshalCBOR() ([]byte, error) { return l.marshal("RLock") }

// UnmarshalCBOR makes l the lock that was encoded.
func (l *RLock) UnmarshalCBOR(data []byte) error { return l.decode(data, "RLock", kindRLock) }
