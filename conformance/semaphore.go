package conformance

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// A SemaphoreMaker makes a new semaphore with the count n. It panics for an n
// that makes no sense.
type SemaphoreMaker func(ctx context.Context, t testing.TB, n int) tristrand.Semaphore

// Semaphore checks a semaphore whose count has no bound.
func Semaphore(t *testing.T, mk SemaphoreMaker, o Options) {
	t.Helper()
	runRules(t, append(semaphoreCommonRules(), semaphoreRules()...), mk, o)
}

// BoundedSemaphore checks a semaphore whose count cannot rise above its first
// value.
func BoundedSemaphore(t *testing.T, mk SemaphoreMaker, o Options) {
	t.Helper()
	runRules(t, append(semaphoreCommonRules(), boundedSemaphoreRules()...), mk, o)
}

func semaphoreCommonRules() []rule[SemaphoreMaker] {
	return []rule[SemaphoreMaker]{
		{"a count below zero is refused", "below zero panics", anyWorld, semaphoreBelowZero},
		{"it lets as many in as its count, and TryAcquire no more", "ErrBusy; TryX never waits", anyWorld, semaphoreTry},
		{"tries of many strands add up", "a nil error means it was done", anyWorld, semaphoreTryContended},
		{"never more inside than its count", "counts what may be used at once", anyWorld, semaphoreLimit},
		{"as many pass as are released", "Release adds n to the count", anyWorld, semaphoreContended},
		{"those who wait pass in order", "first come first served", anyWorld, semaphoreOrder},
		{"Release of n lets n through", "Release adds n to the count", anyWorld, semaphoreMulti},
		{"Release of less than 1 is refused", "n is at least 1; misuse leaves the state unchanged", anyWorld, semaphoreReleaseZero},
		{"a time-out ends a wait", "ctx says how long; the count stays as it was", anyWorld, semaphoreTimeout},
		{"a ctx that has ended changes nothing", "a ctx ended before the call is an error and changes nothing; TryX and Release do not mind", anyWorld, semaphoreEndedContext},
		{"a waiter that gave up swallows no release", "a false Grant changes nothing, and the waker passes on", anyWorld, semaphorePassOver},
		{"a release and a cancellation at once lose nothing", "a Grant that beats ctx's end counts", anyWorld, semaphoreRelease},
		{"any strand may release", "a hand-over lock is a bounded semaphore of 1", anyWorld, semaphoreHandOver},
		{"the holder of the last one is not its owner", "Semaphore is an open set", anyWorld, semaphoreOpen},
		{"nobody starves", "first come first served", anyWorld, semaphoreFair},
		{"a storm of time-outs leaves it usable", "each Wait is settled once", anyWorld, semaphoreStorm},
		{"goroutines that are no strands share it", "a nameless caller may use everything", openWorld, semaphoreNameless},
	}
}

func semaphoreRules() []rule[SemaphoreMaker] {
	return []rule[SemaphoreMaker]{
		{"it may begin with none", "NewSemaphore(0) is legal", anyWorld, semaphoreZero},
		{"its count may rise above its first value", "Bound 0: none", anyWorld, semaphoreUnbounded},
	}
}

func boundedSemaphoreRules() []rule[SemaphoreMaker] {
	return []rule[SemaphoreMaker]{
		{"one release too many is refused, at every level", "ErrOverRelease: nothing was released", anyWorld, semaphoreBounded},
	}
}

func (r *run) semState(ctx context.Context, m tristrand.Semaphore) tristrand.SemaphoreState {
	r.Helper()
	st, err := m.State(ctx)
	r.must(err, "State")
	return st
}

// has checks how much is free and how many wait.
func (r *run) has(ctx context.Context, m tristrand.Semaphore, free, waiting int) {
	r.Helper()
	if st := r.semState(ctx, m); st.Free != free || st.Waiting != waiting {
		r.Errorf("the semaphore's state is %+v, want %d free and %d waiting", st, free, waiting)
	}
}

func (r *run) untilSemWaiting(ctx context.Context, m tristrand.Semaphore, n int) {
	r.Helper()
	r.until(ctx, fmt.Sprintf("%d strands wait for the semaphore", n), func() bool { return r.semState(ctx, m).Waiting == n })
}

// drain takes n.
func (r *run) drain(ctx context.Context, m tristrand.Semaphore, n int) {
	r.Helper()
	for range n {
		r.must(m.TryAcquire(ctx), "TryAcquire of what is free")
	}
}

