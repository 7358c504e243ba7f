package conformance

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// lockerTroubleRules are about locks whose holders die or wait for each other,
// and about callers who are no strands.
func lockerTroubleRules() []rule[LockMaker] {
	return []rule[LockMaker]{
		{"a holder that ends is told to those who wait", "ErrOwnerDied, and it is not taken; Recover takes it", anyWorld, lockOwnerDied},
		{"Recover takes over from a holder that ends", "Recover is Acquire that also takes a lock whose holder died", anyWorld, lockRecover},
		{"Recover of a lock that is well is Acquire", "Recover is Acquire …", anyWorld, lockRecoverWell},
		{"a deadlock of two is refused once, with the cycle", "exactly one victim per closed set", anyWorld, lockDeadlock2},
		{"a deadlock of three is refused once, with the cycle", "exactly one victim per closed set", anyWorld, lockDeadlock3},
		{"one who waits for a deadlock is not its victim's", "the cycle has only those on it", anyWorld, lockDeadlockTail},
		{"with a deadline in it there is no deadlock, and the time-out says why", "if a strand in the set has a deadline there is no deadlock", anyWorld, lockDeadlockDeadline},
		{"the deadline may be that of the last to wait", "if a strand in the set has a deadline there is no deadlock", anyWorld, lockDeadlockDeadlineLast},
		{"locks taken in order are never refused", "no phantoms", anyWorld, lockInOrder},
		{"a goroutine with a borrowed ctx is not its strand", "a goroutine that borrows another strand's ctx is nameless", openWorld, lockBorrowed},
		{"a nameless goroutine learns that the holder ended", "named and nameless waiters get ErrOwnerDied", openWorld, lockOwnerDiedNameless},
	}
}

func (r *run) goexit() { runtime.Goexit() }

func lockOwnerDied(ctx context.Context, r *run, mk LockMaker) {
	l := mk(ctx, r)
	owner := r.start(ctx, "owner", func(ctx context.Context) error {
		err := l.Acquire(ctx)
		r.untilWaiting(ctx, l, 2)
		return err
	})
	r.until(ctx, "the owner has the lock", func() bool { return r.lockState(ctx, l).Holder != nil })
	var ps []*party
	for i := range 2 {
		ps = append(ps, r.start(ctx, fmt.Sprint("waiter ", i), func(ctx context.Context) error {
			r.is(l.Acquire(ctx), "Acquire by one who waited", tristrand.ErrOwnerDied)
			r.is(l.Release(ctx), "Release by one who waited", tristrand.ErrNotHeld)
			return nil
		}))
	}
	r.joinAll(ctx, owner)
	r.joinAll(ctx, ps...)
	for range 2 {
		r.is(l.Acquire(ctx), "Acquire afterwards", tristrand.ErrOwnerDied)
		r.is(l.TryAcquire(ctx), "TryAcquire afterwards", tristrand.ErrOwnerDied)
		r.is(l.Release(ctx), "Release by another", tristrand.ErrNotHeld)
	}
	st := r.lockState(ctx, l)
	if !st.OwnerDied || st.Holder == nil || st.Holder.Name != "owner" || st.Waiting != 0 {
		r.Errorf("the state is %s, want that the owner died", describeLock(st))
	}
	r.must(l.Recover(ctx), "Recover")
	r.isMine(ctx, l, 1)
	r.must(l.Release(ctx), "Release")
	r.isFree(ctx, l)
	r.must(l.Acquire(ctx), "Acquire when all is well")
	r.must(l.Release(ctx), "Release")
}

func lockRecover(ctx context.Context, r *run, mk LockMaker) {
	l := mk(ctx, r)
	owner := r.start(ctx, "owner", func(ctx context.Context) error {
		err := l.Acquire(ctx)
		r.untilWaiting(ctx, l, 3)
		return err
	})
	r.until(ctx, "the owner has the lock", func() bool { return r.lockState(ctx, l).Holder != nil })
	var v room
	take := func(acquire func(context.Context) error) func(context.Context) error {
		return func(ctx context.Context) error {
			if err := acquire(ctx); err != nil {
				return err
			}
			r.isMine(ctx, l, 1)
			return errors.Join(v.visit(ctx), l.Release(ctx))
		}
	}
	waiter := r.start(ctx, "waiter", take(l.Acquire))
	one := r.start(ctx, "recoverer 1", take(l.Recover))
	two := r.start(ctx, "recoverer 2", take(l.Recover))
	r.joinAll(ctx, owner, one, two)
	visits := 3 // who came to acquire may have been told, or got the lock afterwards
	if err := waiter.join(ctx); err != nil {
		r.is(err, "Acquire", tristrand.ErrOwnerDied)
		visits = 2
	}
	v.check(r, visits)
	r.isFree(ctx, l)
}

