package rows

import (
	"context"
	"sync"
	"time"

	"github.com/alitto/pond/v2"
	"github.com/gammazero/workerpool"
	"github.com/panjf2000/ants/v2"
	conc "github.com/sourcegraph/conc/pool"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/bench/internal/measure"
	"github.com/tristrand/tristrand/thread"
)

// A pool is something that runs functions on a bounded number of goroutines,
// opened for a trial.
type pool struct {
	submit func(job func()) error
	close  func() error
}

// The job of every pool: count down. Its WaitGroup checks that n jobs have run,
// neither more nor fewer, and ends the time at the end of the last.

// fire compares submitting jobs without wanting their results, on two workers.
func fire() []measure.Row {
	const workers = 2
	row := measure.Row{
		Name: "fire", What: "one empty job, result not wanted, 2 workers",
		Ours: oursDetach(workers), Floor: channelPool(workers),
		Bound: measure.AtMost(1.2), Allocs: 2,
	}
	peers := []measure.Impl{
		poolImpl("ants", antsPool(workers)),
		poolImpl("pond", pondPool(workers)),
		poolImpl("pond-queue1024", pondPool(workers, pond.WithQueueSize(1024))),
		concPool(workers),
		errGroup(workers),
		poolImpl("workerpool", gammazeroPool(workers)),
	}
	rows := against(row, peers...)
	future := row
	future.Name, future.Ours = "fire-future", oursFire("thread.Pool", workers)
	future.What = "as fire, by Submit, which makes a Future"
	context := row
	context.Bound, context.Allocs = measure.Bound{}, 0
	rows = append(rows, against(context,
		goroutines(), semaphoreGo(workers), channelPool(workers), python("python-executor", "fire"))...)
	rows = append(rows, against(future, peers...)...)
	rows = append(rows, own(workers)...)
	closure := context
	closure.Name, closure.Ours = "fire-closure", oursGo(workers)
	closure.What = "as fire, by tristrand.Go with a closure"
	return append(rows, against(closure, poolImpl("pond", pondPool(workers)))...)
}

var countDown = tristrand.Func(func(_ context.Context, wg *sync.WaitGroup) (struct{}, error) {
	wg.Done()
	return struct{}{}, nil
})

// oursDetach hands over a function that nobody waits for, as the peers' pools do.
func oursDetach(workers int) measure.Impl {
	return measure.Impl{Name: "thread.Pool", Open: func(ctx context.Context) (measure.Trial, error) {
		p := &thread.Pool{Workers: workers}
		return measure.Trial{
			Run: measure.Time(func(n int) error {
				var wg sync.WaitGroup
				wg.Add(n)
				done := func(context.Context) error {
					wg.Done()
					return nil
				}
				for range n {
					if err := tristrand.Detach(ctx, p, done); err != nil {
						return err
					}
				}
				wg.Wait()
				return submitted(p, n)
			}),
			Close: func() error { return p.Close(ctx) },
		}, p.Start(ctx)
	}}
}

// oursFire submits a task and drops its Future.
func oursFire(name string, workers int) measure.Impl {
	return measure.Impl{Name: name, Open: func(ctx context.Context) (measure.Trial, error) {
		p := &thread.Pool{Workers: workers}
		return measure.Trial{
			Run: measure.Time(func(n int) error {
				var wg sync.WaitGroup
				wg.Add(n)
				for range n {
					countDown.Submit(ctx, p, &wg)
				}
				wg.Wait()
				return submitted(p, n)
			}),
			Close: func() error { return p.Close(ctx) },
		}, p.Start(ctx)
	}}
}

// oursGo submits closures.
func oursGo(workers int) measure.Impl {
	return measure.Impl{Name: "thread.Pool", Open: func(ctx context.Context) (measure.Trial, error) {
		p := &thread.Pool{Workers: workers}
		return measure.Trial{
			Run: measure.Time(func(n int) error {
				var wg sync.WaitGroup
				wg.Add(n)
				for range n {
					tristrand.Go(ctx, p, func(context.Context) (struct{}, error) {
						wg.Done()
						return struct{}{}, nil
					})
				}
				wg.Wait()
				return submitted(p, n)
			}),
			Close: func() error { return p.Close(ctx) },
		}, p.Start(ctx)
	}}
}