func semaphoreBelowZero(ctx context.Context, r *run, mk SemaphoreMaker) {
	defer func() {
		if recover() == nil {
			r.Errorf("a semaphore of -1 was made")
		}
	}()
	mk(ctx, r, -1)
}

func semaphoreTry(ctx context.Context, r *run, mk SemaphoreMaker) {
	m := mk(ctx, r, 3)
	r.has(ctx, m, 3, 0)
	for i := range 3 {
		r.must(m.TryAcquire(ctx), "TryAcquire")
		r.has(ctx, m, 2-i, 0)
	}
	r.is(m.TryAcquire(ctx), "TryAcquire of none", tristrand.ErrBusy)
	r.has(ctx, m, 0, 0)
	for i := range 3 {
		r.must(m.Release(ctx, 1), "Release")
		r.has(ctx, m, i+1, 0)
	}
	for range 3 { // nested, by one strand
		r.must(m.Acquire(ctx), "Acquire")
	}
	r.must(m.Release(ctx, 3), "Release")
	r.has(ctx, m, 3, 0)
}

func semaphoreTryContended(ctx context.Context, r *run, mk SemaphoreMaker) {
	m := mk(ctx, r, 7)
	var ps []*party
	got := make([]int, 5)
	for i := range got {
		ps = append(ps, r.start(ctx, fmt.Sprint("strand ", i), func(ctx context.Context) error {
			for range 4 {
				err := m.TryAcquire(ctx)
				if err == nil {
					got[i]++
				} else if !errors.Is(err, tristrand.ErrBusy) {
					return err
				}
			}
			return nil
		}))
	}
	r.joinAll(ctx, ps...)
	total := 0
	for _, n := range got {
		total += n
	}
	if total != 7 {
		r.Errorf("20 tries took %d of 7", total)
	}
	r.has(ctx, m, 0, 0)
}

