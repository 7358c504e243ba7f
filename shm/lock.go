package shm

import (
	"context"
	"runtime"
	"sync/atomic"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/gtoken"
	"github.com/tristrand/tristrand/strand"
)

// A Lock is held by one strand of one process at a time; only its holder releases
// it. To acquire it twice is a *tristrand.DeadlockError. It is made by NewLock, or
// arrives as a field of a task's input or output; a zero value only says so.
type Lock struct{ locker }

// A locker is what Lock and RLock have in common.
type locker struct {
	object
	cell atomic.Pointer[lockCell] // nil: a zero value, or closed
}

var _ tristrand.Locker = (*Lock)(nil)

// NewLock returns a free lock. The name, of which 40 bytes are kept, is shown in
// errors; "" shows a number. It fails if there is no memory, or where the system
// shares none.
func NewLock(name string) (*Lock, error) {
	l := new(Lock)
	if err := l.init(kindLock, name); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *locker) init(k kind, name string) error {
	if err := l.make(k, name, units[lockCell]()); err != nil {
		return err
	}
	l.cell.Store(cellAt[lockCell](l.a, l.unit))
	return nil
}

// mutex returns the lock in its arena, or an error if it is not usable.
func (l *locker) mutex(what string) (mutex, error) {
	c := l.cell.Load()
	if c == nil {
		return mutex{}, l.usable(what)
	}
	return mutex{l.a, l.unit, c}, nil
}

// Close gives the lock up in this process; see the package's comment.
func (l *locker) Close() error {
	l.cell.Store(nil)
	return l.object.Close()
}

// take takes the lock if it is free and nobody waits. It is the fast path.
func (l *locker) take(s *strand.Strand, place int32) bool {
	c := l.cell.Load()
	if c == nil {
		return false
	}
	seat := l.a.seatOf(s)
	if seat == 0 || !c.word.CompareAndSwap(0, claimWord(seat, place)) {
		return false
	}
	s.Held(1)
	l.a.shadow.acquire(l.unit)
	runtime.KeepAlive(l) // and so the memory of c
	return true
}

// release gives the lock up if its holder is the caller, under the Go runtime, at
// the first level, and nobody waits. It is the fast path.
func (l *locker) release() bool {
	c := l.cell.Load()
	if c == nil {
		return false
	}
	w := c.word.Load()
	if w&(flags|transit) != 0 || c.depth.Load() != 0 {
		return false
	}
	i := seatIn(w)
	if i >= keptSeats {
		return false
	}
	s := l.a.seats[i].strand.Load()
	if s == nil || !s.Mine() || s.Scheduler() != nil {
		return false
	}
	l.a.shadow.release(l.unit)
	if !c.word.CompareAndSwap(w, 0) {
		return false
	}
	s.Held(-1)
	runtime.KeepAlive(l)
	return true
}

// Acquire waits until the caller holds the lock; see tristrand.Locker.
//
//go:noinline
func (l *Lock) Acquire(ctx context.Context) error {
	s := strand.Enter(ctx, strand.Op{Verb: "acquire", On: l, Write: true})
	if ctx.Err() != nil {
		return strand.Err(ctx)
	}
	place := s.Offset(gtoken.Caller())
	if l.take(s, place) {
		return nil
	}
	m, err := l.mutex("lock")
	if err != nil {
		return err
	}
	return m.lock(ctx, l, s, place, false)
}

// TryAcquire is Acquire that returns ErrBusy instead of waiting.
//
//go:noinline
func (l *Lock) TryAcquire(ctx context.Context) error {
	s := strand.Enter(ctx, strand.Op{Verb: "tryacquire", On: l, Write: true})
	place := s.Offset(gtoken.Caller())
	m, err := l.mutex("lock")
	if err != nil {
		return err
	}
	return m.try(ctx, l, s, place)
}

// Recover is Acquire that also takes a lock whose holder died.
//
//go:noinline
func (l *Lock) Recover(ctx context.Context) error {
	s := strand.Enter(ctx, strand.Op{Verb: "acquire", On: l, Write: true})
	if ctx.Err() != nil {
		return strand.Err(ctx)
	}
	place := s.Offset(gtoken.Caller())
	m, err := l.mutex("lock")
	if err != nil {
		return err
	}
	return m.lock(ctx, l, s, place, true)
}

// Release gives the lock up. It returns ErrNotHeld, and changes nothing, when
// the calling goroutine does not hold it. ctx may have ended.
func (l *Lock) Release(context.Context) error {
	if l.release() {
		return nil
	}
	m, err := l.mutex("lock")
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
	m.free(s)
	return nil
}

// State returns what the lock looks like. It does not wait.
func (l *Lock) State(context.Context) (tristrand.LockState, error) {
	m, err := l.mutex("lock")
	if err != nil {
		return tristrand.LockState{}, err
	}
	return m.state(), nil
}

// String names the lock for errors.
func (l *Lock) String() string { return l.name("lock") }

// Releasers returns the holder.
func (l *locker) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) {
	c := l.cell.Load()
	if c == nil {
		return buf, false
	}
	return mutex{l.a, l.unit, c}.releasers(buf)
}

// Refuse takes a wait that is in a deadlock from the queue.
func (l *locker) Refuse(w strand.Wait) bool { return l.a.refuse(w, l.unit) }

// MarshalCBOR encodes where the lock is.
func (l *Lock) MarshalCBOR() ([]byte, error) { return l.marshal("Lock") }

// UnmarshalCBOR makes l the lock that was encoded.
func (l *Lock) UnmarshalCBOR(data []byte) error { return l.decode(data, "Lock", kindLock) }

func (l *locker) decode(data []byte, what string, k kind) error {
	if err := l.unmarshal(data, what, k); err != nil {
		return err
	}
	l.cell.Store(cellAt[lockCell](l.a, l.unit))
	return nil
}
