package cluster

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"runtime"
	"slices"
	"strconv"
	"time"
	"weak"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/gtoken"
	"github.com/tristrand/tristrand/strand"
)

// A Lock is held by one strand of one process of the cluster at a time, first come first
// served; only its holder releases it. To acquire it twice is a *tristrand.DeadlockError.
//
// It is a lease: when its holder's process dies, or does not reach the servers, for the
// Lease, the next to ask gets tristrand.ErrOwnerDied, and Recover takes it. A holder that
// was only stopped goes on in the belief that it holds it: With ends its ctx by its own
// monotonic clock before the lease is over, and what must be right whatever the clocks do
// is written with the lock as its guard; see Value.StoreGuarded and Token.
type Lock struct{ locker }

// NewLock returns the lock of that name: the same for all who ask for it.
func NewLock(c *Cluster, name string) *Lock {
	return &Lock{locker{o: c.lockObject(name), again: false}}
}

// An RLock is re-entrant; it is not a read lock. It is a Lock that its holder may acquire
// again, and gives up when it has released it as often.
type RLock struct{ locker }

// NewRLock returns the re-entrant lock of that name.
func NewRLock(c *Cluster, name string) *RLock {
	return &RLock{locker{o: c.lockObject(name), again: true}}
}

var (
	_ tristrand.LeasedLocker = (*Lock)(nil)
	_ tristrand.LeasedLocker = (*RLock)(nil)
	_ strand.Resource        = (*locker)(nil)
)

// A locker is what Lock and RLock have in common.
type locker struct {
	o     *object[lockState]
	again bool
}

// A lockState is a lock's document.
type lockState struct {
	Token  uint64     `cbor:"1,keyasint"` // how often it was taken
	Holder *claimant  `cbor:"2,keyasint,omitempty"`
	Depth  int        `cbor:"3,keyasint,omitempty"`
	Died   bool       `cbor:"4,keyasint,omitempty"`
	Queue  []claimant `cbor:"5,keyasint,omitempty"`

	all bool // what was just changed concerns all who wait
}

// lockObject returns the object of a lock. All of this process have the same one: what one
// strand does to the lock is known to all at once, and so no two of them see a deadlock in
// who held it at different times.
func (c *Cluster) lockObject(name string) *object[lockState] {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o := c.locks[name].Value(); o != nil {
		return o
	}
	o := newLockObject(c, name)
	if c.locks == nil {
		c.locks = make(map[string]weak.Pointer[object[lockState]])
	}
	c.locks[name] = weak.Make(o)
	runtime.AddCleanup(o, c.forgetLock, name)
	return o
}

// forgetLock takes out the object of a lock that nobody has any more.
func (c *Cluster) forgetLock(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.locks[name].Value() == nil {
		delete(c.locks, name)
	}
}

func newLockObject(c *Cluster, name string) *object[lockState] {
	o := newObject[lockState](c, "lock", name)
	o.reap = func(s *lockState, session string) bool {
		s.all = true
		n := len(s.Queue)
		s.Queue = slices.DeleteFunc(s.Queue, func(q claimant) bool { return q.Session == session })
		if s.Holder != nil && !s.Died && s.Holder.Session == session {
			s.die()
			return true
		}
		return len(s.Queue) != n
	}
	o.kept, o.again = 8, true
	o.inspect = c.deadlocked
	o.concerns = func(s *lockState) string {
		all := s.all
		if s.all = false; s.Holder == nil || s.Died || all {
			return ""
		}
		return s.Holder.ID
	}
	o.sessions = func(s *lockState) []string {
		var all []string
		if s.Holder != nil && !s.Died {
			all = append(all, s.Holder.Session)
		}
		for _, q := range s.Queue {
			if !slices.Contains(all, q.Session) {
				all = append(all, q.Session)
			}
		}
		return all
	}
	return o
}

// grant makes q the holder.
func (s *lockState) grant(q claimant) {
	s.Token++
	s.Holder, s.Depth, s.Died = &q, max(q.Levels, 1), false
}

