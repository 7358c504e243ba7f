package conformance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// conditionBuffer is a bounded buffer made of a condition.
func conditionBuffer(ctx context.Context, r *run, mk ConditionMaker) {
	const room = 2
	c := mk.Condition(ctx, r, mk.Lock(ctx, r))
	var buffer, got []int
	items := r.many(30)
	var ps []*party
	for k := range 2 {
		ps = append(ps, r.start(ctx, fmt.Sprint("producer ", k), func(ctx context.Context) error {
			for i := range items {
				r.locked(ctx, c, func() {
					r.must(tristrand.WaitFor(ctx, c, func() bool { return len(buffer) < room }), "waiting for room")
					buffer = append(buffer, k*items+i)
					r.must(c.Notify(ctx, -1), "Notify")
				})
			}
			return nil
		}), r.start(ctx, fmt.Sprint("consumer ", k), func(ctx context.Context) error {
			for range items {
				r.locked(ctx, c, func() {
					r.must(tristrand.WaitFor(ctx, c, func() bool { return len(buffer) > 0 }), "waiting for an item")
					got, buffer = append(got, buffer[0]), buffer[1:]
					r.must(c.Notify(ctx, -1), "Notify")
				})
			}
			return nil
		}))
	}
	r.joinAll(ctx, ps...)
	checkStreams(r, got, 2, items)
}

// checkStreams checks that got has items of each of n producers, in order:
// producer k puts k*items, k*items+1 and so on.
func checkStreams(r *run, got []int, n, items int) {
	r.Helper()
	next := make([]int, n)
	for _, v := range got {
		if k := v / items; k < 0 || k >= n || v%items != next[k] {
			r.Errorf("got %v: %d is out of order, lost or doubled", got, v)
			return
		}
		next[v/items]++
	}
	if len(got) != n*items {
		r.Errorf("got %d items, want %d", len(got), n*items)
	}
}

func conditionStorm(ctx context.Context, r *run, mk ConditionMaker) {
	c := mk.Condition(ctx, r, nil)
	var v room
	visits := 0
	var ps []*party
	rounds := r.many(30)
	for i := range r.many(12) {
		ps = append(ps, r.start(ctx, fmt.Sprint("strand ", i), func(ctx context.Context) error {
			rng := r.rand(i)
			for range rounds {
				n, d := rng.IntN(4), time.Duration(rng.IntN(1000))*time.Microsecond
				r.locked(ctx, c, func() {
					if n == 0 {
						r.must(c.Notify(ctx, 1+rng.IntN(2)), "Notify")
						return
					}
					short, cancel := strand.WithTimeout(ctx, d)
					defer cancel()
					if err := c.Wait(short); err != nil && !errors.Is(err, context.DeadlineExceeded) {
						r.Errorf("Wait: %v", err)
					}
					r.must(v.visit(ctx), "a visit")
					visits++
				})
			}
			return nil
		}))
	}
	r.joinAll(ctx, ps...)
	v.check(r, visits)
	r.isFree(ctx, c.Locker())
	r.untilCondWaiting(ctx, c, 0)
}
