package conformance

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// A ConditionMaker makes new conditions.
type ConditionMaker struct {
	// Condition makes a condition on l, or on a re-entrant lock of its own if l
	// is nil.
	Condition func(ctx context.Context, t testing.TB, l tristrand.Locker) tristrand.Condition
	Lock      LockMaker // that is not re-entrant
	RLock     LockMaker
}

// Condition checks what lets the holder of a lock wait for a change.
func Condition(t *testing.T, mk ConditionMaker, o Options) {
	t.Helper()
	runRules(t, conditionRules(), mk, o)
}

func conditionRules() []rule[ConditionMaker] {
	return []rule[ConditionMaker]{
		{"its own lock is re-entrant", "Locker returns the lock", anyWorld, conditionOwnLock},
		{"a lock that it is given is the one it uses", "Locker returns the lock", anyWorld, conditionGivenLock},
		{"Wait and Notify without the lock are refused", "ErrNotHeld, and nothing has changed", anyWorld, conditionNotHeld},
		{"Notify of n wakes n, the longest waiting first", "n of the strands that wait, the longest waiting first; all with n < 0", anyWorld, conditionNotify},
		{"nobody returns before the lock is released", "Wait acquires the lock again", anyWorld, conditionReacquire},
		{"nobody wakes without Notify", "Wait waits for Notify", anyWorld, conditionSpurious},
		{"a Notify that nobody waits for is lost", "Notify wakes strands that wait", anyWorld, conditionNotifyNobody},
		{"a time-out ends a wait with the lock held", "acquires again whatever ctx does", anyWorld, conditionTimeout},
		{"a time-out waits for the lock even so", "acquires again whatever ctx does", anyWorld, conditionTimeoutHeld},
		{"a cancelled wait returns the ctx's error and its cause", "errors match ctx.Err and the cause", anyWorld, conditionCancel},
		{"a ctx that has ended changes nothing", "a ctx ended before the call is an error and changes nothing", anyWorld, conditionEndedContext},
		{"a waiter that gave up swallows no Notify", "a false Grant changes nothing, and the waker passes on", anyWorld, conditionPassOver},
		{"WaitFor returns when the predicate holds", "WaitFor waits until pred is true, which is called with the lock held", anyWorld, conditionWaitFor},
		{"WaitFor times out although it is notified", "ctx bounds the whole of it", anyWorld, conditionWaitForTimeout},
		{"Wait gives up all levels of an RLock and takes them again", "Wait releases the lock, all levels of it", anyWorld, conditionLevels},
		{"producers and consumers get on", "lets the holder of a lock wait for something that others change", anyWorld, conditionBuffer},
		{"a storm of time-outs leaves it usable", "each Wait is settled once", anyWorld, conditionStorm},
	}
}

func (r *run) condWaiting(ctx context.Context, c tristrand.Condition) int {
	r.Helper()
	st, err := c.State(ctx)
	r.must(err, "State")
	return st.Waiting
}

func (r *run) untilCondWaiting(ctx context.Context, c tristrand.Condition, n int) {
	r.Helper()
	r.until(ctx, fmt.Sprintf("%d strands wait for the condition", n), func() bool { return r.condWaiting(ctx, c) == n })
}

// locked calls f with the lock of c held.
func (r *run) locked(ctx context.Context, c tristrand.Condition, f func()) {
	r.Helper()
	r.must(c.Locker().Acquire(ctx), "Acquire")
	f()
	r.must(c.Locker().Release(ctx), "Release")
}

// notify notifies n with the lock held.
func (r *run) notify(ctx context.Context, c tristrand.Condition, n int) {
	r.Helper()
	r.locked(ctx, c, func() { r.must(c.Notify(ctx, n), "Notify") })
}

// conditionWaiters starts n strands, one after another, that wait once and note
// in which order they woke.
func (r *run) conditionWaiters(ctx context.Context, c tristrand.Condition, n int, woke *[]int) []*party {
	r.Helper()
	var ps []*party
	before := r.condWaiting(ctx, c)
	for i := range n {
		ps = append(ps, r.start(ctx, fmt.Sprint("waiter ", i), func(ctx context.Context) error {
			if err := c.Locker().Acquire(ctx); err != nil {
				return err
			}
			err := c.Wait(ctx)
			*woke = append(*woke, i) // with the lock held
			return errors.Join(err, c.Locker().Release(ctx))
		}))
		r.untilCondWaiting(ctx, c, before+i+1)
	}
	return ps
}

// count returns how many have woken.
func (r *run) count(ctx context.Context, c tristrand.Condition, woke *[]int) (n int) {
	r.Helper()
	r.locked(ctx, c, func() { n = len(*woke) })
	return n
}

