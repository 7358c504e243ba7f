package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/gtoken"
	"github.com/tristrand/tristrand/strand"
)

// A Semaphore counts what may be used at once in the cluster. What a process has acquired
// and not released comes back when it dies.
type Semaphore struct{ counter }

// NewSemaphore returns the semaphore of that name; n, its count when it is made, must not be
// below 0.
func NewSemaphore(c *Cluster, name string, n int) *Semaphore {
	return &Semaphore{newCounter(c, name, n, false)}
}

// A BoundedSemaphore is a Semaphore whose count cannot rise above its first value.
type BoundedSemaphore struct{ counter }

// NewBoundedSemaphore returns the bounded semaphore of that name.
func NewBoundedSemaphore(c *Cluster, name string, n int) *BoundedSemaphore {
	return &BoundedSemaphore{newCounter(c, name, n, true)}
}

var (
	_ tristrand.Semaphore = (*Semaphore)(nil)
	_ tristrand.Semaphore = (*BoundedSemaphore)(nil)
)

type counter struct {
	o     *object[semaphoreState]
	bound bool
}

type semaphoreState struct {
	Free  int            `cbor:"1,keyasint"`
	Bound int            `cbor:"2,keyasint,omitempty"`
	Has   map[string]int `cbor:"3,keyasint,omitempty"` // what each session has
	Queue []claimant     `cbor:"4,keyasint,omitempty"`
}

func newCounter(c *Cluster, name string, n int, bounded bool) counter {
	if n < 0 {
		panic(fmt.Sprintf("cluster: a semaphore of %d: the count must not be below 0", n))
	}
	o := newObject[semaphoreState](c, "semaphore", name)
	bound := 0
	if bounded {
		bound = n
	}
	o.start = func() *semaphoreState { return &semaphoreState{Free: n, Bound: bound} }
	o.reap = func(s *semaphoreState, session string) bool {
		was := len(s.Queue)
		s.Queue = slices.DeleteFunc(s.Queue, func(q claimant) bool { return q.Session == session })
		has := s.Has[session]
		delete(s.Has, session)
		s.Free += has
		s.pass()
		return has > 0 || len(s.Queue) != was
	}
	o.sessions = func(s *semaphoreState) []string {
		all := slices.Collect(maps.Keys(s.Has))
		for _, q := range s.Queue {
			if !slices.Contains(all, q.Session) {
				all = append(all, q.Session)
			}
		}
		return all
	}
	return counter{o, bounded}
}

func (s *semaphoreState) take(session string) {
	s.Free--
	if s.Has == nil {
		s.Has = make(map[string]int)
	}
	s.Has[session]++
}

// give notes that a session has released n. Of what it had not itself it is taken to have
// been asked by others, which have it no more: it must not come back again when they die.
func (s *semaphoreState) give(session string, n int) {
	for ; n > 0 && len(s.Has) > 0; n-- {
		if s.Has[session] == 0 {
			for other, has := range s.Has {
				if most := s.Has[session]; has > most || has == most && other < session {
					session = other
				}
			}
		}
		if s.Has[session]--; s.Has[session] == 0 {
			delete(s.Has, session)
		}
	}
}

// pass lets the first in.
func (s *semaphoreState) pass() {
	for s.Free > 0 && len(s.Queue) > 0 {
		s.take(s.Queue[0].Session)
		s.Queue = slices.Delete(s.Queue, 0, 1)
	}
}

func (c *counter) String() string { return c.o.String() }

// Releasers says that anyone could end the wait.
func (c *counter) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) { return buf, false }

// Acquire waits until the count is above zero and takes one from it.
//
//go:noinline
func (c *counter) Acquire(ctx context.Context) error { return c.acquire(ctx, gtoken.Caller(), true) }

// TryAcquire is Acquire that returns ErrBusy instead of waiting.
//
//go:noinline
func (c *counter) TryAcquire(ctx context.Context) error {
	return c.acquire(bounded(ctx), gtoken.Caller(), false)
}

