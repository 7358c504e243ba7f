package shm

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// A Semaphore counts what may be used at once by the strands of several
// processes. Any of them may release it. What a process has acquired and not
// released when it dies is given back; a release counts as one of the caller's
// own process if that holds any, and of another otherwise. It is made by
// NewSemaphore, or arrives as a field of a task's input or output.
type Semaphore struct{ object }

// A BoundedSemaphore is a Semaphore whose count cannot rise above its first
// value. It is made by NewBoundedSemaphore.
type BoundedSemaphore struct{ Semaphore }

var (
	_ tristrand.Semaphore = (*Semaphore)(nil)
	_ tristrand.Semaphore = (*BoundedSemaphore)(nil)
)

// A semaphoreCell changes by one store at a time: what is free is total less what
// the processes hold, less the waiters that have passed and not yet counted
// themselves among those.
type semaphoreCell struct {
	cell
	total  atomic.Int64
	bound  int64         // 0: none
	wanted atomic.Uint32 // somebody waits, or has passed
	recall atomic.Uint32 // whoever has the guard is to look once more who can pass
	high   atomic.Uint32 // processes from here on never held any
	held   [maxProcs]atomic.Int64
}

func semaphoreAt(a *arena, unit uint32) *semaphoreCell { return cellAt[semaphoreCell](a, unit) }

// NewSemaphore returns a semaphore with the count n, which may be 0. It panics if
// n is below 0; for the name and errors see NewLock.
func NewSemaphore(name string, n int) (*Semaphore, error) {
	if n < 0 {
		panic(fmt.Sprintf("shm: NewSemaphore(%d): the count cannot be below 0", n))
	}
	m := new(Semaphore)
	if err := m.init(kindSemaphore, name, n, 0); err != nil {
		return nil, err
	}
	return m, nil
}

// NewBoundedSemaphore returns a semaphore whose count is n and cannot be more.
// It panics if n is below 1; for the name and errors see NewLock.
func NewBoundedSemaphore(name string, n int) (*BoundedSemaphore, error) {
	if n < 1 {
		panic(fmt.Sprintf("shm: NewBoundedSemaphore(%d): the bound cannot be below 1", n))
	}
	m := new(BoundedSemaphore)
	if err := m.init(kindBoundedSemaphore, name, n, n); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *Semaphore) init(k kind, name string, n, bound int) error {
	if err := m.make(k, name, units[semaphoreCell]()); err != nil {
		return err
	}
	c := semaphoreAt(m.a, m.unit)
	c.bound = int64(bound)
	c.total.Store(int64(n))
	return nil
}

// out returns how many are held, and how many waiters have passed and not counted
// themselves yet, and how many wait. The caller has the guard, but a waiter that
// has passed counts itself and then leaves without it. It is seen at least once as
// the waiters are looked at first, and perhaps twice: never is one free too many.
func (c *semaphoreCell) out(a *arena, unit uint32) (held, passing, waits int64) {
	if c.wanted.Load() != 0 {
		passing, waits = c.waiters(a, unit)
	}
	for i := range min(c.high.Load(), maxProcs) {
		held += c.held[i].Load()
	}
	return held, passing, waits
}

func (c *semaphoreCell) waiters(a *arena, unit uint32) (passing, waits int64) {
	high := a.high()
	for i := uint32(firstSeat); i < high; i++ {
		sp := &a.mem.spots[i]
		ph := phaseOf(sp.state.Load())
		if ph != waiting && ph != passed || sp.what.Load()>>whatShift != uint64(unit) {
			continue
		}
		if ph == passed {
			passing++
		} else {
			waits++
		}
	}
	return passing, waits
}

// hold counts one as this process's.
func (c *semaphoreCell) hold(a *arena) {
	for h := c.high.Load(); h <= a.self; h = c.high.Load() {
		c.high.CompareAndSwap(h, a.self+1)
	}
	c.held[a.self].Add(1)
}

// unlock opens the guard, and looks once more who can pass if somebody could not
// wait for the guard to do it.
func (c *semaphoreCell) unlock(a *arena, unit uint32) {
	for {
		c.guard.unlock(a)
		if c.recall.Load() == 0 || !c.guard.tryLock(a) {
			return
		}
		c.recall.Store(0)
		c.pass(a, unit)
	}
}

// take takes one if that is possible without overtaking. It is called with the
// guard, and opens it.
func (c *semaphoreCell) take(a *arena, unit uint32) error {
	defer c.unlock(a, unit)
	held, passing, waits := c.out(a, unit)
	if c.total.Load()-held-passing-waits <= 0 {
		return tristrand.ErrBusy
	}
	c.hold(a)
	a.shadow.acquire(unit)
	return nil
}

// Acquire waits until the count is above zero and takes one from it, first come
// first served.
func (m *Semaphore) Acquire(ctx context.Context) error {
	s := strand.Enter(ctx, strand.Op{Verb: "acquire", On: m, Write: true})
	if ctx.Err() != nil {
		return strand.Err(ctx)
	}
	if err := m.usable("semaphore"); err != nil {
		return err
	}
	a, c := m.a, semaphoreAt(m.a, m.unit)
	if err := c.guard.lockUnder(ctx, a); err != nil {
		return err
	}
	if err := c.take(a, m.unit); !errors.Is(err, tristrand.ErrBusy) {
		a.pin()
		return err
	}
	t, err := a.waiter(ctx, s, m.unit)
	if err != nil {
		return err
	}
	defer t.done()
	if err := c.guard.lockUnder(ctx, a); err != nil {
		return err
	}
	c.wanted.Store(1)
	t.enter(ctx, 0, 0, false)
	c.pass(a, m.unit)
	c.unlock(a, m.unit)
	err = t.park(ctx, m)
	if t.giveUp() {
		return err
	}
	// Counted before leaving: killed in between, it is given back once. Who looks
	// in between sees one less than there is free, so somebody looks once more.
	c.hold(a)
	t.leave()
	a.pin()
	if c.recall.Store(1); c.guard.tryLock(a) {
		c.unlock(a, m.unit)
	}
	return nil
}

