package conformance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// semaphoreFair has two strands release and acquire at once: each must get on.
func semaphoreFair(ctx context.Context, r *run, mk SemaphoreMaker) {
	m, rounds := mk(ctx, r, 1), 10
	var turns []int
	var ps []*party
	r.must(m.Acquire(ctx), "Acquire")
	for i := range 2 {
		ps = append(ps, r.start(ctx, fmt.Sprint("dueller ", i), func(ctx context.Context) error {
			for range rounds {
				if err := m.Acquire(ctx); err != nil {
					return err
				}
				turns = append(turns, i)
				if i == 0 || len(turns) < 2*rounds-1 {
					// Let go only when the other one waits too, if it is to come again.
					r.until(ctx, "the other waits", func() bool {
						return r.semState(ctx, m).Waiting == 1 || r.over(turns, 1-i, rounds)
					})
				}
				if err := m.Release(ctx, 1); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	r.untilSemWaiting(ctx, m, 2)
	r.must(m.Release(ctx, 1), "Release")
	r.joinAll(ctx, ps...)
	for k := 1; k < len(turns); k++ {
		if turns[k] == turns[k-1] {
			r.Errorf("the turns were %v, want them to alternate", turns)
			break
		}
	}
}

// over reports whether i has had n turns.
func (r *run) over(turns []int, i, n int) bool {
	k := 0
	for _, who := range turns {
		if who == i {
			k++
		}
	}
	return k == n
}

func semaphoreStorm(ctx context.Context, r *run, mk SemaphoreMaker) {
	const limit = 2
	m := mk(ctx, r, limit)
	var ps []*party
	rounds := r.many(40)
	for i := range r.many(16) {
		ps = append(ps, r.start(ctx, fmt.Sprint("strand ", i), func(ctx context.Context) error {
			rng := r.rand(i)
			for range rounds {
				d := time.Duration(rng.IntN(2000)) * time.Microsecond
				if err := semaphoreStormRound(ctx, m, rng.IntN(4), d); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	r.joinAll(ctx, ps...)
	r.has(ctx, m, limit, 0)
}

func semaphoreStormRound(ctx context.Context, m tristrand.Semaphore, how int, d time.Duration) error {
	acquire, short := m.Acquire, ctx
	switch how {
	case 0:
		acquire = m.TryAcquire
	case 1, 2:
		var cancel context.CancelFunc
		short, cancel = strand.WithTimeout(ctx, d)
		defer cancel()
	}
	if err := acquire(short); err != nil {
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, tristrand.ErrBusy) {
			return nil
		}
		return err
	}
	return errors.Join(strand.Sleep(ctx, d/8), m.Release(ctx, 1))
}