func lockRecoverWell(ctx context.Context, r *run, mk LockMaker) {
	l := mk(ctx, r)
	r.must(l.Recover(ctx), "Recover of a free lock")
	r.isMine(ctx, l, 1)
	p := r.start(ctx, "waiter", func(ctx context.Context) error {
		if err := l.Recover(ctx); err != nil {
			return err
		}
		r.isMine(ctx, l, 1)
		return l.Release(ctx)
	})
	r.untilWaiting(ctx, l, 1)
	r.settle(ctx)
	r.isMine(ctx, l, 1)
	r.must(l.Release(ctx), "Release")
	r.joinAll(ctx, p)
	r.isFree(ctx, l)
}

func lockDeadlock2(ctx context.Context, r *run, mk LockMaker) { lockRing(ctx, r, mk, 2) }
func lockDeadlock3(ctx context.Context, r *run, mk LockMaker) { lockRing(ctx, r, mk, 3) }

// lockRing has n strands take one lock each and then their neighbour's.
func lockRing(ctx context.Context, r *run, mk LockMaker, n int) {
	locks := make([]tristrand.Locker, n)
	for i := range locks {
		locks[i] = mk(ctx, r)
	}
	var ps []*party
	for i := range n {
		ps = append(ps, r.start(ctx, fmt.Sprint("strand ", i), func(ctx context.Context) error {
			r.must(locks[i].Acquire(ctx), "the first Acquire")
			r.until(ctx, "all have taken their first lock", func() bool {
				for _, l := range locks {
					if r.lockState(ctx, l).Holder == nil {
						return false
					}
				}
				return true
			})
			// Nobody may let go of the first lock before all have seen it taken.
			r.settle(ctx)
			next := locks[(i+1)%n]
			err := next.Acquire(ctx)
			if err == nil {
				r.must(next.Release(ctx), "Release of the second")
			}
			r.must(locks[i].Release(ctx), "Release of the first")
			return err
		}))
	}
	victims := 0
	for i, p := range ps {
		err := p.join(ctx)
		if err == nil {
			continue
		}
		victims++
		checkRing(r, err, n, fmt.Sprint("strand ", i))
	}
	if victims != 1 {
		r.Errorf("%d strands of %d were refused", victims, n)
	}
	for _, l := range locks {
		r.isFree(ctx, l)
	}
}

// checkRing checks that err is a DeadlockError of n strands and n locks that
// begins with the victim.
func checkRing(r *run, err error, n int, victim string) {
	r.Helper()
	var dead *tristrand.DeadlockError
	if !errors.As(err, &dead) {
		r.Errorf("%s: %v, want a DeadlockError", victim, err)
		return
	}
	strands, on := map[string]bool{}, map[string]bool{}
	for i, l := range dead.Cycle {
		strands[l.Waiter], on[l.On] = true, true
		if next := dead.Cycle[(i+1)%len(dead.Cycle)]; l.Holder != next.Waiter || !strings.Contains(l.TakenAt, "trouble.go:") {
			r.Errorf("link %d of %v: %+v", i, dead, l)
		}
	}
	if len(dead.Cycle) != n || len(strands) != n || len(on) != n || dead.Cycle[0].Waiter != victim {
		r.Errorf("%s was refused with %v, want a cycle of %d that begins with it", victim, dead, n)
	}
}

// lockDeadlockTail has one more strand wait for a lock of a deadlock.
func lockDeadlockTail(ctx context.Context, r *run, mk LockMaker) {
	a, b := mk(ctx, r), mk(ctx, r)
	r.must(a.Acquire(ctx), "Acquire of a")
	other := r.start(ctx, "other", func(ctx context.Context) error {
		r.must(b.Acquire(ctx), "Acquire of b")
		return errors.Join(a.Acquire(ctx), a.Release(ctx), b.Release(ctx))
	})
	r.untilWaiting(ctx, a, 1)
	tail := r.start(ctx, "tail", func(ctx context.Context) error {
		return errors.Join(b.Acquire(ctx), b.Release(ctx))
	})
	r.untilWaiting(ctx, b, 1)
	checkRing(r, b.Acquire(ctx), 2, "main")
	r.must(a.Release(ctx), "Release of a")
	r.joinAll(ctx, other, tail)
}

func lockDeadlockDeadline(ctx context.Context, r *run, mk LockMaker) {
	a, b := mk(ctx, r), mk(ctx, r)
	r.must(a.Acquire(ctx), "Acquire of a")
	other := r.start(ctx, "other", func(ctx context.Context) error {
		r.must(b.Acquire(ctx), "Acquire of b")
		short, cancel := strand.WithTimeout(ctx, shortly)
		defer cancel()
		err := a.Acquire(short)
		r.is(err, "the wait with a deadline", context.DeadlineExceeded)
		checkRingInTime(r, err, 2, "other")
		return b.Release(ctx)
	})
	r.until(ctx, "it waits, or did", func() bool { return r.lockState(ctx, a).Waiting == 1 || other.ended() })
	r.must(b.Acquire(ctx), "the wait without one")
	r.must(b.Release(ctx), "Release of b")
	r.must(a.Release(ctx), "Release of a")
	r.joinAll(ctx, other)
}

