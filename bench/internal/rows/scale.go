package rows

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/bench/internal/measure"
	"github.com/tristrand/tristrand/thread"
)

// submitters compares pools that several goroutines submit to.
func submitters() []measure.Row {
	const from = 4
	row := measure.Row{
		Name: "fire-from4", What: "as fire, submitted by 4 strands at once",
		Ours: oursFrom(from), Floor: poolFrom("channel+goroutines", from, openChannel(2)),
	}
	return against(row,
		poolFrom("ants", from, antsPool(2)),
		poolFrom("pond", from, pondPool(2)))
}

func oursFrom(from int) measure.Impl {
	return measure.Impl{Name: "thread.Pool", Open: func(ctx context.Context) (measure.Trial, error) {
		p := &thread.Pool{Workers: 2}
		return measure.Trial{
			Run: measure.Time(func(n int) error {
				var wg sync.WaitGroup
				each := n/from + 1
				wg.Add(each * from)
				threads := make([]*thread.Thread, from)
				for i := range threads {
					threads[i] = thread.Start(ctx, "", func(ctx context.Context) error {
						for range each {
							countDown.Submit(ctx, p, &wg)
						}
						return nil
					})
				}
				var errs []error
				for _, t := range threads {
					errs = append(errs, t.Join(ctx))
				}
				wg.Wait()
				return errors.Join(append(errs, submitted(p, n))...)
			}),
			Close: func() error { return p.Close(ctx) },
		}, p.Start(ctx)
	}}
}

// scaling shows what a second worker brings, by the length of the jobs.
func scaling() []measure.Row {
	var rows []measure.Row
	for _, ns := range []int{1000, 10000, 100000} {
		row := measure.Row{
			Name: fmt.Sprintf("scale-%dµs", ns/1000), What: fmt.Sprintf("jobs of about %d µs, 2 workers; per job", ns/1000),
			Ours: oursWork("thread.Pool", 2, ns), Floor: poolWork("channel+goroutines", ns, openChannel(2)),
		}
		one := oursWork("thread.Pool-1worker", 1, ns)
		rows = append(rows, against(row, one, poolWork("ants", ns, antsPool(2)), poolWork("pond", ns, pondPool(2)))...)
	}
	return rows
}

func poolFrom(name string, from int, open func() (pool, error)) measure.Impl {
	return measure.Impl{Name: name, Open: func(context.Context) (measure.Trial, error) {
		p, err := open()
		return measure.Trial{
			Run: measure.Time(func(n int) error {
				var jobs, submitters sync.WaitGroup
				each := n/from + 1
				jobs.Add(each * from)
				done := jobs.Done
				errs := make([]error, from)
				for i := range errs {
					submitters.Go(func() {
						for range each {
							errs[i] = errors.Join(errs[i], p.submit(done))
						}
					})
				}
				submitters.Wait()
				jobs.Wait()
				return errors.Join(errs...)
			}),
			Close: p.close,
		}, err
	}}
}

// A piece is a job that works, for a while, and adds up what came of it.
type piece struct {
	rounds int
	wg     sync.WaitGroup
	mixed  atomic.Uint64
}

func newPiece(n, rounds int) *piece {
	p := &piece{rounds: rounds}
	p.wg.Add(n)
	return p
}

func (p *piece) work() {
	p.mixed.Add(spin(p.rounds, 1))
	p.wg.Done()
}

// check waits for n jobs and compares their sum.
func (p *piece) check(n int) error {
	p.wg.Wait()
	if want := uint64(n) * spin(p.rounds, 1); p.mixed.Load() != want {
		return wrong(p.mixed.Load(), want)
	}
	return nil
}

var doPiece = tristrand.Func(func(_ context.Context, p *piece) (struct{}, error) {
	p.work()
	return struct{}{}, nil
})

func oursWork(name string, workers, rounds int) measure.Impl {
	return measure.Impl{Name: name, Open: func(ctx context.Context) (measure.Trial, error) {
		p := &thread.Pool{Workers: workers}
		return measure.Trial{
			Run: measure.Time(func(n int) error {
				work := newPiece(n, rounds)
				for range n {
					doPiece.Submit(ctx, p, work)
				}
				return work.check(n)
			}),
			Close: func() error { return p.Close(ctx) },
		}, p.Start(ctx)
	}}
}

func poolWork(name string, rounds int, open func() (pool, error)) measure.Impl {
	return measure.Impl{Name: name, Open: func(context.Context) (measure.Trial, error) {
		p, err := open()
		return measure.Trial{
			Run: measure.Time(func(n int) error {
				work := newPiece(n, rounds)
				job := work.work
				for range n {
					if err := p.submit(job); err != nil {
						return err
					}
				}
				return work.check(n)
			}),
			Close: p.close,
		}, err
	}}
}
