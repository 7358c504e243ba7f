package local

import (
	"context"
	"fmt"
	"sync"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// A Semaphore counts what may be used at once. Anyone may release it. The count
// of a zero value is 0.
type Semaphore struct {
	// Name is shown in errors; "" shows the address.
	Name string

	bound int // 0: none

	mu      sync.Mutex // guards the rest
	count   int
	offered int // taken from count for waiters that may have given up
	queue   waiters
}

// A BoundedSemaphore is a Semaphore whose count cannot rise above its first
// value. It is made by NewBoundedSemaphore.
type BoundedSemaphore struct{ Semaphore }

var (
	_ tristrand.Semaphore = (*Semaphore)(nil)
	_ tristrand.Semaphore = (*BoundedSemaphore)(nil)
)

// NewSemaphore returns a semaphore with the count n, which may be 0. It panics
// if n is below 0.
func NewSemaphore(n int) *Semaphore {
	if n < 0 {
		panic(fmt.Sprintf("local: NewSemaphore(%d): the count cannot be below 0", n))
	}
	return &Semaphore{count: n}
}

// NewBoundedSemaphore returns a semaphore whose count is n and cannot be more.
// It panics if n is below 1.
func NewBoundedSemaphore(n int) *BoundedSemaphore {
	if n < 1 {
		panic(fmt.Sprintf("local: NewBoundedSemaphore(%d): the bound cannot be below 1", n))
	}
	return &BoundedSemaphore{Semaphore{count: n, bound: n}}
}

// Acquire waits until the count is above zero and takes one from it, first come
// first served.
func (m *Semaphore) Acquire(ctx context.Context) error {
	s := strand.Enter(ctx, strand.Op{Verb: "acquire", On: m, Write: true})
	if ctx.Err() != nil {
		return strand.Err(ctx)
	}
	m.mu.Lock()
	if m.count > 0 {
		m.count--
		m.mu.Unlock()
		return nil
	}
	n := &waiter{w: s.NewWait()}
	m.queue.pushBack(n)
	m.mu.Unlock()
	err := n.w.Park(ctx, m)
	m.mu.Lock()
	if err != nil {
		m.queue.remove(n)
	} else {
		m.offered-- // here, as what it was offered is its own from now on, to release
	}
	m.mu.Unlock()
	return err
}

// TryAcquire is Acquire that returns ErrBusy instead of waiting.
func (m *Semaphore) TryAcquire(ctx context.Context) error {
	strand.Enter(ctx, strand.Op{Verb: "tryacquire", On: m, Write: true})
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.count == 0 {
		return tristrand.ErrBusy
	}
	m.count--
	return nil
}

// Release adds n, at least 1, to the count. A bounded semaphore returns
// ErrOverRelease, and nothing was released, if that is too many.
func (m *Semaphore) Release(ctx context.Context, n int) error {
	if n < 1 {
		return fmt.Errorf("%v: Release(%d): n must be at least 1", m, n)
	}
	strand.Enter(ctx, strand.Op{Verb: "release", On: m, Write: true})
	m.mu.Lock()
	if m.bound > 0 && n > m.bound-m.count-m.offered {
		free := m.count
		m.mu.Unlock()
		return fmt.Errorf("%w: %v: Release(%d) with %d of %d free", tristrand.ErrOverRelease, m, n, free, m.bound)
	}
	m.count += n
	for m.count > 0 && m.queue.n > 0 {
		m.count--
		m.offered++
		w := m.queue.pop().w
		m.mu.Unlock()
		granted := w.Grant()
		m.mu.Lock()
		if !granted { // it gave up; the count is for the next
			m.offered--
			m.count++
		}
	}
	m.mu.Unlock()
	return nil
}

// State returns what the semaphore looks like. It does not wait.
func (m *Semaphore) State(context.Context) (tristrand.SemaphoreState, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return tristrand.SemaphoreState{Free: m.count, Bound: m.bound, Waiting: m.queue.n}, nil
}

// String names the semaphore for errors.
func (m *Semaphore) String() string { return nameOf("semaphore", m.Name, m) }

// Releasers says that anyone could release it.
func (m *Semaphore) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) { return buf, false }