func lockDeadlockDeadlineLast(ctx context.Context, r *run, mk LockMaker) {
	a, b := mk(ctx, r), mk(ctx, r)
	r.must(a.Acquire(ctx), "Acquire of a")
	other := r.start(ctx, "other", func(ctx context.Context) error {
		r.must(b.Acquire(ctx), "Acquire of b")
		return errors.Join(a.Acquire(ctx), a.Release(ctx), b.Release(ctx))
	})
	r.untilWaiting(ctx, a, 1)
	began := r.now(ctx)
	short, cancel := strand.WithTimeout(ctx, shortly)
	defer cancel()
	err := b.Acquire(short)
	r.is(err, "the wait with a deadline", context.DeadlineExceeded)
	r.took(ctx, began, shortly, "the wait")
	checkRingInTime(r, err, 2, "main")
	r.must(a.Release(ctx), "Release of a")
	r.joinAll(ctx, other)
}

// checkRingInTime is checkRing of a wait that timed out. In real time it may
// have been over before the others were there.
func checkRingInTime(r *run, err error, n int, victim string) {
	r.Helper()
	if dead := (*tristrand.DeadlockError)(nil); r.world.virtual() || errors.As(err, &dead) {
		checkRing(r, err, n, victim)
	}
}

func lockInOrder(ctx context.Context, r *run, mk LockMaker) {
	locks := make([]tristrand.Locker, 4)
	for i := range locks {
		locks[i] = mk(ctx, r)
	}
	rounds := r.many(100)
	var ps []*party
	for i := range 4 {
		ps = append(ps, r.start(ctx, fmt.Sprint("strand ", i), func(ctx context.Context) error {
			rng := r.rand(i)
			for range rounds {
				want := rng.IntN(1 << len(locks))
				for k, l := range locks {
					if want>>k&1 == 1 {
						r.must(l.Acquire(ctx), "Acquire in order")
					}
				}
				for k, l := range locks {
					if want>>k&1 == 1 {
						r.must(l.Release(ctx), "Release")
					}
				}
			}
			return nil
		}))
	}
	r.joinAll(ctx, ps...)
}

func lockBorrowed(ctx context.Context, r *run, mk LockMaker) {
	l := mk(ctx, r)
	r.must(l.Acquire(ctx), "Acquire")
	var step atomic.Int32
	go func() { // with main's ctx, which is not its own
		r.is(l.Release(ctx), "Release by a borrower", tristrand.ErrNotHeld)
		if err := l.Acquire(ctx); err != nil {
			r.Errorf("Acquire by a borrower: %v", err)
			step.Store(3)
			return
		}
		step.Store(1)
		for step.Load() == 1 {
			if err := strand.Sleep(ctx, tick); err != nil {
				r.Errorf("Sleep by a borrower: %v", err)
				break
			}
		}
		if err := l.Release(ctx); err != nil {
			r.Errorf("Release of what a borrower holds: %v", err)
		}
		step.Store(3)
	}()
	r.untilWaiting(ctx, l, 1)
	r.isMine(ctx, l, 1)
	r.must(l.Release(ctx), "Release")
	r.until(ctx, "the borrower has the lock", func() bool { return step.Load() != 0 })
	if st := r.lockState(ctx, l); st.Holder == nil || st.Holder.Ref.Strand != 0 {
		r.Errorf("held by a borrower its state is %s", describeLock(st))
	}
	r.is(l.Release(ctx), "Release of what a borrower holds", tristrand.ErrNotHeld)
	r.is(l.TryAcquire(ctx), "TryAcquire of what a borrower holds", tristrand.ErrBusy)
	step.CompareAndSwap(1, 2)
	r.until(ctx, "the borrower is done", func() bool { return step.Load() == 3 })
	r.isFree(ctx, l)
}

func lockOwnerDiedNameless(ctx context.Context, r *run, mk LockMaker) {
	l := mk(ctx, r)
	owner := r.start(ctx, "owner", func(ctx context.Context) error {
		err := l.Acquire(ctx)
		r.untilWaiting(ctx, l, 1)
		return err
	})
	r.until(ctx, "the owner has the lock", func() bool { return r.lockState(ctx, l).Holder != nil })
	var done atomic.Bool
	go func() {
		defer done.Store(true)
		r.is(l.Acquire(context.Background()), "Acquire by a nameless goroutine", tristrand.ErrOwnerDied)
	}()
	r.joinAll(ctx, owner)
	r.until(ctx, "the goroutine is done", done.Load)
	r.must(l.Recover(ctx), "Recover")
	r.must(l.Release(ctx), "Release")
}
