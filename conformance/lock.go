package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// A LockMaker makes a new lock that nobody holds.
type LockMaker func(ctx context.Context, t testing.TB) tristrand.Locker

// Lock checks a lock that its holder cannot acquire again.
func Lock(t *testing.T, mk LockMaker, o Options) {
	t.Helper()
	runRules(t, append(lockerRules(), lockRules()...), mk, o)
}

// lockerRules are those that Lock and RLock have in common.
func lockerRules() []rule[LockMaker] {
	return []rule[LockMaker]{
		{"a new lock is free", "works as a zero value; a nil error means it was done", anyWorld, lockNew},
		{"TryAcquire takes a free lock and refuses a held one", "TryX never waits for another strand; ErrBusy", anyWorld, lockTry},
		{"waiters pass one by one", "a lock is held by one strand at a time", anyWorld, lockContended},
		{"those who have waited pass in order", "a waiter that has waited 1 ms is handed the lock, first come first served", anyWorld, lockOrder},
		{"a waiter that has waited is not overtaken", "a newcomer may overtake, for 1 ms", anyWorld, lockOvertaking},
		{"With holds inside and releases after an error, a panic and Goexit", "With survives panic and Goexit", anyWorld, lockWith},
		{"a time-out ends a wait", "ctx says how long; the lock stays as it was", anyWorld, lockTimeout},
		{"a free lock is taken however short the time", "a wait that is none cannot time out", anyWorld, lockTimeoutFree},
		{"a cancelled wait returns the ctx's error and its cause", "errors match ctx.Err and the cause", anyWorld, lockCancel},
		{"a ctx that has ended changes nothing", "a ctx ended before the call is an error and changes nothing; TryX and Release do not mind", anyWorld, lockEndedContext},
		{"a waiter that gave up is passed over", "a false Grant changes nothing, and the waker passes on", anyWorld, lockPassOver},
		{"a release and a cancellation at once lose nothing", "a Grant that beats ctx's end counts", anyWorld, lockRelease},
		{"only the holder releases", "ErrNotHeld, and the state is unchanged", anyWorld, lockStranger},
		{"State tells who holds it, since when, and who waits", "LockState", anyWorld, lockState},
		{"a storm of time-outs leaves it usable", "each Wait is settled once", anyWorld, lockStorm},
	}
}

func lockRules() []rule[LockMaker] {
	rules := []rule[LockMaker]{
		{"to acquire it twice is refused", "a wait that can never succeed is refused with the cycle; nothing hangs", anyWorld, lockTwice},
	}
	return append(rules, lockerTroubleRules()...)
}

func (r *run) lockState(ctx context.Context, l tristrand.Locker) tristrand.LockState {
	r.Helper()
	st, err := l.State(ctx)
	r.must(err, "State")
	return st
}

// isFree checks that nobody holds the lock or waits for it.
func (r *run) isFree(ctx context.Context, l tristrand.Locker) {
	r.Helper()
	if st := r.lockState(ctx, l); st.Holder != nil || st.Depth != 0 || st.Waiting != 0 || st.OwnerDied {
		r.Errorf("the lock's state is %s, want a free one", describeLock(st))
	}
}

// isMine checks that the caller holds the lock, at the given depth.
func (r *run) isMine(ctx context.Context, l tristrand.Locker, depth int) {
	r.Helper()
	st, me := r.lockState(ctx, l), strand.Current(ctx)
	if st.Holder == nil || st.Holder.Ref.Strand != me.ID() || st.Holder.Name != me.Name() || st.Depth != depth || st.OwnerDied {
		r.Errorf("the lock's state is %s, want one held by %q at depth %d", describeLock(st), me.Name(), depth)
	}
}

func describeLock(st tristrand.LockState) string {
	holder := "nobody"
	if st.Holder != nil {
		holder = fmt.Sprintf("%+v", *st.Holder)
	}
	return fmt.Sprintf("{Holder:%s Depth:%d Waiting:%d OwnerDied:%v}", holder, st.Depth, st.Waiting, st.OwnerDied)
}

// untilWaiting waits until n strands wait for the lock.
func (r *run) untilWaiting(ctx context.Context, l tristrand.Locker, n int) {
	r.Helper()
	r.until(ctx, fmt.Sprintf("%d strands wait for the lock", n), func() bool { return r.lockState(ctx, l).Waiting == n })
}

func lockNew(ctx context.Context, r *run, mk LockMaker) {
	l := mk(ctx, r)
	r.isFree(ctx, l)
	for range 2 {
		r.must(l.Acquire(ctx), "Acquire")
		r.isMine(ctx, l, 1)
		r.must(l.Release(ctx), "Release")
		r.isFree(ctx, l)
	}
}

