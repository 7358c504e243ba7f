package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

func queueGetterGivesUp(ctx context.Context, r *run, mk QueueMaker) {
	q, u, v, w := mk(ctx, r, 1), 0, 0, 0
	child, cancel := r.withCancel(ctx)
	dies := r.getter(child, "dies", q, &u)
	r.untilGetting(ctx, q, 1)
	short, cancel2 := strand.WithTimeout(ctx, shortly)
	defer cancel2()
	times := r.getter(short, "has no time", q, &v)
	r.until(ctx, "it waits, or did", func() bool { return r.queueState(ctx, q).Getting == 2 || times.ended() })
	stays := r.getter(ctx, "stays", q, &w)
	r.until(ctx, "all wait who have time", func() bool {
		n := r.queueState(ctx, q).Getting
		return n == 3 || n == 2 && times.ended()
	})
	cancel(errGaveUp)
	r.is(dies.join(ctx), "the cancelled wait", context.Canceled, errGaveUp)
	r.is(times.join(ctx), "the wait that timed out", context.DeadlineExceeded)
	r.untilGetting(ctx, q, 1)
	r.must(q.Put(ctx, 5), "Put")
	r.joinAll(ctx, stays)
	if u != 0 || v != 0 || w != 5 {
		r.Errorf("those who gave up got %d and %d, and the one who stayed %d", u, v, w)
	}
	r.holds(ctx, q, 0)
}

func queuePutterGivesUp(ctx context.Context, r *run, mk QueueMaker) {
	q := mk(ctx, r, 1)
	r.fill(ctx, q, 1)
	child, cancel := r.withCancel(ctx)
	dies := r.putter(child, "dies", q, 1)
	r.untilPutting(ctx, q, 1)
	short, cancel2 := strand.WithTimeout(ctx, shortly)
	defer cancel2()
	times := r.putter(short, "has no time", q, 2)
	r.until(ctx, "it waits, or did", func() bool { return r.queueState(ctx, q).Putting == 2 || times.ended() })
	stays := r.putter(ctx, "stays", q, 3)
	r.until(ctx, "all wait who have time", func() bool {
		n := r.queueState(ctx, q).Putting
		return n == 3 || n == 2 && times.ended()
	})
	cancel(errGaveUp)
	r.is(dies.join(ctx), "the cancelled wait", context.Canceled, errGaveUp)
	r.is(times.join(ctx), "the wait that timed out", context.DeadlineExceeded)
	r.untilPutting(ctx, q, 1)
	_, err := q.Get(ctx)
	r.must(err, "Get")
	r.joinAll(ctx, stays)
	r.gets(ctx, q, 3)
	r.holds(ctx, q, 0)
}

func queueRace(ctx context.Context, r *run, mk QueueMaker) {
	for range r.many(30) {
		q, v := mk(ctx, r, 1), -1
		child, cancel := r.withCancel(ctx)
		p := r.getter(child, "may give up", q, &v)
		r.untilGetting(ctx, q, 1)
		c := r.start(ctx, "canceller", func(context.Context) error { cancel(errGaveUp); return nil })
		r.must(q.Put(ctx, 1), "Put")
		r.joinAll(ctx, c)
		if err := p.join(ctx); err != nil {
			r.is(err, "the cancelled wait", context.Canceled)
			r.gets(ctx, q, 1)
		} else if v != 1 {
			r.Errorf("got %d, want 1", v)
		}
		r.holds(ctx, q, 0)

		r.fill(ctx, q, 1)
		child, cancel = r.withCancel(ctx)
		p = r.putter(child, "may give up", q, 2)
		r.untilPutting(ctx, q, 1)
		c = r.start(ctx, "canceller", func(context.Context) error { cancel(errGaveUp); return nil })
		_, err := q.Get(ctx)
		r.must(err, "Get")
		r.joinAll(ctx, c)
		if err := p.join(ctx); err != nil {
			r.is(err, "the cancelled wait", context.Canceled)
			r.fill(ctx, q, 1) // there is room again
		}
		r.holds(ctx, q, 1)
	}
}