func semaphoreLimit(ctx context.Context, r *run, mk SemaphoreMaker) {
	const limit = 3
	m := mk(ctx, r, limit)
	inside := make(chan struct{}, limit) // a bounded count that the race detector accepts
	var ps []*party
	for i := range 10 {
		ps = append(ps, r.start(ctx, fmt.Sprint("strand ", i), func(ctx context.Context) error {
			for range 3 {
				if err := m.Acquire(ctx); err != nil {
					return err
				}
				select {
				case inside <- struct{}{}:
				default:
					r.Errorf("more than %d are inside", limit)
					return m.Release(ctx, 1)
				}
				if err := strand.Yield(ctx); err != nil {
					return err
				}
				<-inside
				if err := m.Release(ctx, 1); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	r.joinAll(ctx, ps...)
	r.has(ctx, m, limit, 0)
}

// acquirers starts n strands that acquire once; passed counts those that have.
func (r *run) acquirers(ctx context.Context, m tristrand.Semaphore, n int) (ps []*party, passed func() int) {
	for i := range n {
		ps = append(ps, r.start(ctx, fmt.Sprint("acquirer ", i), m.Acquire))
	}
	return ps, func() (k int) {
		for _, p := range ps {
			if p.ended() {
				k++
			}
		}
		return k
	}
}

// untilPassed waits until n of them have passed, and checks that no more do.
func (r *run) untilPassed(ctx context.Context, n int, passed func() int) {
	r.Helper()
	r.until(ctx, fmt.Sprintf("%d have passed", n), func() bool { return passed() >= n })
	r.settle(ctx)
	if k := passed(); k != n {
		r.Errorf("%d have passed, want %d", k, n)
	}
}

func semaphoreContended(ctx context.Context, r *run, mk SemaphoreMaker) {
	m := mk(ctx, r, 3)
	ps, passed := r.acquirers(ctx, m, 9)
	r.untilPassed(ctx, 3, passed)
	r.untilSemWaiting(ctx, m, 6)
	for i := range 3 {
		for range 2 {
			r.must(m.Release(ctx, 1), "Release")
		}
		r.untilPassed(ctx, 3+2*(i+1), passed)
	}
	r.joinAll(ctx, ps...)
	r.has(ctx, m, 0, 0)
}

func semaphoreOrder(ctx context.Context, r *run, mk SemaphoreMaker) {
	m := mk(ctx, r, 1)
	r.must(m.Acquire(ctx), "Acquire")
	var order []int
	var ps []*party
	for i := range 5 {
		ps = append(ps, r.start(ctx, fmt.Sprint("waiter ", i), func(ctx context.Context) error {
			if err := m.Acquire(ctx); err != nil {
				return err
			}
			order = append(order, i) // one at a time is inside
			return m.Release(ctx, 1)
		}))
		r.untilSemWaiting(ctx, m, i+1)
	}
	r.settle(ctx)
	r.must(m.Release(ctx, 1), "Release")
	r.joinAll(ctx, ps...)
	if got := fmt.Sprint(order); got != "[0 1 2 3 4]" {
		r.Errorf("they passed in the order %s", got)
	}
}

func semaphoreMulti(ctx context.Context, r *run, mk SemaphoreMaker) {
	m := mk(ctx, r, 8)
	r.drain(ctx, m, 8)
	ps, passed := r.acquirers(ctx, m, 6)
	r.untilSemWaiting(ctx, m, 6)
	r.must(m.Release(ctx, 4), "Release of 4")
	r.untilPassed(ctx, 4, passed)
	r.must(m.Release(ctx, 4), "Release of 4")
	r.untilPassed(ctx, 6, passed)
	r.joinAll(ctx, ps...)
	r.has(ctx, m, 2, 0)
}

func semaphoreReleaseZero(ctx context.Context, r *run, mk SemaphoreMaker) {
	m := mk(ctx, r, 2)
	r.drain(ctx, m, 1)
	for _, n := range []int{0, -1, -100} {
		if err := m.Release(ctx, n); err == nil {
			r.Errorf("Release of %d was done", n)
		}
		r.has(ctx, m, 1, 0)
	}
}

func semaphoreTimeout(ctx context.Context, r *run, mk SemaphoreMaker) {
	m := mk(ctx, r, 1)
	long, cancel := strand.WithTimeout(ctx, time.Hour)
	defer cancel()
	r.must(m.Acquire(long), "Acquire of what is free")
	began := r.now(ctx)
	short, cancel2 := strand.WithTimeout(ctx, shortly)
	defer cancel2()
	r.is(m.Acquire(short), "Acquire of none", context.DeadlineExceeded)
	r.took(ctx, began, shortly, "the wait")
	r.has(ctx, m, 0, 0)
	r.must(m.Release(ctx, 1), "Release")
	r.has(ctx, m, 1, 0)
	r.must(m.Acquire(ctx), "Acquire after the time-out")
}

func semaphoreEndedContext(ctx context.Context, r *run, mk SemaphoreMaker) {
	m, over := mk(ctx, r, 1), r.ended(ctx)
	r.is(m.Acquire(over), "Acquire of what is free", context.Canceled, errGaveUp)
	r.has(ctx, m, 1, 0)
	r.must(m.TryAcquire(over), "TryAcquire")
	r.is(m.Acquire(over), "Acquire of none", context.Canceled, errGaveUp)
	r.has(ctx, m, 0, 0)
	r.must(m.Release(over, 1), "Release")
	r.has(over, m, 1, 0)
}

func semaphorePassOver(ctx context.Context, r *run, mk SemaphoreMaker) {
	m := mk(ctx, r, 1)
	r.drain(ctx, m, 1)
	child, cancel := r.withCancel(ctx)
	first := r.start(child, "gives up", func(ctx context.Context) error {
		r.is(m.Acquire(ctx), "the cancelled wait", context.Canceled, errGaveUp)
		return nil
	})
	r.untilSemWaiting(ctx, m, 1)
	second := r.start(ctx, "stays", m.Acquire)
	r.untilSemWaiting(ctx, m, 2)
	cancel(errGaveUp)
	r.joinAll(ctx, first)
	r.untilSemWaiting(ctx, m, 1)
	r.must(m.Release(ctx, 1), "Release")
	r.joinAll(ctx, second)
	r.has(ctx, m, 0, 0)
}

func semaphoreRelease(ctx context.Context, r *run, mk SemaphoreMaker) {
	for range r.many(30) {
		m := mk(ctx, r, 1)
		r.drain(ctx, m, 1)
		child, cancel := r.withCancel(ctx)
		first := r.start(child, "may give up", m.Acquire)
		r.untilSemWaiting(ctx, m, 1)
		canceller := r.start(ctx, "canceller", func(context.Context) error { cancel(errGaveUp); return nil })
		r.must(strand.Yield(ctx), "Yield")
		r.must(m.Release(ctx, 1), "Release")
		r.joinAll(ctx, canceller)
		free := 0
		if err := first.join(ctx); err != nil {
			r.is(err, "the cancelled wait", context.Canceled)
			free = 1
		}
		r.has(ctx, m, free, 0)
	}
}

func semaphoreHandOver(ctx context.Context, r *run, mk SemaphoreMaker) {
	m := mk(ctx, r, 1)
	r.must(m.Acquire(ctx), "Acquire")
	r.joinAll(ctx, r.start(ctx, "other", func(ctx context.Context) error { return m.Release(ctx, 1) }))
	r.has(ctx, m, 1, 0)
	// A strand that ends does not take it along, nor give it back.
	r.joinAll(ctx, r.start(ctx, "ends", m.Acquire))
	r.has(ctx, m, 0, 0)
	r.must(m.Release(ctx, 1), "Release of what another took")
	r.has(ctx, m, 1, 0)
}

func semaphoreOpen(ctx context.Context, r *run, mk SemaphoreMaker) {
	m := mk(ctx, r, 1)
	r.must(m.Acquire(ctx), "Acquire")
	p := r.start(ctx, "saviour", func(ctx context.Context) error {
		r.untilSemWaiting(ctx, m, 1)
		return m.Release(ctx, 1)
	})
	r.must(m.Acquire(ctx), "Acquire again, by the one who has it")
	r.joinAll(ctx, p)
	r.has(ctx, m, 0, 0)
}

func semaphoreNameless(ctx context.Context, r *run, mk SemaphoreMaker) {
	m := mk(ctx, r, 1)
	r.drain(ctx, m, 1)
	var done atomic.Int32
	for _, ctx2 := range []context.Context{ctx, context.Background()} {
		go func() {
			defer done.Add(1)
			if err := m.Acquire(ctx2); err != nil {
				r.Errorf("Acquire by a nameless goroutine: %v", err)
			}
			if err := m.Release(ctx2, 1); err != nil {
				r.Errorf("Release by a nameless goroutine: %v", err)
			}
		}()
	}
	r.untilSemWaiting(ctx, m, 2)
	r.must(m.Release(ctx, 1), "Release")
	r.until(ctx, "both are done", func() bool { return done.Load() == 2 })
	r.has(ctx, m, 1, 0)
}

func semaphoreZero(ctx context.Context, r *run, mk SemaphoreMaker) {
	m := mk(ctx, r, 0)
	r.is(m.TryAcquire(ctx), "TryAcquire of none", tristrand.ErrBusy)
	ps, passed := r.acquirers(ctx, m, 1)
	r.untilSemWaiting(ctx, m, 1)
	if passed() != 0 {
		r.Errorf("a strand passed a semaphore of 0")
	}
	r.must(m.Release(ctx, 1), "Release")
	r.joinAll(ctx, ps...)
	r.has(ctx, m, 0, 0)
}

func semaphoreUnbounded(ctx context.Context, r *run, mk SemaphoreMaker) {
	m := mk(ctx, r, 1)
	r.must(m.Release(ctx, 1), "Release of what was not acquired")
	r.must(m.Release(ctx, 5), "Release of more")
	if st := r.semState(ctx, m); st.Free != 7 || st.Bound != 0 {
		r.Errorf("the state is %+v, want 7 free and no bound", st)
	}
	r.drain(ctx, m, 7)
	r.is(m.TryAcquire(ctx), "TryAcquire of none", tristrand.ErrBusy)
}

func semaphoreBounded(ctx context.Context, r *run, mk SemaphoreMaker) {
	const bound = 3
	m := mk(ctx, r, bound)
	for taken := range bound + 1 {
		r.is(m.Release(ctx, taken+1), fmt.Sprintf("Release of %d with %d taken", taken+1, taken), tristrand.ErrOverRelease)
		r.is(m.Release(ctx, 1<<40), "Release of far too many", tristrand.ErrOverRelease)
		r.has(ctx, m, bound-taken, 0)
		if st := r.semState(ctx, m); st.Bound != bound {
			r.Errorf("the state is %+v, want a bound of %d", st, bound)
		}
		if taken < bound {
			r.must(m.Acquire(ctx), "Acquire")
		}
	}
	r.must(m.Release(ctx, bound), "Release of all")
	r.is(m.Release(ctx, 1), "Release of one more", tristrand.ErrOverRelease)
	r.has(ctx, m, bound, 0)
}