// pass lets as many waiters pass as there are free. The caller has the guard.
func (c *semaphoreCell) pass(a *arena, unit uint32) {
	held, passing, waits := c.out(a, unit)
	if passing+waits == 0 {
		c.wanted.Store(0)
	}
	if n := min(waits, c.total.Load()-held-passing); n > 0 {
		a.wake(unit, 0, int(n), passed)
	}
}

// kickSemaphore gives back what process n held, which is dead, and lets those pass who
// can. It has the guard, so that nobody releases the same meanwhile.
func (a *arena) kickSemaphore(unit, n uint32) {
	c := semaphoreAt(a, unit)
	c.guard.lock(a)
	defer c.unlock(a, unit)
	if held := &c.held[n]; held.Load() > 0 {
		held.Store(0)
	}
	c.pass(a, unit)
}

// TryAcquire is Acquire that returns ErrBusy instead of waiting.
func (m *Semaphore) TryAcquire(ctx context.Context) error {
	strand.Enter(ctx, strand.Op{Verb: "tryacquire", On: m, Write: true})
	if err := m.usable("semaphore"); err != nil {
		return err
	}
	c := semaphoreAt(m.a, m.unit)
	err := c.guard.lockAnyway(over(), m.a)
	if err == nil {
		err = c.take(m.a, m.unit)
	}
	if err != nil {
		m.a.watch() // one that a dead process holds is there for the next who tries
		return err
	}
	m.a.pin()
	return nil
}

// Release adds n, at least 1, to the count. A bounded semaphore returns
// ErrOverRelease, and nothing was released, if that is too many.
func (m *Semaphore) Release(ctx context.Context, n int) error {
	if err := m.usable("semaphore"); err != nil {
		return err
	}
	if n < 1 {
		return fmt.Errorf("%v: Release(%d): n must be at least 1", m, n)
	}
	strand.Enter(ctx, strand.Op{Verb: "release", On: m, Write: true})
	a, c := m.a, semaphoreAt(m.a, m.unit)
	a.shadow.release(m.unit)
	if err := c.guard.lockAnyway(ctx, a); err != nil {
		return fmt.Errorf("%v: nothing was released: %w", m, err)
	}
	defer c.unlock(a, m.unit)
	held, passing, _ := c.out(a, m.unit)
	if out := held + passing; c.bound > 0 && int64(n) > out {
		return fmt.Errorf("%w: %v: Release(%d) with %d of %d free", tristrand.ErrOverRelease, m, n, c.bound-out, c.bound)
	}
	c.release(a, int64(n), passing)
	c.pass(a, m.unit)
	return nil
}

// release takes n from what this process holds, then from what others do; what
// nobody holds is added to the total. Killed half way it has released less.
func (c *semaphoreCell) release(a *arena, n, passing int64) {
	from := func(i uint32) {
		if k := min(n, c.held[i].Load()); k > 0 {
			c.held[i].Add(-k)
			n -= k
		}
	}
	from(a.self)
	for i := range min(c.high.Load(), maxProcs) {
		from(i)
	}
	if k := min(n, passing); k > 0 { // theirs who have not counted themselves yet
		for h := c.high.Load(); h <= a.self; h = c.high.Load() {
			c.high.CompareAndSwap(h, a.self+1)
		}
		c.held[a.self].Add(-k)
		n -= k
	}
	if n > 0 {
		c.total.Add(n)
	}
}

// State returns what the semaphore looks like. It does not wait.
func (m *Semaphore) State(context.Context) (tristrand.SemaphoreState, error) {
	if err := m.usable("semaphore"); err != nil {
		return tristrand.SemaphoreState{}, err
	}
	a, c := m.a, semaphoreAt(m.a, m.unit)
	if c.guard.lockShortly(a) {
		defer c.unlock(a, m.unit)
	}
	held, passing, waits := c.out(a, m.unit)
	return tristrand.SemaphoreState{Free: int(c.total.Load() - held - passing), Bound: int(c.bound), Waiting: int(waits)}, nil
}

// String names the semaphore for errors.
func (m *Semaphore) String() string { return m.name("semaphore") }

// Releasers says that anyone could release it.
func (m *Semaphore) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) { return buf, false }

// MarshalCBOR encodes where the semaphore is.
func (m *Semaphore) MarshalCBOR() ([]byte, error) { return m.marshal("Semaphore") }

// UnmarshalCBOR makes m the semaphore that was encoded.
func (m *Semaphore) UnmarshalCBOR(data []byte) error {
	return m.unmarshal(data, "Semaphore", kindSemaphore)
}

// MarshalCBOR encodes where the semaphore is.
func (m *BoundedSemaphore) MarshalCBOR() ([]byte, error) { return m.marshal("BoundedSemaphore") }

// UnmarshalCBOR makes m the semaphore that was encoded.
func (m *BoundedSemaphore) UnmarshalCBOR(data []byte) error {
	return m.unmarshal(data, "BoundedSemaphore", kindBoundedSemaphore)
}
