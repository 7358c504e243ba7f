package rows

import (
	"context"

	"github.com/alitto/pond/v2"
	"github.com/sourcegraph/conc/stream"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/bench/internal/measure"
	"github.com/tristrand/tristrand/thread"
)

// mapping compares one job for each of many inputs, the results wanted in their
// order.
func mapping() []measure.Row {
	row := measure.Row{
		Name: "map", What: "one empty job for each input, results in order, 2 workers; per job",
		Ours: oursMap("Map"), Floor: bareBatch(100),
	}
	rows := against(row, concStream(), pondGroup())
	row.Name, row.What, row.Floor = "map-chunk64", "as map, with Chunk(64)", measure.Impl{}
	row.Ours = oursMap("Map", tristrand.Chunk(64))
	rows = append(rows, against(row, concStream())...)
	row.Name, row.What = "map-unordered", "as map, in the order of completion"
	row.Ours = oursMapUnordered()
	return append(rows, against(row, oursMap("Map"))...)
}

func count(n int) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

func oursMap(name string, opts ...tristrand.CallOption) measure.Impl {
	return measure.Impl{Name: name, Open: func(ctx context.Context) (measure.Trial, error) {
		p := &thread.Pool{Workers: 2}
		return measure.Trial{
			Run: measure.Time(func(n int) error {
				next := 0
				for v, err := range addOne.Map(ctx, p, count(n), opts...) {
					if next++; err != nil || v != next {
						return wrong(v, next)
					}
				}
				return checkCount(next, n)
			}),
			Close: func() error { return p.Close(ctx) },
		}, p.Start(ctx)
	}}
}

func oursMapUnordered() measure.Impl {
	return measure.Impl{Name: "MapUnordered", Open: func(ctx context.Context) (measure.Trial, error) {
		p := &thread.Pool{Workers: 2}
		return measure.Trial{
			Run: measure.Time(func(n int) error {
				sum := 0
				for v, err := range addOne.MapUnordered(ctx, p, count(n)) {
					if err != nil {
						return err
					}
					sum += v
				}
				return checkSum(sum, n)
			}),
			Close: func() error { return p.Close(ctx) },
		}, p.Start(ctx)
	}}
}

// concStream runs jobs at once and their callbacks in order.
func concStream() measure.Impl {
	return plain("conc-stream", func(n int) error {
		s := stream.New().WithMaxGoroutines(2)
		sum := 0
		for i := range n {
			s.Go(func() stream.Callback {
				v := i + 1
				return func() { sum += v }
			})
		}
		s.Wait()
		return checkSum(sum, n)
	})
}

// pondGroup gives the results at the end, all at once.
func pondGroup() measure.Impl {
	return plain("pond-group", func(n int) error {
		p := pond.NewResultPool[int](2)
		g := p.NewGroup()
		for i := range n {
			g.Submit(func() int { return i + 1 })
		}
		vs, err := g.Wait()
		p.StopAndWait()
		if err != nil {
			return err
		}
		sum := 0
		for _, v := range vs {
			sum += v
		}
		return checkSum(sum, n)
	})
}