// pass gives the lock to the next.
func (s *lockState) pass() {
	s.Holder, s.Depth, s.Died = nil, 0, false
	if len(s.Queue) > 0 {
		next := s.Queue[0]
		s.Queue = slices.Delete(s.Queue, 0, 1)
		s.grant(next)
	}
}

// die tells those who wait that the holder has died: one that came to recover takes the
// lock, and the others before it are told.
func (s *lockState) die() {
	s.Died, s.all = true, true
	i := slices.IndexFunc(s.Queue, func(q claimant) bool { return q.Recover })
	if i < 0 {
		s.Queue = nil
		return
	}
	next := s.Queue[i]
	s.Queue = slices.DeleteFunc(s.Queue, func(q claimant) bool { return !q.Recover || q.ID == next.ID })
	s.grant(next)
}

func (l *locker) String() string {
	kind := "lock"
	if l.again {
		kind = "rlock"
	}
	return fmt.Sprintf("cluster %s %q", kind, l.o.name)
}

// Releasers returns the holder, as far as is known here.
func (l *locker) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) {
	l.o.mu.Lock()
	s, err := l.o.view()
	l.o.mu.Unlock()
	if err != nil || s.Holder == nil || s.Died || s.Holder.Strand == 0 {
		return buf, false
	}
	l.o.c.mu.Lock()
	sess := l.o.c.sess
	l.o.c.mu.Unlock()
	ref := strand.Ref{Process: processOf(s.Holder.Session), Strand: s.Holder.Strand}
	if sess != nil && s.Holder.Session == sess.id {
		ref.Process = 0
	}
	where := uintptr(0)
	if ref.Process == 0 {
		where = strand.PlaceAt(s.Holder.Offset)
	}
	return append(buf, strand.Releaser{Ref: ref, Where: where}), true
}

// processOf makes a number of a session.
func processOf(session string) strand.ID {
	h := fnv.New64a()
	_, _ = h.Write([]byte(session))
	return strand.ID(h.Sum64() | 1)
}

// Acquire waits until the caller holds the lock; see tristrand.Locker.
//
//go:noinline
func (l *locker) Acquire(ctx context.Context) error {
	return l.acquire(ctx, gtoken.Caller(), false, true)
}

// TryAcquire is Acquire that returns ErrBusy instead of waiting.
//
//go:noinline
func (l *locker) TryAcquire(ctx context.Context) error {
	return l.acquire(bounded(ctx), gtoken.Caller(), false, false)
}

// Recover is Acquire that also takes a lock whose holder died.
//
//go:noinline
func (l *locker) Recover(ctx context.Context) error {
	return l.acquire(ctx, gtoken.Caller(), true, true)
}

func (l *locker) acquire(ctx context.Context, place uintptr, recovers, wait bool) error {
	s := strand.Enter(ctx, strand.Op{Verb: "acquire", On: l, Write: true})
	if err := strand.Err(ctx); err != nil {
		return err
	}
	sess, me, err := l.o.claim(ctx, s, place)
	if err != nil {
		return err
	}
	me.Recover = recovers
	return l.take(ctx, s, sess, me, wait)
}

