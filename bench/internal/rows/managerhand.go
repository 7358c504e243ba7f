package rows

import (
	"context"
	"errors"
	"time"

	"github.com/tristrand/tristrand/bench/internal/measure"
	"github.com/tristrand/tristrand/manager"
)

// handing has clients of ours take one lock in turns, and measures how long it
// takes until the holder is another. A lock that lets the last holder overtake the
// others is quick to take and slow to hand on.
func (h *hostedBy) handing(o Options, clients int) measure.Impl {
	return measure.Impl{Name: h.name, N: 1, Open: func(ctx context.Context) (measure.Trial, error) {
		m, err := h.open(ctx, o, false)
		if err != nil {
			return measure.Trial{}, err
		}
		var own []*manager.Client
		done := func() error {
			var errs []error
			for _, c := range own {
				errs = append(errs, c.Close())
			}
			return errors.Join(append(errs, m.close())...)
		}
		holder, handed := -1, 0 // guarded by the lock that is measured
		crowd := make([]func(context.Context, int) error, clients)
		for k := range crowd {
			c, err := manager.Dial(ctx, m.address, manager.DialOptions{AuthKey: []byte(managerKey)})
			if err != nil {
				return measure.Trial{}, errors.Join(err, done())
			}
			own = append(own, c)
			p, err := c.Attach(ctx, m.lock.Proxy().Type(), m.lock.Proxy().ID())
			if err != nil {
				return measure.Trial{}, errors.Join(err, done())
			}
			l := manager.LockOf(p)
			crowd[k] = func(ctx context.Context, _ int) error {
				if err := l.Acquire(ctx); err != nil {
					return err
				}
				if holder != k {
					holder = k
					handed++
				}
				return l.Release(ctx)
			}
		}
		return measure.Trial{
			Run: func(int) (float64, error) {
				handed = 0
				began := time.Now()
				_, err := forAWhile(ctx, crowd)
				return float64(time.Since(began)) / float64(max(handed, 1)), err
			},
			Close: done,
		}, nil
	}}
}
