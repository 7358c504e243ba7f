package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/pickle"
	"github.com/tristrand/tristrand/strand"
)

// LockMethods are the methods of Lock and RLock that clients may call. recover
// and state are for Go clients.
var LockMethods = []string{"acquire", "release", "locked", "recover", "state"}

// A Mutex is a shared Lock or RLock. Those who wait are served first come first
// served. It is not one of package local: that belongs to a goroutine, this one
// to an Owner, and any session of a Python program may release the Lock of
// another, as threading has it.
type Mutex struct {
	locks     *Locks
	reentrant bool
	name      string

	// Guarded by locks.mu.
	owner *Owner // one that ended: nobody has taken it over
	depth int
	place string
	since time.Time
	queue []*lockWaiter
}

// a lockWaiter is one call that waits. Its outcome is written before the grant.
type lockWaiter struct {
	o        *Owner
	w        strand.Wait
	recovers bool
	place    string
	died     bool

	later *laterWait // in place of w
}

// NewLock returns how locks are made.
func NewLock(l *Locks, reentrant bool) func(c *Call) (Object, error) {
	return func(c *Call) (Object, error) {
		what := "Lock"
		if reentrant {
			what = "RLock"
		}
		if err := c.none(what); err != nil {
			return nil, err
		}
		return &Mutex{locks: l, reentrant: reentrant}, nil
	}
}

// SetName is told the object's ident, for errors.
func (m *Mutex) SetName(ident string) { m.name = ident }

func (m *Mutex) String() string {
	if m.reentrant {
		return "RLock " + m.name
	}
	return "lock " + m.name
}

// Releasers says that the graph of strands does not know: owners have their own.
func (m *Mutex) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) { return buf, false }

// Call calls a method.
func (m *Mutex) Call(c *Call, method string) (any, error) {
	switch method {
	case "acquire":
		args, err := c.bind(method, 0, "blocking", "timeout")
		if err != nil {
			return nil, err
		}
		p, err := lockPatience(args[0], args[1])
		if err != nil {
			return nil, err
		}
		return m.acquire(c, p, !c.Owner.Go)
	case "recover":
		if err := c.none(method); err != nil {
			return nil, err
		}
		return m.acquire(c, patience{block: true, forever: true}, true)
	case "release":
		if err := c.none(method); err != nil {
			return nil, err
		}
		return nil, m.release(c)
	case "locked":
		m.locks.mu.Lock()
		defer m.locks.mu.Unlock()
		return m.owner != nil, c.none(method)
	case "state":
		return m.state(), c.none(method)
	default:
		return nil, ErrNoMethod
	}
}

// acquire takes the lock and reports whether it did, within p.
func (m *Mutex) acquire(c *Call, p patience, recovers bool) (bool, error) {
	m.locks.mu.Lock()
	ok, err := m.take(c, recovers, 1)
	m.locks.mu.Unlock()
	if ok || err != nil || !p.block {
		return ok, err
	}
	if c.Later != nil && m.later(c, p, recovers) {
		return false, ErrLater
	}
	ctx, _, err := c.Wait()
	if err != nil {
		return false, err
	}
	if !p.forever {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.d)
		defer cancel()
	}
	err = m.wait(ctx, c, recovers, !p.forever || c.Timed, 1)
	if err != nil && !p.forever && ctx.Err() != nil && errors.Is(err, context.DeadlineExceeded) {
		return false, nil
	}
	return err == nil, err
}

// take takes the lock if it need not wait. The caller holds the mutex.
func (m *Mutex) take(c *Call, recovers bool, depth int) (bool, error) {
	switch o := c.Owner; {
	case m.owner == nil:
	case m.owner.ended:
		if !recovers {
			return false, m.errDied()
		}
	case m.owner == o && m.reentrant && !o.Nameless:
		m.depth++
		return true, nil
	default:
		return false, nil
	}
	m.give(c.Owner, c.Place, depth)
	c.Owner.held = append(c.Owner.held, m)
	return true, nil
}

func (m *Mutex) give(o *Owner, place string, depth int) {
	m.owner, m.depth, m.place = o, depth, place
	m.since = time.Now()
}

func (m *Mutex) errDied() error {
	return runtimeError("the holder of %v ended without releasing it", m).as(tristrand.ErrOwnerDied)
}

// wait waits until the owner has the lock, which it then has to depth.
func (m *Mutex) wait(ctx context.Context, c *Call, recovers, timed bool, depth int) error {
	s := strand.Enter(ctx, strand.Op{Verb: "acquire", On: m, Write: true})
	n := &lockWaiter{o: c.Owner, recovers: recovers, place: c.Place}
	m.locks.mu.Lock()
	if ok, err := m.take(c, recovers, depth); ok || err != nil {
		m.locks.mu.Unlock()
		return err
	}
	if !timed {
		if dead := c.Owner.cycle(m, false); dead != nil {
			m.locks.mu.Unlock()
			return runtimeError("%v", dead).as(dead)
		}
	}
	n.w = s.NewWait()
	m.queue = append(m.queue, n)
	c.Owner.waiting, c.Owner.timed = m, timed
	m.locks.mu.Unlock()

	err := n.w.Park(ctx, m)
	m.locks.mu.Lock()
	defer m.locks.mu.Unlock()
	if err != nil && timed {
		if dead := c.Owner.cycle(m, true); dead != nil {
			err = errors.Join(err, dead)
		}
	}
	c.Owner.waiting = nil
	switch {
	case err != nil:
		m.leave(n)
		return err
	case n.died:
		return m.errDied()
	}
	m.depth = depth
	c.Owner.held = append(c.Owner.held, m)
	return nil
}