func lockTry(ctx context.Context, r *run, mk LockMaker) {
	l := mk(ctx, r)
	r.must(l.TryAcquire(ctx), "TryAcquire of a free lock")
	r.isMine(ctx, l, 1)
	var others []*party
	for i := range 5 {
		others = append(others, r.start(ctx, fmt.Sprint("other ", i), func(ctx context.Context) error {
			r.is(l.TryAcquire(ctx), "TryAcquire of a held lock", tristrand.ErrBusy)
			return nil
		}))
	}
	r.joinAll(ctx, others...)
	r.isMine(ctx, l, 1)
	r.must(l.Release(ctx), "Release")
	r.joinAll(ctx, r.start(ctx, "other", func(ctx context.Context) error {
		return errors.Join(l.TryAcquire(ctx), l.Release(ctx))
	}))
	r.isFree(ctx, l)
}

func lockContended(ctx context.Context, r *run, mk LockMaker) {
	l, n := mk(ctx, r), 5
	var v room
	r.must(l.Acquire(ctx), "Acquire")
	var ps []*party
	for i := range n {
		ps = append(ps, r.start(ctx, fmt.Sprint("waiter ", i), func(ctx context.Context) error {
			if err := l.Acquire(ctx); err != nil {
				return err
			}
			return errors.Join(v.visit(ctx), l.Release(ctx))
		}))
	}
	r.untilWaiting(ctx, l, n)
	r.settle(ctx)
	if v.passed != 0 {
		r.Errorf("%d strands passed a lock that was held", v.passed)
	}
	r.must(l.Release(ctx), "Release")
	r.joinAll(ctx, ps...)
	v.check(r, n)
	r.isFree(ctx, l)
}

func lockOrder(ctx context.Context, r *run, mk LockMaker) {
	l := mk(ctx, r)
	r.must(l.Acquire(ctx), "Acquire")
	var order []int
	var ps []*party
	for i := range 5 {
		ps = append(ps, r.start(ctx, fmt.Sprint("waiter ", i), func(ctx context.Context) error {
			if err := l.Acquire(ctx); err != nil {
				return err
			}
			order = append(order, i)
			return l.Release(ctx)
		}))
		r.untilWaiting(ctx, l, i+1)
	}
	r.settle(ctx) // all have waited for longer than a newcomer may overtake
	r.must(l.Release(ctx), "Release")
	r.joinAll(ctx, ps...)
	if got := fmt.Sprint(order); got != "[0 1 2 3 4]" {
		r.Errorf("they passed in the order %s", got)
	}
}

func lockOvertaking(ctx context.Context, r *run, mk LockMaker) {
	l := mk(ctx, r)
	r.must(l.Acquire(ctx), "Acquire")
	passed := false
	p := r.start(ctx, "waiter", func(ctx context.Context) error {
		if err := l.Acquire(ctx); err != nil {
			return err
		}
		passed = true
		return l.Release(ctx)
	})
	r.untilWaiting(ctx, l, 1)
	r.settle(ctx)
	r.must(l.Release(ctx), "Release")
	r.must(l.Acquire(ctx), "Acquire again")
	if !passed {
		r.Errorf("its last holder took the lock again before one who had waited")
	}
	r.must(l.Release(ctx), "Release")
	r.joinAll(ctx, p)
}

func lockWith(ctx context.Context, r *run, mk LockMaker) {
	l := mk(ctx, r)
	err := tristrand.With(ctx, l, func(ctx context.Context) error {
		r.isMine(ctx, l, 1)
		return errGaveUp
	})
	r.is(err, "With", errGaveUp)
	r.isFree(ctx, l)
	p := r.start(ctx, "goes", func(ctx context.Context) error {
		return tristrand.With(ctx, l, func(context.Context) error { r.goexit(); return nil })
	})
	if err := p.join(ctx); !errors.Is(err, errUnfinished) {
		r.Errorf("a strand that ended in With: %v", err)
	}
	r.isFree(ctx, l)
	func() {
		defer func() {
			if v := recover(); v != any(errGaveUp) {
				r.Errorf("With recovered a panic: %v", v)
			}
		}()
		r.must(tristrand.With(ctx, l, func(context.Context) error { panic(errGaveUp) }), "With that panics")
	}()
	r.isFree(ctx, l)
	r.must(l.Acquire(ctx), "Acquire after all that")
	r.must(l.Release(ctx), "Release")
}

// shortly is a time-out: nothing to wait for in virtual time, and in real time
// little.
const shortly = 20 * time.Millisecond