func (r *run) untilWoken(ctx context.Context, c tristrand.Condition, woke *[]int, n int) {
	r.Helper()
	r.until(ctx, fmt.Sprintf("%d have woken", n), func() bool { return r.count(ctx, c, woke) >= n })
	r.settle(ctx)
	if k := r.count(ctx, c, woke); k != n {
		r.Errorf("%d have woken, want %d", k, n)
	}
}

func conditionOwnLock(ctx context.Context, r *run, mk ConditionMaker) {
	c := mk.Condition(ctx, r, nil)
	r.must(c.Locker().Acquire(ctx), "Acquire")
	r.must(c.Locker().Acquire(ctx), "Acquire again")
	r.isMine(ctx, c.Locker(), 2)
	r.must(c.Locker().Release(ctx), "Release")
	r.must(c.Locker().Release(ctx), "Release")
	r.is(c.Locker().Release(ctx), "Release once too often", tristrand.ErrNotHeld)
}

func conditionGivenLock(ctx context.Context, r *run, mk ConditionMaker) {
	for _, mkLock := range []LockMaker{mk.Lock, mk.RLock} {
		l := mkLock(ctx, r)
		c, d := mk.Condition(ctx, r, l), mk.Condition(ctx, r, l)
		if c.Locker() != l {
			r.Errorf("Locker is %v, want %v", c.Locker(), l)
		}
		var woke []int
		p := r.conditionWaiters(ctx, c, 1, &woke)
		q := r.conditionWaiters(ctx, d, 1, &woke)
		r.isFree(ctx, l)
		r.must(l.Acquire(ctx), "Acquire")
		r.isMine(ctx, c.Locker(), 1)
		r.must(c.Notify(ctx, -1), "Notify")
		r.must(l.Release(ctx), "Release")
		r.joinAll(ctx, p...)
		r.untilCondWaiting(ctx, d, 1) // another condition of the same lock
		r.notify(ctx, d, -1)
		r.joinAll(ctx, q...)
		r.isFree(ctx, l)
	}
}

func conditionNotHeld(ctx context.Context, r *run, mk ConditionMaker) {
	for _, l := range []tristrand.Locker{nil, mk.Lock(ctx, r)} {
		c := mk.Condition(ctx, r, l)
		check := func(ctx context.Context) {
			r.is(c.Wait(ctx), "Wait without the lock", tristrand.ErrNotHeld)
			r.is(c.Notify(ctx, 1), "Notify without the lock", tristrand.ErrNotHeld)
			r.is(c.Notify(ctx, -1), "Notify of all without the lock", tristrand.ErrNotHeld)
		}
		check(ctx)
		r.isFree(ctx, c.Locker())
		var woke []int
		ps := r.conditionWaiters(ctx, c, 1, &woke)
		check(ctx)
		r.locked(ctx, c, func() {
			r.joinAll(ctx, r.start(ctx, "other", func(ctx context.Context) error { check(ctx); return nil }))
			r.isMine(ctx, c.Locker(), 1)
		})
		r.untilCondWaiting(ctx, c, 1)
		r.notify(ctx, c, 1)
		r.joinAll(ctx, ps...)
	}
}

func conditionNotify(ctx context.Context, r *run, mk ConditionMaker) {
	c := mk.Condition(ctx, r, mk.Lock(ctx, r))
	var woke []int
	ps := r.conditionWaiters(ctx, c, 9, &woke)
	r.settle(ctx)
	r.notify(ctx, c, 0)
	r.untilWoken(ctx, c, &woke, 0)
	r.notify(ctx, c, 3)
	r.untilWoken(ctx, c, &woke, 3)
	r.locked(ctx, c, func() { // each on its own
		r.must(c.Notify(ctx, 1), "Notify")
		r.must(c.Notify(ctx, 1), "Notify")
	})
	r.untilWoken(ctx, c, &woke, 5)
	r.notify(ctx, c, -1)
	r.joinAll(ctx, ps...)
	seen := map[int]bool{}
	for k, i := range woke {
		if seen[i] = true; k < 3 && i >= 3 || k >= 3 && k < 5 && i != 3 && i != 4 {
			r.Errorf("they woke in the order %v, want the longest waiting first", woke)
			break
		}
	}
	if len(seen) != 9 || r.condWaiting(ctx, c) != 0 {
		r.Errorf("%v have woken and %d wait", woke, r.condWaiting(ctx, c))
	}
	r.locked(ctx, c, func() { r.must(c.Notify(ctx, 5), "Notify of more than wait") })
}

