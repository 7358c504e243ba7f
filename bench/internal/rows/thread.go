package rows

import (
	"context"
	"errors"

	conc "github.com/sourcegraph/conc/pool"
	"golang.org/x/sync/errgroup"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/bench/internal/measure"
	"github.com/tristrand/tristrand/thread"
)

// threads compares starting a thread and joining it with a bare goroutine that
// closes a channel.
func threads() []measure.Row {
	bare := plain("bare-goroutine", func(n int) error {
		count := 0
		for range n {
			done := make(chan struct{})
			go func() { count++; close(done) }()
			<-done
		}
		return checkCount(count, n)
	})
	row := measure.Row{
		Name: "thread", What: "start a thread and join it",
		Ours: under("thread.Start", func(ctx context.Context, n int) error {
			count := 0
			for range n {
				t := thread.Start(ctx, "bench", func(context.Context) error { count++; return nil })
				if err := t.Join(ctx); err != nil {
					return err
				}
			}
			return checkCount(count, n)
		}),
	}
	return against(row, bare, python("python-thread", "thread"))
}

// groups compares groups of ten functions with errgroup's, each group on
// goroutines of its own.
func groups() []measure.Row {
	const size = 10
	row := measure.Row{
		Name: "group", What: "10 functions in a group, waited for; per function",
		Ours: under("tristrand.Group", func(ctx context.Context, n int) error {
			counts := make([]int, size)
			for range n/size + 1 {
				var g tristrand.Group
				for i := range counts {
					g.Go(ctx, func(context.Context) error { counts[i]++; return nil })
				}
				if err := g.Wait(ctx); err != nil {
					return err
				}
			}
			return checkCounts(counts, n/size+1)
		}),
	}
	return against(row, under("errgroup", func(ctx context.Context, n int) error {
		counts := make([]int, size)
		for range n/size + 1 {
			g, _ := errgroup.WithContext(ctx)
			for i := range counts {
				g.Go(func() error { counts[i]++; return nil })
			}
			if err := g.Wait(); err != nil {
				return err
			}
		}
		return checkCounts(counts, n/size+1)
	}), under("conc", func(ctx context.Context, n int) error {
		counts := make([]int, size)
		for range n/size + 1 {
			p := conc.New().WithContext(ctx)
			for i := range counts {
				p.Go(func(context.Context) error { counts[i]++; return nil })
			}
			if err := p.Wait(); err != nil {
				return err
			}
		}
		return checkCounts(counts, n/size+1)
	}))
}

func checkCounts(counts []int, want int) error {
	var errs []error
	for _, c := range counts {
		errs = append(errs, checkCount(c, want))
	}
	return errors.Join(errs...)
}
