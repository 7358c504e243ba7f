package rows

import (
	"context"

	"github.com/alitto/pond/v2"
	"github.com/panjf2000/ants/v2"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/bench/internal/measure"
	"github.com/tristrand/tristrand/thread"
)

// addOne is the job of the rows that want a result.
var addOne = tristrand.Func(func(_ context.Context, x int) (int, error) { return x + 1, nil })

// sumTo is what the results of n such jobs, given 0 to n-1, add up to.
func sumTo(n int) int { return n * (n + 1) / 2 }

func checkSum(got, n int) error {
	if want := sumTo(n); got != want {
		return wrong(got, want)
	}
	return nil
}

// results compares submitting one job and waiting for its result, one after
// another, on an idle pool of two workers.
func results() []measure.Row {
	row := measure.Row{
		Name: "result", What: "submit one job, wait for its result, 2 workers",
		Ours: oursResult(1), Floor: bareResult("bare-goroutine", 0),
		Bound: measure.AtMost(1.3), Allocs: 4,
	}
	rows := against(row, bareResult("bare-goroutine", 0), bareResult("bare-goroutine-buffered", 1))
	row.Bound, row.Allocs = measure.Bound{}, 0
	rows = append(rows, against(row, pondResult(1), antsResult())...)
	row.Bound = measure.AtLeast(20)
	return append(rows, against(row, python("python-executor", "result"))...)
}

// batches compares futures in number: a hundred are submitted before the first
// is waited for.
func batches() []measure.Row {
	const batch = 100
	row := measure.Row{
		Name: "futures", What: "100 futures submitted, then all waited for; per job, 2 workers",
		Ours: oursResult(batch), Floor: bareBatch(batch),
	}
	return against(row, pondResult(batch), bareBatch(batch), python("python-executor", "futures"))
}

func oursResult(batch int) measure.Impl {
	return measure.Impl{Name: "thread.Pool", Open: func(ctx context.Context) (measure.Trial, error) {
		p := &thread.Pool{Workers: 2}
		run := func(n int) error {
			sum := 0
			for i := range n {
				v, err := addOne.Submit(ctx, p, i).Result(ctx)
				if err != nil {
					return err
				}
				sum += v
			}
			return checkSum(sum, n)
		}
		if batch > 1 {
			fs := make([]*tristrand.Future[int], 0, batch)
			run = func(n int) error {
				sum := 0
				for i := 0; i < n; i += batch {
					fs = fs[:0]
					for j := i; j < min(i+batch, n); j++ {
						fs = append(fs, addOne.Submit(ctx, p, j))
					}
					for _, f := range fs {
						v, err := f.Result(ctx)
						if err != nil {
							return err
						}
						sum += v
					}
				}
				return checkSum(sum, n)
			}
		}
		return measure.Trial{Run: measure.Time(run), Close: func() error { return p.Close(ctx) }}, p.Start(ctx)
	}}
}

// bareResult starts a goroutine that sends its result over a channel of its
// own.
func bareResult(name string, buffer int) measure.Impl {
	return plain(name, func(n int) error {
		sum := 0
		for i := range n {
			out := make(chan int, buffer)
			go func() { out <- i + 1 }()
			sum += <-out
		}
		return checkSum(sum, n)
	})
}

func bareBatch(batch int) measure.Impl {
	return plain("bare-goroutines", func(n int) error {
		sum := 0
		outs := make([]chan int, 0, batch)
		for i := 0; i < n; i += batch {
			outs = outs[:0]
			for j := i; j < min(i+batch, n); j++ {
				out := make(chan int, 1)
				go func() { out <- j + 1 }()
				outs = append(outs, out)
			}
			for _, out := range outs {
				sum += <-out
			}
		}
		return checkSum(sum, n)
	})
}

func pondResult(batch int) measure.Impl {
	return measure.Impl{Name: "pond", Open: func(context.Context) (measure.Trial, error) {
		p := pond.NewResultPool[int](2)
		tasks := make([]pond.ResultTask[int], 0, batch)
		run := func(n int) error {
			sum := 0
			for i := 0; i < n; i += batch {
				tasks = tasks[:0]
				for j := i; j < min(i+batch, n); j++ {
					tasks = append(tasks, p.Submit(func() int { return j + 1 }))
				}
				for _, t := range tasks {
					v, err := t.Wait()
					if err != nil {
						return err
					}
					sum += v
				}
			}
			return checkSum(sum, n)
		}
		return measure.Trial{Run: measure.Time(run), Close: func() error { p.StopAndWait(); return nil }}, nil
	}}
}

// antsResult sends the result over a channel: ants has none of its own.
func antsResult() measure.Impl {
	return measure.Impl{Name: "ants+channel", Open: func(context.Context) (measure.Trial, error) {
		p, err := ants.NewPool(2)
		if err != nil {
			return measure.Trial{}, err
		}
		run := func(n int) error {
			sum := 0
			for i := range n {
				out := make(chan int, 1)
				if err := p.Submit(func() { out <- i + 1 }); err != nil {
					return err
				}
				sum += <-out
			}
			return checkSum(sum, n)
		}
		return measure.Trial{Run: measure.Time(run), Close: func() error { p.Release(); return nil }}, nil
	}}
}