func (c *counter) acquire(ctx context.Context, place uintptr, wait bool) error {
	s := strand.Enter(ctx, strand.Op{Verb: "acquire", On: c, Write: true})
	if err := strand.Err(ctx); err != nil {
		return err
	}
	sess, me, err := c.o.claim(ctx, s, place)
	if err != nil {
		return err
	}
	taken := false
	_, err = c.o.update(bounded(ctx), func(st *semaphoreState) error {
		taken = false
		switch {
		case st.Free > 0 && len(st.Queue) == 0:
			taken = true
			st.take(me.Session)
			return nil
		case !wait:
			return unchanged(fmt.Errorf("%w: %v", tristrand.ErrBusy, c))
		}
		st.Queue = append(st.Queue, me)
		return nil
	})
	if taken && err == nil {
		c.o.c.holds(c.o.subj, me.Session, 1)
	}
	if errors.Is(err, tristrand.ErrBusy) && c.o.inTheWay(ctx) {
		return c.acquire(ctx, place, wait)
	}
	if err != nil || taken {
		return err
	}
	waits := func(st *semaphoreState) bool {
		return slices.ContainsFunc(st.Queue, func(q claimant) bool { return q.ID == me.ID })
	}
	err = c.o.await(ctx, s, c, sess, me.ID, func(st *semaphoreState) (bool, error) { return !waits(st), nil })
	if err != nil {
		err = c.o.withdraw(ctx, sess, err, func(st *semaphoreState) bool {
			n := len(st.Queue)
			st.Queue = slices.DeleteFunc(st.Queue, func(q claimant) bool { return q.ID == me.ID })
			return len(st.Queue) < n
		})
	}
	if err == nil {
		c.o.c.holds(c.o.subj, me.Session, 1)
	}
	return err
}

// holds notes that this process has acquired so many of a semaphore, or released them if n is
// below 0, under a session. Of those to be released it returns how many it has under that
// session, and how many it had under such as were lost: they came back then, and must not a
// second time.
func (c *Cluster) holds(semaphore, session string, n int) (own, lost int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.permits == nil {
		c.permits = make(map[string]map[string]int)
	}
	has := c.permits[semaphore]
	if has == nil {
		has = make(map[string]int)
		c.permits[semaphore] = has
	}
	if n >= 0 {
		has[session] += n
		return 0, 0
	}
	own = min(-n, has[session])
	has[session] -= own
	left := -n - own
	for old, k := range has {
		if old != session && left > 0 {
			took := min(left, k)
			has[old], left, lost = k-took, left-took, lost+took
		}
	}
	maps.DeleteFunc(has, func(_ string, n int) bool { return n == 0 })
	if len(has) == 0 {
		delete(c.permits, semaphore)
	}
	return own, lost
}

// Release adds n to the count. What this process has acquired and lost with its lease is back
// already: its Release changes nothing, and returns tristrand.ErrLost.
func (c *counter) Release(ctx context.Context, n int) error {
	s := strand.Enter(ctx, strand.Op{Verb: "release", On: c, Write: true})
	if n < 1 {
		return fmt.Errorf("%v: Release of %d: it must be at least 1", c, n)
	}
	ctx = bounded(ctx)
	sess, me, err := c.o.claim(ctx, s, 0)
	if err != nil {
		return err
	}
	own, lost := c.o.c.holds(c.o.subj, me.Session, -n)
	n -= lost
	late := 0 // of its own, as the process was stopped just now
	if n > 0 {
		_, err = c.o.update(ctx, func(st *semaphoreState) error {
			late = 0
			if own > 0 && sess.isLost() {
				late = own
			}
			return c.release(st, me.Session, n-late)
		})
	}
	if err == nil && lost+late > 0 {
		err = errLease(c.String())
	}
	return err
}

func (c *counter) release(st *semaphoreState, session string, n int) error {
	if n == 0 {
		return unchanged(nil)
	}
	if c.bound && st.Free+n > st.Bound {
		return unchanged(fmt.Errorf("%w: %v has %d of %d free, and %d were to be released", tristrand.ErrOverRelease, c, st.Free, st.Bound, n))
	}
	st.Free += n
	st.give(session, n)
	st.pass()
	return nil
}

// State returns what the semaphore looks like.
func (c *counter) State(ctx context.Context) (tristrand.SemaphoreState, error) {
	st, err := c.o.read(bounded(ctx))
	if err != nil {
		return tristrand.SemaphoreState{}, err
	}
	return tristrand.SemaphoreState{Free: st.Free, Bound: st.Bound, Waiting: len(st.Queue)}, nil
}