// take takes the lock for me, or waits for it.
func (l *locker) take(ctx context.Context, s *strand.Strand, sess *session, me claimant, wait bool) error {
	deeper, had := false, 0
	_, err := l.o.update(bounded(ctx), func(st *lockState) error {
		deeper = false
		switch {
		case st.Holder != nil && st.Holder.ID == me.ID: // it was stored, and that not heard of
			return unchanged(nil)
		case st.Holder != nil && !st.Died && st.Holder.same(&me) && me.Strand != 0 && (l.again || wait):
			if !l.again {
				return unchanged(l.twice(s, st))
			}
			deeper = true
			if had != 0 && st.Depth != had { // it was stored: nobody but this strand changes it
				return unchanged(nil)
			}
			had = st.Depth
			st.Depth += max(me.Levels, 1)
			return nil
		case st.Holder == nil, st.Died && me.Recover:
			st.grant(me)
			return nil
		case st.Died:
			return unchanged(fmt.Errorf("%w: %v; Recover takes it", tristrand.ErrOwnerDied, l))
		case !wait:
			return unchanged(fmt.Errorf("%w: %v is held by %q on %s", tristrand.ErrBusy, l, st.Holder.Name, st.Holder.Host))
		case slices.ContainsFunc(st.Queue, func(q claimant) bool { return q.ID == me.ID }):
			return unchanged(nil)
		}
		st.Queue = append(st.Queue, me)
		return nil
	})
	if errors.Is(err, tristrand.ErrBusy) && l.o.inTheWay(ctx) {
		return l.take(ctx, s, sess, me, wait)
	}
	if err != nil {
		return err
	}
	if deeper {
		return nil
	}
	err = l.o.await(ctx, s, l, sess, me.ID, func(st *lockState) (bool, error) { return l.settled(st, &me) })
	if err != nil && !errors.Is(err, tristrand.ErrOwnerDied) {
		if l.leave(ctx, &me) && !errors.Is(err, tristrand.ErrLost) {
			err = nil // it was granted all the same
		}
	}
	if err == nil {
		l.held(s, sess, me.ID)
	}
	return err
}

// settled says whether a claim is the holder's, or out.
func (l *locker) settled(st *lockState, me *claimant) (bool, error) {
	switch {
	case st.Holder != nil && st.Holder.ID == me.ID:
		return true, nil
	case slices.ContainsFunc(st.Queue, func(q claimant) bool { return q.ID == me.ID }):
		return false, nil
	default:
		return true, fmt.Errorf("%w: %v; Recover takes it", tristrand.ErrOwnerDied, l)
	}
}

// leave takes a claim out of the queue. It returns true if it is the holder's instead.
func (l *locker) leave(ctx context.Context, me *claimant) (granted bool) {
	_, _ = l.o.update(bounded(ctx), func(st *lockState) error {
		granted = st.Holder != nil && st.Holder.ID == me.ID && !st.Died
		n := len(st.Queue)
		st.Queue = slices.DeleteFunc(st.Queue, func(q claimant) bool { return q.ID == me.ID })
		if granted || len(st.Queue) == n {
			return unchanged(nil)
		}
		return nil
	})
	return granted
}

// twice is the error of a strand that would wait for itself.
func (l *locker) twice(s *strand.Strand, st *lockState) error {
	return &tristrand.DeadlockError{Cycle: []strand.Link{{Waiter: s.Name(), On: l.String(), Holder: s.Name(), TakenAt: st.Holder.At}}}
}

type heldKey struct{ l *object[lockState] }

// held notes that the strand holds the lock: when it ends, its lock is told to be left.
func (l *locker) held(s *strand.Strand, _ *session, id string) {
	if s.ID() == 0 {
		return
	}
	h, _ := s.Local(heldKey{l.o}, func() any {
		h := new(string)
		s.AtEnd(func() {
			if *h != "" {
				go l.abandon(*h)
			}
		})
		return h
	}).(*string)
	*h = id
}

// abandon marks a lock whose holder has ended.
func (l *locker) abandon(id string) {
	_, _ = l.o.update(context.Background(), func(st *lockState) error {
		if st.Holder == nil || st.Died || st.Holder.ID != id {
			return unchanged(nil)
		}
		st.die()
		return nil
	})
}

// Release gives the lock up. It returns ErrNotHeld, and changes nothing, when the caller
// does not hold it. ctx may have ended. It returns tristrand.ErrLost when the lease was
// lost meanwhile: others may have had the lock.
func (l *locker) Release(ctx context.Context) error {
	_, err := l.free(ctx, false)
	return err
}