func lockTimeout(ctx context.Context, r *run, mk LockMaker) {
	l := mk(ctx, r)
	r.must(l.Acquire(ctx), "Acquire")
	for _, acquire := range []func(context.Context) error{l.Acquire, l.Recover} {
		r.joinAll(ctx, r.start(ctx, "other", func(ctx context.Context) error {
			began := r.now(ctx)
			short, cancel := strand.WithTimeout(ctx, shortly)
			defer cancel()
			r.is(acquire(short), "a wait for a held lock", context.DeadlineExceeded)
			r.took(ctx, began, shortly, "the wait")
			r.is(l.Release(ctx), "Release after a time-out", tristrand.ErrNotHeld)
			return nil
		}))
		r.isMine(ctx, l, 1)
		if n := r.lockState(ctx, l).Waiting; n != 0 {
			r.Errorf("%d strands wait after the time-out", n)
		}
	}
	r.must(l.Release(ctx), "Release")
	r.isFree(ctx, l)
	r.must(l.Acquire(ctx), "Acquire after the time-out")
	r.must(l.Release(ctx), "Release")
}

func lockTimeoutFree(ctx context.Context, r *run, mk LockMaker) {
	l := mk(ctx, r)
	short, cancel := strand.WithTimeout(ctx, time.Hour)
	defer cancel()
	began := r.now(ctx)
	r.must(l.Acquire(short), "Acquire of a free lock")
	if r.world.virtual() {
		r.took(ctx, began, 0, "acquiring a free lock")
	}
	r.isMine(ctx, l, 1)
	r.must(l.Release(short), "Release")
}

func lockCancel(ctx context.Context, r *run, mk LockMaker) {
	l := mk(ctx, r)
	r.must(l.Acquire(ctx), "Acquire")
	child, cancel := r.withCancel(ctx)
	p := r.start(child, "waiter", func(ctx context.Context) error {
		r.is(l.Acquire(ctx), "the cancelled wait", context.Canceled, errGaveUp)
		return nil
	})
	r.untilWaiting(ctx, l, 1)
	cancel(errGaveUp)
	r.joinAll(ctx, p)
	r.untilWaiting(ctx, l, 0)
	r.isMine(ctx, l, 1)
	r.must(l.Release(ctx), "Release")
}

func lockEndedContext(ctx context.Context, r *run, mk LockMaker) {
	l := mk(ctx, r)
	over := r.ended(ctx)
	r.is(l.Acquire(over), "Acquire of a free lock", context.Canceled, errGaveUp)
	r.is(l.Recover(over), "Recover of a free lock", context.Canceled, errGaveUp)
	r.isFree(ctx, l)
	r.must(l.TryAcquire(over), "TryAcquire of a free lock")
	r.isMine(over, l, 1)
	r.joinAll(ctx, r.start(ctx, "other", func(ctx context.Context) error {
		over := r.ended(ctx)
		r.is(l.Acquire(over), "Acquire of a held lock", context.Canceled, errGaveUp)
		r.is(l.TryAcquire(over), "TryAcquire of a held lock", tristrand.ErrBusy)
		return nil
	}))
	r.isMine(ctx, l, 1)
	r.must(l.Release(over), "Release")
	r.isFree(over, l)
}

func lockPassOver(ctx context.Context, r *run, mk LockMaker) {
	l := mk(ctx, r)
	r.must(l.Acquire(ctx), "Acquire")
	child, cancel := r.withCancel(ctx)
	first := r.start(child, "gives up", func(ctx context.Context) error {
		r.is(l.Acquire(ctx), "the cancelled wait", context.Canceled)
		return nil
	})
	r.untilWaiting(ctx, l, 1)
	second := r.start(ctx, "stays", func(ctx context.Context) error {
		return errors.Join(l.Acquire(ctx), l.Release(ctx))
	})
	r.untilWaiting(ctx, l, 2)
	cancel(errGaveUp)
	r.joinAll(ctx, first)
	r.must(l.Release(ctx), "Release")
	r.joinAll(ctx, second)
	r.isFree(ctx, l)
}

func lockRelease(ctx context.Context, r *run, mk LockMaker) {
	for range r.many(30) {
		l := mk(ctx, r)
		r.must(l.Acquire(ctx), "Acquire")
		child, cancel := r.withCancel(ctx)
		got := 0
		take := func(ctx context.Context) error {
			if err := l.Acquire(ctx); err != nil {
				return err
			}
			got++
			return l.Release(ctx)
		}
		first := r.start(child, "may give up", take)
		r.untilWaiting(ctx, l, 1)
		second := r.start(ctx, "stays", take)
		r.untilWaiting(ctx, l, 2)
		canceller := r.start(ctx, "canceller", func(context.Context) error { cancel(errGaveUp); return nil })
		r.must(strand.Yield(ctx), "Yield")
		r.must(l.Release(ctx), "Release")
		r.joinAll(ctx, second, canceller)
		want := 2
		if err := first.join(ctx); err != nil {
			r.is(err, "the cancelled wait", context.Canceled)
			want = 1
		}
		r.isFree(ctx, l)
		if got != want {
			r.Fatalf("%d strands had the lock, and %d got a nil error", got, want)
		}
	}
}