func conditionReacquire(ctx context.Context, r *run, mk ConditionMaker) {
	c := mk.Condition(ctx, r, nil)
	var woke []int
	ps := r.conditionWaiters(ctx, c, 3, &woke)
	r.locked(ctx, c, func() {
		r.must(c.Notify(ctx, -1), "Notify")
		r.untilWaiting(ctx, c.Locker(), 3)
		r.settle(ctx)
		if len(woke) != 0 {
			r.Errorf("%d strands returned from Wait while the lock was held", len(woke))
		}
	})
	r.joinAll(ctx, ps...)
	r.isFree(ctx, c.Locker())
}

func conditionSpurious(ctx context.Context, r *run, mk ConditionMaker) {
	c := mk.Condition(ctx, r, nil)
	var woke []int
	ps := r.conditionWaiters(ctx, c, 3, &woke)
	for range 10 { // the lock comes and goes
		r.locked(ctx, c, func() { r.must(strand.Yield(ctx), "Yield") })
	}
	r.untilWoken(ctx, c, &woke, 0)
	r.notify(ctx, c, -1)
	r.joinAll(ctx, ps...)
}

func conditionNotifyNobody(ctx context.Context, r *run, mk ConditionMaker) {
	c := mk.Condition(ctx, r, nil)
	r.notify(ctx, c, 1)
	r.notify(ctx, c, -1)
	var woke []int
	ps := r.conditionWaiters(ctx, c, 1, &woke)
	r.untilWoken(ctx, c, &woke, 0)
	r.notify(ctx, c, 1)
	r.joinAll(ctx, ps...)
}

func conditionTimeout(ctx context.Context, r *run, mk ConditionMaker) {
	for _, l := range []tristrand.Locker{nil, mk.Lock(ctx, r)} {
		c := mk.Condition(ctx, r, l)
		var ps []*party
		for i := range 5 {
			ps = append(ps, r.start(ctx, fmt.Sprint("waiter ", i), func(ctx context.Context) error {
				r.locked(ctx, c, func() {
					began := r.now(ctx)
					short, cancel := strand.WithTimeout(ctx, shortly)
					defer cancel()
					r.is(c.Wait(short), "Wait", context.DeadlineExceeded)
					r.took(ctx, began, shortly, "the wait")
					r.isMine(ctx, c.Locker(), 1)
				})
				return nil
			}))
		}
		r.joinAll(ctx, ps...)
		r.isFree(ctx, c.Locker())
		r.untilCondWaiting(ctx, c, 0)
	}
}

func conditionTimeoutHeld(ctx context.Context, r *run, mk ConditionMaker) {
	c := mk.Condition(ctx, r, nil)
	p := r.start(ctx, "waiter", func(ctx context.Context) error {
		r.locked(ctx, c, func() {
			short, cancel := strand.WithTimeout(ctx, shortly)
			defer cancel()
			r.is(c.Wait(short), "Wait", context.DeadlineExceeded)
			r.isMine(ctx, c.Locker(), 1)
		})
		return nil
	})
	r.until(ctx, "it waits, or did", func() bool { return r.condWaiting(ctx, c) == 1 || p.ended() })
	r.locked(ctx, c, func() {
		if p.ended() || r.condWaiting(ctx, c) == 0 {
			return // too slow: its time was up before
		}
		r.untilWaiting(ctx, c.Locker(), 1) // its time is up, and it wants the lock back
		r.settle(ctx)
		if p.ended() {
			r.Errorf("Wait returned while another held the lock")
		}
	})
	r.joinAll(ctx, p)
}

func conditionCancel(ctx context.Context, r *run, mk ConditionMaker) {
	c := mk.Condition(ctx, r, nil)
	child, cancel := r.withCancel(ctx)
	p := r.start(child, "waiter", func(ctx context.Context) error {
		r.must(c.Locker().Acquire(ctx), "Acquire")
		r.is(c.Wait(ctx), "the cancelled wait", context.Canceled, errGaveUp)
		r.isMine(ctx, c.Locker(), 1)
		r.must(c.Locker().Release(ctx), "Release")
		return nil
	})
	r.untilCondWaiting(ctx, c, 1)
	cancel(errGaveUp)
	r.joinAll(ctx, p)
	r.isFree(ctx, c.Locker())
}

func conditionEndedContext(ctx context.Context, r *run, mk ConditionMaker) {
	c, over := mk.Condition(ctx, r, nil), r.ended(ctx)
	r.is(c.Wait(over), "Wait without the lock", tristrand.ErrNotHeld)
	r.must(c.Locker().Acquire(ctx), "Acquire")
	r.is(c.Wait(over), "Wait", context.Canceled, errGaveUp)
	r.isMine(ctx, c.Locker(), 1)
	r.must(c.Notify(over, 1), "Notify")
	r.must(c.Locker().Release(over), "Release")
	r.isFree(ctx, c.Locker())
}