// free gives up one level, or all of them, whose number it returns.
func (l *locker) free(ctx context.Context, all bool) (levels int, err error) {
	s := strand.Enter(ctx, strand.Op{Verb: "release", On: l, Write: true})
	ctx = bounded(ctx)
	sess, me, err := l.o.claim(ctx, s, 0)
	if err != nil {
		return 0, err
	}
	depth := -1
	_, err = l.o.update(ctx, func(st *lockState) error {
		mine := st.Holder != nil && !st.Died && st.Holder.same(&me)
		switch {
		case depth > 0 && (!mine || st.Depth != depth) && !sess.isLost():
			return unchanged(nil) // it was stored before: nobody but this strand changes it
		case !mine:
			if st.Holder != nil && st.Holder.Host == me.Host && st.Holder.PID == me.PID && st.Holder.Strand == me.Strand && st.Holder.Session != sess.id {
				return unchanged(errLease(l.String()))
			}
			return unchanged(l.notHeld(st))
		}
		depth = st.Depth
		if st.Depth > 1 && !all {
			st.Depth--
			return nil
		}
		st.pass()
		return nil
	})
	if err == nil && s.ID() != 0 && (all || depth == 1) {
		if h, ok := s.Local(heldKey{l.o}, func() any { return new(string) }).(*string); ok {
			*h = ""
		}
	}
	return depth, err
}

// notHeld is the error of one who does not hold the lock; it says who does.
func (l *locker) notHeld(st *lockState) error {
	who := "nobody holds it"
	if h := st.Holder; h != nil {
		who = fmt.Sprintf("%q on %s holds it since %s", h.Name, h.Host, h.At)
	}
	return fmt.Errorf("%w: %v: %s", tristrand.ErrNotHeld, l, who)
}

// State returns what the lock looks like, by the leader of the store.
func (l *locker) State(ctx context.Context) (tristrand.LockState, error) {
	st, err := l.o.read(bounded(ctx))
	if err != nil {
		return tristrand.LockState{}, err
	}
	out := tristrand.LockState{Depth: st.Depth, Waiting: len(st.Queue), OwnerDied: st.Died}
	if h := st.Holder; h != nil {
		out.Holder = l.o.c.holder(h)
		if len(st.Queue) == 0 {
			out.Holder.Since = time.Time{}
		}
	}
	return out, nil
}

func (c *Cluster) holder(h *claimant) *tristrand.Holder {
	out := &tristrand.Holder{
		Ref: strand.Ref{Process: processOf(h.Session), Strand: h.Strand}, Name: h.Name, Host: h.Host, PID: h.PID, At: h.At,
		Since: time.Unix(0, h.Since),
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sess != nil && c.sess.id == h.Session {
		out.Ref.Process = 0
	}
	return out
}

// Token returns the fencing token of the caller's hold: it is greater for every later
// holder. It returns tristrand.ErrNotHeld, or ErrLost, when the caller does not hold the
// lock.
func (l *locker) Token(ctx context.Context) (uint64, error) {
	token, _, err := l.fence(ctx)
	return token, err
}

// fence returns the token of the caller's hold and the sequence of the lock's state.
func (l *locker) fence(ctx context.Context) (token, seq uint64, err error) {
	s := strand.Current(ctx)
	sess, me, err := l.o.claim(ctx, s, 0)
	if err != nil {
		return 0, 0, err
	}
	st, err := l.o.read(ctx)
	switch {
	case err != nil:
		return 0, 0, err
	case st.Holder == nil || st.Died || !st.Holder.same(&me):
		return 0, 0, l.notHeld(st)
	case sess.isLost():
		return 0, 0, errLease(l.String())
	}
	l.o.mu.Lock()
	defer l.o.mu.Unlock()
	return st.Token, l.o.seq, nil
}

// WhileHeld returns a child of ctx that ends with cause tristrand.ErrLost when this process can
// no longer be sure of the lock, by its own monotonic clock; and a function that releases
// what it takes.
func (l *locker) WhileHeld(ctx context.Context) (context.Context, context.CancelFunc) {
	inner, cancel := context.WithCancelCause(ctx)
	sess, err := l.o.c.sessionOf(ctx)
	if err != nil {
		cancel(err)
		return inner, func() {}
	}
	remove := sess.whenLost(func() { cancel(errLease(l.String())) })
	return inner, func() { remove(); cancel(context.Canceled) }
}

func formatUint(n uint64) string { return strconv.FormatUint(n, 10) }