// submitted checks that a pool has not refused any of the last n jobs.
func submitted(p *thread.Pool, n int) error {
	if st := p.Stats(); st.Submitted < uint64(n) || st.Failed > 0 || st.Cancelled > 0 {
		return wrong(st, n)
	}
	return nil
}

// poolImpl makes an impl of a pool that lasts for a trial.
func poolImpl(name string, open func() (pool, error)) measure.Impl {
	return measure.Impl{Name: name, Open: func(context.Context) (measure.Trial, error) {
		p, err := open()
		return measure.Trial{
			Run: measure.Time(func(n int) error {
				var wg sync.WaitGroup
				wg.Add(n)
				done := wg.Done // made once: its closure is not the pool's to pay for
				for range n {
					if err := p.submit(done); err != nil {
						return err
					}
				}
				wg.Wait()
				return nil
			}),
			Close: p.close,
		}, err
	}}
}

func antsPool(workers int) func() (pool, error) {
	return func() (pool, error) {
		p, err := ants.NewPool(workers)
		if err != nil {
			return pool{}, err
		}
		return pool{submit: p.Submit, close: func() error { return p.ReleaseTimeout(5 * time.Second) }}, nil
	}
}

func pondPool(workers int, opts ...pond.Option) func() (pool, error) {
	return func() (pool, error) {
		p := pond.NewPool(workers, opts...)
		return pool{submit: p.Go, close: func() error { p.StopAndWait(); return nil }}, nil
	}
}

func gammazeroPool(workers int) func() (pool, error) {
	return func() (pool, error) {
		p := workerpool.New(workers)
		return pool{
			submit: func(job func()) error { p.Submit(job); return nil },
			close:  func() error { p.StopWait(); return nil },
		}, nil
	}
}

// concPool uses conc's pool as it is meant: one for a piece of work.
func concPool(workers int) measure.Impl {
	return plain("conc", func(n int) error {
		p := conc.New().WithMaxGoroutines(workers)
		var wg sync.WaitGroup
		wg.Add(n)
		done := wg.Done
		for range n {
			p.Go(done)
		}
		p.Wait()
		wg.Wait()
		return nil
	})
}

func errGroup(workers int) measure.Impl {
	return plain("errgroup", func(n int) error {
		var g errgroup.Group
		g.SetLimit(workers)
		var wg sync.WaitGroup
		wg.Add(n)
		done := func() error { wg.Done(); return nil }
		for range n {
			g.Go(done)
		}
		err := g.Wait()
		wg.Wait()
		return err
	})
}

// goroutines starts one for each job, as many at once as there are jobs.
func goroutines() measure.Impl {
	return plain("bare-goroutines", func(n int) error {
		var wg sync.WaitGroup
		wg.Add(n)
		for range n {
			go wg.Done()
		}
		wg.Wait()
		return nil
	})
}

// semaphoreGo starts a goroutine for each job, with a semaphore around it.
func semaphoreGo(workers int) measure.Impl {
	return under("semaphore", func(ctx context.Context, n int) error {
		sem := semaphore.NewWeighted(int64(workers))
		var wg sync.WaitGroup
		wg.Add(n)
		for range n {
			if err := sem.Acquire(ctx, 1); err != nil {
				return err
			}
			go func() { defer sem.Release(1); wg.Done() }()
		}
		wg.Wait()
		return nil
	})
}

// channelPool is the least that a pool can be: a buffered channel of functions
// and goroutines that range over it.
func channelPool(workers int) measure.Impl {
	return poolImpl("channel+goroutines", openChannel(workers))
}

func openChannel(workers int) func() (pool, error) {
	return func() (pool, error) {
		jobs := make(chan func(), 1024)
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				for job := range jobs {
					job()
				}
			})
		}
		return pool{
			submit: func(job func()) error { jobs <- job; return nil },
			close:  func() error { close(jobs); wg.Wait(); return nil },
		}, nil
	}
}