// queueMany has producers and consumers share a queue. Producer k puts k*items,
// k*items+1 and so on, so that a FIFO queue gives the items of each in order.
func queueMany(ctx context.Context, r *run, mk QueueMaker, o order) {
	for _, bound := range []int{0, 1, 5} {
		q := mk(ctx, r, bound)
		producers, items := r.many(20), r.many(50)
		got := make([][]int, producers) // by consumer
		var ps []*party
		for k := range producers {
			ps = append(ps, r.start(ctx, fmt.Sprint("producer ", k), func(ctx context.Context) error {
				for i := range items {
					if err := q.Put(ctx, k*items+i); err != nil {
						return err
					}
				}
				return nil
			}), r.start(ctx, fmt.Sprint("consumer ", k), func(ctx context.Context) error {
				for range items {
					v, err := q.Get(ctx)
					if err != nil {
						return err
					}
					got[k] = append(got[k], v)
				}
				return nil
			}))
		}
		r.joinAll(ctx, ps...)
		all := slices.Sorted(slices.Values(slices.Concat(got...)))
		for i, v := range all {
			if v != i {
				r.Fatalf("item %d of %d is %d: something was lost or doubled", i, len(all), v)
			}
		}
		if in := []int{2, 1}; slices.Equal(o(in), in) { // first in first out
			checkConsumers(r, got, producers, items)
		}
		r.holds(ctx, q, 0)
	}
}

// checkConsumers checks that each consumer got the items of each producer in
// the order in which they were put.
func checkConsumers(r *run, got [][]int, producers, items int) {
	r.Helper()
	for k, vs := range got {
		last := make([]int, producers)
		for _, v := range vs {
			if p := v / items; v%items+1 <= last[p] {
				r.Errorf("consumer %d got %v: %d is out of order", k, vs, v)
				return
			}
			last[v/items] = v%items + 1
		}
	}
}

func queueManyTries(ctx context.Context, r *run, mk QueueMaker) {
	q := mk(ctx, r, 3)
	producers, items := r.many(12), r.many(30)
	got := make([][]int, producers)
	var ps []*party
	for k := range producers {
		ps = append(ps, r.start(ctx, fmt.Sprint("producer ", k), func(ctx context.Context) error {
			rng := r.rand(2 * k)
			for i := range items {
				for put := false; !put; {
					err := attempt(ctx, rng.IntN(1000), func(ctx context.Context) error { return q.Put(ctx, k*items+i) },
						func(ctx context.Context) error { return q.TryPut(ctx, k*items+i) })
					if err != nil && !errors.Is(err, tristrand.ErrFull) && !errors.Is(err, context.DeadlineExceeded) {
						return err
					}
					put = err == nil
				}
			}
			return nil
		}), r.start(ctx, fmt.Sprint("consumer ", k), func(ctx context.Context) error {
			rng := r.rand(2*k + 1)
			for len(got[k]) < items {
				v := 0
				err := attempt(ctx, rng.IntN(1000), func(ctx context.Context) (err error) { v, err = q.Get(ctx); return err },
					func(ctx context.Context) (err error) { v, err = q.TryGet(ctx); return err })
				if err != nil && !errors.Is(err, tristrand.ErrEmpty) && !errors.Is(err, context.DeadlineExceeded) {
					return err
				}
				if err == nil {
					got[k] = append(got[k], v)
				}
			}
			return nil
		}))
	}
	r.joinAll(ctx, ps...)
	all := slices.Sorted(slices.Values(slices.Concat(got...)))
	for i, v := range all {
		if v != i {
			r.Fatalf("item %d of %d is %d: something was lost or doubled", i, len(all), v)
		}
	}
	r.holds(ctx, q, 0)
}

// attempt tries once, with a little time or none, and sleeps a little after a
// try that failed.
func attempt(ctx context.Context, n int, wait, try func(context.Context) error) error {
	if n%2 == 0 {
		err := try(ctx)
		if err != nil {
			err = errors.Join(err, strand.Sleep(ctx, time.Duration(n)*time.Microsecond))
		}
		return err
	}
	short, cancel := strand.WithTimeout(ctx, time.Duration(n)*time.Microsecond)
	defer cancel()
	return wait(short)
}
