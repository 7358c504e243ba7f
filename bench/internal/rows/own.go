package rows

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/bench/internal/measure"
	"github.com/tristrand/tristrand/thread"
)

// An order is what a job of the rows with inputs gets: what to add, and where.
type order struct {
	sum *tally
	x   int
}

// A tally adds up what the jobs were given.
type tally struct {
	wg  sync.WaitGroup
	sum atomic.Int64
}

func (t *tally) add(x int) {
	t.sum.Add(int64(x))
	t.wg.Done()
}

// check waits for n jobs, given 0 to n-1.
func (t *tally) check(n int) error {
	t.wg.Wait()
	return checkTotal(int(t.sum.Load()), n)
}

var addUp = tristrand.Func(func(_ context.Context, o order) (struct{}, error) {
	o.sum.add(o.x)
	return struct{}{}, nil
})

// own compares jobs that each have an input of their own: an argument for ours,
// a closure for the peers.
func own(workers int) []measure.Row {
	row := measure.Row{
		Name: "fire-input", What: "as fire, each job with an input of its own",
		Ours: measure.Impl{Name: "thread.Pool", Open: func(ctx context.Context) (measure.Trial, error) {
			p := &thread.Pool{Workers: workers}
			return measure.Trial{
				Run: measure.Time(func(n int) error {
					var t tally
					t.wg.Add(n)
					for i := range n {
						addUp.Submit(ctx, p, order{&t, i})
					}
					return t.check(n)
				}),
				Close: func() error { return p.Close(ctx) },
			}, p.Start(ctx)
		}},
		Floor: closures("channel+goroutines", openChannel(workers)),
	}
	return against(row, closures("ants", antsPool(workers)), closures("pond", pondPool(workers)))
}

func closures(name string, open func() (pool, error)) measure.Impl {
	return measure.Impl{Name: name, Open: func(context.Context) (measure.Trial, error) {
		p, err := open()
		return measure.Trial{
			Run: measure.Time(func(n int) error {
				var t tally
				t.wg.Add(n)
				for i := range n {
					if err := p.submit(func() { t.add(i) }); err != nil {
						return err
					}
				}
				return t.check(n)
			}),
			Close: p.close,
		}, err
	}}
}
