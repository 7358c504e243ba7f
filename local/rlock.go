package local

import (
	"context"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/gtoken"
	"github.com/tristrand/tristrand/strand"
)

// RLock is re-entrant; it is not a read lock. Its holder may acquire it again
// and releases it as often as it has acquired it. The zero value is free. A
// nameless caller cannot acquire it again: it would wait for itself.
type RLock struct {
	// Name is shown in errors; "" shows the address.
	Name string
	m    mutex
}

var _ tristrand.Locker = (*RLock)(nil)

// NewRLock returns a free lock.
func NewRLock(name string) *RLock { return &RLock{Name: name} }

// Acquire waits until the caller holds the lock; see tristrand.Locker.
//
//go:noinline
func (l *RLock) Acquire(ctx context.Context) error {
	s := strand.Enter(ctx, strand.Op{Verb: "acquire", On: l, Write: true})
	if ctx.Err() != nil {
		return strand.Err(ctx)
	}
	c := s.Claim(gtoken.Caller())
	if l.m.take(s, c) || l.again(s) || s.Scheduler() == nil && l.m.barge(s, c, 0) {
		return nil
	}
	return l.m.lock(ctx, l, s, c, false)
}

// TryAcquire is Acquire that returns ErrBusy instead of waiting.
//
//go:noinline
func (l *RLock) TryAcquire(ctx context.Context) error {
	s := strand.Enter(ctx, strand.Op{Verb: "tryacquire", On: l, Write: true})
	c := s.Claim(gtoken.Caller())
	if l.again(s) {
		return nil
	}
	return l.m.try(l, s, c)
}

// Recover is Acquire that also takes a lock whose holder died.
//
//go:noinline
func (l *RLock) Recover(ctx context.Context) error {
	s := strand.Enter(ctx, strand.Op{Verb: "acquire", On: l, Write: true})
	if ctx.Err() != nil {
		return strand.Err(ctx)
	}
	c := s.Claim(gtoken.Caller())
	if l.m.take(s, c) || l.again(s) {
		return nil
	}
	return l.m.lock(ctx, l, s, c, true)
}

// again acquires one level more if s holds the lock.
func (l *RLock) again(s *strand.Strand) bool {
	if !claimOf(l.m.word.Load()).By(s) {
		return false
	}
	l.m.depth.Store(l.m.depth.Load() + 1)
	return true
}

// Release gives one level up, and the lock with the last. It returns
// ErrNotHeld, and changes nothing, when the calling goroutine does not hold it.
// ctx may have ended.
func (l *RLock) Release(context.Context) error {
	if l.m.depth.Load() == 0 && l.m.quickFree() {
		return nil
	}
	s, err := l.m.holder(l)
	if err != nil {
		return err
	}
	if sched := s.Scheduler(); sched != nil {
		sched.Step(s, strand.Op{Verb: "release", On: l, Write: true})
	}
	if d := l.m.depth.Load(); d > 0 {
		l.m.depth.Store(d - 1)
		return nil
	}
	l.m.free(s)
	return nil
}

// State returns what the lock looks like. It does not wait.
func (l *RLock) State(context.Context) (tristrand.LockState, error) { return l.m.state(), nil }

// String names the lock for errors.
func (l *RLock) String() string { return nameOf("rlock", l.Name, l) }

// Releasers returns the holder.
func (l *RLock) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) {
	return l.m.releasers(buf)
}

// OwnerEnded tells those who wait that the holder has ended.
func (l *RLock) OwnerEnded(s *strand.Strand) { l.m.ownerEnded(s) }