func conditionPassOver(ctx context.Context, r *run, mk ConditionMaker) {
	for range r.many(10) {
		c := mk.Condition(ctx, r, nil)
		child, cancel := r.withCancel(ctx)
		var gaveUp error
		first := r.start(child, "may give up", func(ctx context.Context) error {
			r.must(c.Locker().Acquire(ctx), "Acquire")
			gaveUp = c.Wait(ctx)
			r.must(c.Locker().Release(ctx), "Release")
			return nil
		})
		r.untilCondWaiting(ctx, c, 1)
		var woke []int
		second := r.conditionWaiters(ctx, c, 1, &woke)
		canceller := r.start(ctx, "canceller", func(context.Context) error { cancel(errGaveUp); return nil })
		r.notify(ctx, c, 1)
		r.joinAll(ctx, first, canceller)
		if gaveUp == nil { // it was notified, so the other was not
			r.untilWoken(ctx, c, &woke, 0)
			r.notify(ctx, c, 1)
		} else {
			r.is(gaveUp, "the cancelled wait", context.Canceled)
		}
		r.joinAll(ctx, second...)
		r.isFree(ctx, c.Locker())
	}
}

func conditionWaitFor(ctx context.Context, r *run, mk ConditionMaker) {
	c := mk.Condition(ctx, r, mk.Lock(ctx, r))
	state, asked := 0, 0
	p := r.start(ctx, "waiter", func(ctx context.Context) error {
		r.locked(ctx, c, func() {
			r.must(tristrand.WaitFor(ctx, c, func() bool { asked++; r.isMine(ctx, c.Locker(), 1); return state == 3 }), "WaitFor")
			r.isMine(ctx, c.Locker(), 1)
			if state != 3 {
				r.Errorf("WaitFor returned with state %d", state)
			}
			r.must(tristrand.WaitFor(ctx, c, func() bool { return true }), "WaitFor of what is so")
		})
		return nil
	})
	for range 3 {
		r.untilCondWaiting(ctx, c, 1)
		r.locked(ctx, c, func() {
			state++
			r.must(c.Notify(ctx, 1), "Notify")
		})
	}
	r.joinAll(ctx, p)
	if asked != 4 {
		r.Errorf("the predicate was asked %d times, want 4", asked)
	}
}

func conditionWaitForTimeout(ctx context.Context, r *run, mk ConditionMaker) {
	c := mk.Condition(ctx, r, nil)
	stop := false
	nagger := r.start(ctx, "nagger", func(ctx context.Context) error {
		for over := false; !over; {
			r.locked(ctx, c, func() { over = stop; r.must(c.Notify(ctx, -1), "Notify") })
			r.must(strand.Sleep(ctx, shortly/4), "Sleep")
		}
		return nil
	})
	r.locked(ctx, c, func() {
		began := r.now(ctx)
		short, cancel := strand.WithTimeout(ctx, shortly)
		defer cancel()
		r.is(tristrand.WaitFor(short, c, func() bool { return false }), "WaitFor", context.DeadlineExceeded)
		r.took(ctx, began, shortly, "WaitFor")
		r.isMine(ctx, c.Locker(), 1)
		stop = true
	})
	r.joinAll(ctx, nagger)
}

func conditionLevels(ctx context.Context, r *run, mk ConditionMaker) {
	l := mk.RLock(ctx, r)
	c := mk.Condition(ctx, r, l)
	for _, give := range []bool{true, false} { // by Notify, by a time-out
		p := r.start(ctx, "waiter", func(ctx context.Context) error {
			for range 3 {
				r.must(l.Acquire(ctx), "Acquire")
			}
			short, cancel := strand.WithTimeout(ctx, shortly)
			defer cancel()
			if give {
				r.must(c.Wait(ctx), "Wait")
			} else {
				r.is(c.Wait(short), "Wait", context.DeadlineExceeded)
			}
			r.isMine(ctx, l, 3)
			for range 3 {
				r.must(l.Release(ctx), "Release")
			}
			return nil
		})
		if give {
			r.untilCondWaiting(ctx, c, 1)
			r.locked(ctx, c, func() {
				r.isMine(ctx, l, 1)
				r.must(c.Notify(ctx, 1), "Notify")
			})
		}
		r.joinAll(ctx, p)
		r.isFree(ctx, l)
	}
}