func lockStranger(ctx context.Context, r *run, mk LockMaker) {
	l := mk(ctx, r)
	r.is(l.Release(ctx), "Release of a free lock", tristrand.ErrNotHeld)
	r.isFree(ctx, l)
	r.must(l.Acquire(ctx), "Acquire")
	r.joinAll(ctx, r.start(ctx, "stranger", func(ctx context.Context) error {
		err := l.Release(ctx)
		r.is(err, "Release by a stranger", tristrand.ErrNotHeld)
		if err != nil && !strings.Contains(err.Error(), "main") {
			r.Errorf("%q does not say who holds the lock", err)
		}
		return nil
	}))
	r.isMine(ctx, l, 1)
	r.must(l.Release(ctx), "Release by its holder")
	r.is(l.Release(ctx), "Release once too often", tristrand.ErrNotHeld)
	r.isFree(ctx, l)
	r.must(l.Acquire(ctx), "Acquire after all that")
	r.must(l.Release(ctx), "Release")
}

func lockState(ctx context.Context, r *run, mk LockMaker) {
	l := mk(ctx, r)
	r.must(l.Acquire(ctx), "Acquire")
	me := strand.Current(ctx)
	look := func(ctx context.Context, waiting int) {
		st := r.lockState(ctx, l)
		if st.Holder == nil {
			r.Fatalf("the state has no holder: %s", describeLock(st))
		}
		h := *st.Holder
		if h.Ref.Strand != me.ID() || h.Name != "main" || h.PID == 0 || !strings.Contains(h.At, "lock.go:") ||
			st.Depth != 1 || st.Waiting != waiting || st.OwnerDied {
			r.Errorf("with %d waiting the state is %s", waiting, describeLock(st))
		}
		if waiting > 0 && h.Since.IsZero() {
			r.Errorf("Since is zero although somebody waits")
		}
	}
	look(ctx, 0)
	r.joinAll(ctx, r.start(ctx, "onlooker", func(ctx context.Context) error { look(ctx, 0); return nil }))
	p := r.start(ctx, "waiter", func(ctx context.Context) error { return errors.Join(l.Acquire(ctx), l.Release(ctx)) })
	r.untilWaiting(ctx, l, 1)
	look(ctx, 1)
	r.must(l.Release(ctx), "Release")
	r.joinAll(ctx, p)
	r.isFree(ctx, l)
}

// lockStorm has strands come and go, some with too little time, some cancelled.
func lockStorm(ctx context.Context, r *run, mk LockMaker) {
	l := mk(ctx, r)
	var v room
	strands, rounds := r.many(16), r.many(40)
	visits := make([]int, strands)
	var ps []*party
	for i := range strands {
		ps = append(ps, r.start(ctx, fmt.Sprint("strand ", i), func(ctx context.Context) error {
			rng := r.rand(i)
			for range rounds {
				if err := lockStormRound(ctx, l, &v, rng.IntN(4), time.Duration(rng.IntN(2000))*time.Microsecond); err == nil {
					visits[i]++
				} else if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, tristrand.ErrBusy) {
					return err
				}
			}
			return nil
		}))
	}
	r.joinAll(ctx, ps...)
	total := 0
	for _, n := range visits {
		total += n
	}
	v.check(r, total)
	r.isFree(ctx, l)
}

func lockStormRound(ctx context.Context, l tristrand.Locker, v *room, how int, d time.Duration) error {
	acquire, short := l.Acquire, ctx
	switch how {
	case 0:
		acquire = l.TryAcquire
	case 1, 2:
		var cancel context.CancelFunc
		short, cancel = strand.WithTimeout(ctx, d)
		defer cancel()
	}
	if err := acquire(short); err != nil {
		return err
	}
	return errors.Join(v.visit(ctx), strand.Sleep(ctx, d/8), l.Release(ctx))
}

func lockTwice(ctx context.Context, r *run, mk LockMaker) {
	l := mk(ctx, r)
	r.must(l.Acquire(ctx), "Acquire")
	err := l.Acquire(ctx)
	var dead *tristrand.DeadlockError
	if !errors.As(err, &dead) || len(dead.Cycle) != 1 {
		r.Fatalf("Acquire by the holder: %v, want a DeadlockError with a cycle of one", err)
	}
	link := dead.Cycle[0]
	if link.Waiter != "main" || link.Holder != "main" || link.On == "" || !strings.Contains(link.TakenAt, "lock.go:") {
		r.Errorf("the cycle is %+v", link)
	}
	r.is(l.TryAcquire(ctx), "TryAcquire by the holder", tristrand.ErrBusy)
	r.isMine(ctx, l, 1)
	r.must(l.Release(ctx), "Release")
	r.isFree(ctx, l)
}
