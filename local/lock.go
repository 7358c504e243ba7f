package local

import (
	"context"
	"fmt"
	"os"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/gtoken"
	"github.com/tristrand/tristrand/strand"
)

// A Lock is held by one strand at a time; only its holder releases it. The zero
// value is free. To acquire it twice is a *tristrand.DeadlockError.
type Lock struct {
	// Name is shown in errors; "" shows the address.
	Name string
	m    mutex
}

var _ tristrand.Locker = (*Lock)(nil)

// NewLock returns a free lock.
func NewLock(name string) *Lock { return &Lock{Name: name} }

// Acquire waits until the caller holds the lock; see tristrand.Locker.
//
//go:noinline
func (l *Lock) Acquire(ctx context.Context) error {
	s := strand.Enter(ctx, strand.Op{Verb: "acquire", On: l, Write: true})
	if ctx.Err() != nil {
		return strand.Err(ctx)
	}
	c := s.Claim(gtoken.Caller())
	if l.m.take(s, c) || s.Scheduler() == nil && l.m.barge(s, c, 0) {
		return nil
	}
	return l.m.lock(ctx, l, s, c, false)
}

// TryAcquire is Acquire that returns ErrBusy instead of waiting.
//
//go:noinline
func (l *Lock) TryAcquire(ctx context.Context) error {
	s := strand.Enter(ctx, strand.Op{Verb: "tryacquire", On: l, Write: true})
	return l.m.try(l, s, s.Claim(gtoken.Caller()))
}

// Recover is Acquire that also takes a lock whose holder died.
//
//go:noinline
func (l *Lock) Recover(ctx context.Context) error {
	s := strand.Enter(ctx, strand.Op{Verb: "acquire", On: l, Write: true})
	if ctx.Err() != nil {
		return strand.Err(ctx)
	}
	c := s.Claim(gtoken.Caller())
	if l.m.take(s, c) {
		return nil
	}
	return l.m.lock(ctx, l, s, c, true)
}

// Release gives the lock up. It returns ErrNotHeld, and changes nothing, when
// the calling goroutine does not hold it. ctx may have ended.
func (l *Lock) Release(context.Context) error {
	if l.m.quickFree() {
		return nil
	}
	s, err := l.m.holder(l)
	if err != nil {
		return err
	}
	if sched := s.Scheduler(); sched != nil {
		sched.Step(s, strand.Op{Verb: "release", On: l, Write: true})
	}
	l.m.free(s)
	return nil
}

// State returns what the lock looks like. It does not wait.
func (l *Lock) State(context.Context) (tristrand.LockState, error) { return l.m.state(), nil }

// String names the lock for errors.
func (l *Lock) String() string { return nameOf("lock", l.Name, l) }

// Releasers returns the holder.
func (l *Lock) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) {
	return l.m.releasers(buf)
}

// OwnerEnded tells those who wait that the holder has ended.
func (l *Lock) OwnerEnded(s *strand.Strand) { l.m.ownerEnded(s) }

func nameOf(what, name string, p any) string {
	if name == "" {
		return fmt.Sprintf("%s %p", what, p)
	}
	return fmt.Sprintf("%s %q", what, name)
}

func (m *mutex) try(on strand.Resource, s *strand.Strand, c strand.Claim) error {
	if m.take(s, c) || s.Scheduler() == nil && m.barge(s, c, 0) {
		return nil
	}
	w := m.word.Load()
	if h := claimOf(w).Strand(); h != nil && h.HasEnded() && m.leftBy(h, w) {
		return describe(tristrand.ErrOwnerDied, on)
	}
	return tristrand.ErrBusy
}

// state describes the mutex.
func (m *mutex) state() tristrand.LockState {
	m.mu.Lock()
	waiting, since := m.queue.n, m.since
	m.mu.Unlock()
	st := tristrand.LockState{Waiting: waiting}
	c := claimOf(m.word.Load())
	s := c.Strand()
	if s == nil {
		return st
	}
	st.Depth = int(m.depth.Load()) + 1
	st.OwnerDied = s.HasEnded()
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	st.Holder = &tristrand.Holder{Ref: s.Ref(), Name: s.Name(), Host: host, PID: os.Getpid(), At: strand.Place(c.Where())}
	if waiting > 0 {
		st.Holder.Since = since
	}
	return st
}