func (m *Mutex) leave(n *lockWaiter) {
	for i, x := range m.queue {
		if x == n {
			m.queue = append(m.queue[:i:i], m.queue[i+1:]...)
			return
		}
	}
}

// release gives one level up.
func (m *Mutex) release(c *Call) error {
	m.locks.mu.Lock()
	if err := m.mayRelease(c.Owner); err != nil {
		m.locks.mu.Unlock()
		return err
	}
	if m.depth--; m.depth > 0 {
		m.locks.mu.Unlock()
		return nil
	}
	c.Woke = len(m.queue) > 0 && m.queue[0].later == nil
	m.free()
	return nil
}

func (m *Mutex) mayRelease(o *Owner) error {
	what := "release unlocked lock"
	if m.reentrant {
		what = "cannot release un-acquired lock"
	}
	switch h := m.owner; {
	case h == nil || h.ended:
		return runtimeError("%s", what).as(fmt.Errorf("%v: %w", m, tristrand.ErrNotHeld))
	case h != o && (m.reentrant || h.Go || o.Go):
		return runtimeError("%s: %q holds it", what, h.Name).as(fmt.Errorf("%v: %w: %q holds it", m, tristrand.ErrNotHeld, h.Name))
	}
	return nil
}

// free gives the lock to the first who waits. The caller holds the mutex, and
// free unlocks it: nobody is granted anything under it.
func (m *Mutex) free() {
	if m.owner != nil {
		m.owner.drop(m)
	}
	for {
		if len(m.queue) == 0 {
			m.owner, m.depth, m.place, m.queue = nil, 0, "", nil
			m.locks.mu.Unlock()
			return
		}
		n := m.queue[0]
		m.queue = m.queue[1:]
		m.give(n.o, n.place, 1)
		n.o.waiting = nil
		if n.later != nil {
			m.arrive(n)
			m.locks.mu.Unlock()
			n.later.answer(true, nil)
			return
		}
		m.locks.mu.Unlock()
		if n.w.Grant() {
			return
		}
		m.locks.mu.Lock() // it had given up meanwhile
	}
}

// ownerEnded gives the lock of an owner that is gone to the first who would take
// it so, and tells the others.
func (m *Mutex) ownerEnded(o *Owner) {
	m.locks.mu.Lock()
	for m.owner == o {
		if len(m.queue) == 0 {
			m.depth = 0
			break
		}
		n := m.queue[0]
		m.queue = m.queue[1:]
		n.died = !n.recovers
		n.o.waiting = nil
		if n.recovers {
			m.give(n.o, n.place, 1)
		}
		if n.later != nil {
			m.answerDied(n)
			continue
		}
		m.locks.mu.Unlock()
		granted := n.w.Grant()
		m.locks.mu.Lock()
		if n.recovers && !granted {
			m.owner = o // and on to the next
		}
	}
	m.locks.mu.Unlock()
}

// state is what Go clients see of it.
func (m *Mutex) state() pickle.Tuple {
	m.locks.mu.Lock()
	defer m.locks.mu.Unlock()
	var holder any
	depth := m.depth
	if o := m.owner; o != nil {
		since := int64(0)
		if len(m.queue) > 0 {
			since = m.since.UnixNano()
		}
		depth = max(depth, 1)
		holder = pickle.Tuple{int64(o.Ref.Process), int64(o.Ref.Strand), o.Name, o.Host, int64(o.PID), m.place, since}
	}
	return pickle.Tuple{holder, int64(depth), int64(len(m.queue)), m.owner != nil && m.owner.ended}
}

// Repr prints it.
func (m *Mutex) Repr(int) string {
	m.locks.mu.Lock()
	defer m.locks.mu.Unlock()
	switch o := m.owner; {
	case o == nil:
		return fmt.Sprintf("<unlocked %v>", m)
	case o.ended:
		return fmt.Sprintf("<%v, whose holder %q ended, %d waiting>", m, o.Name, len(m.queue))
	default:
		return fmt.Sprintf("<locked %v, holder %q, %d waiting>", m, o.Name, len(m.queue))
	}
}

// Value says that a lock cannot be sent.
func (m *Mutex) Value() (any, error) {
	if m.reentrant {
		return nil, &pickle.WriteError{What: "'_thread.RLock' object"}
	}
	return nil, &pickle.WriteError{What: "'_thread.lock' object"}
}
