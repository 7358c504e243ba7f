package compare

import (
	"context"
	"iter"
	"slices"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/cmd/tristrand/internal/remote"
	"github.com/tristrand/tristrand/coro"
	"github.com/tristrand/tristrand/process"
	"github.com/tristrand/tristrand/thread"
)

// Engine is a way to run jobs.
type Engine struct {
	Name  string
	About string // in a few words, for a reader who does not know it
	// Open makes its executor. Nil: the jobs run one after another where they
	// are called, which is what the others are compared with.
	Open func(ctx context.Context, workers int) (tristrand.Executor, error)
}

// engines has one entry for each engine that exists; the first is the measure
// of the others.
var engines = []Engine{
	{Name: "serial", About: "one job after another, no engine"},
	{Name: "thread", About: "goroutines of a thread.Pool", Open: func(_ context.Context, workers int) (tristrand.Executor, error) {
		return &thread.Pool{Workers: workers, Name: "thread"}, nil
	}},
	{Name: "coro", About: "coroutines of one hub, a coro.Pool: one runs at a time", Open: func(_ context.Context, workers int) (tristrand.Executor, error) {
		return &coro.Pool{Workers: workers, Name: "coro"}, nil
	}},
	{Name: "process", About: "worker processes of a process.Pool", Open: func(_ context.Context, workers int) (tristrand.Executor, error) {
		return &process.Pool{Workers: workers, Name: "process"}, nil
	}},
	{Name: "cluster", About: "a worker of a cluster over NATS, both in this process; jobs are stored first", Open: func(ctx context.Context, workers int) (tristrand.Executor, error) {
		return remote.Open(ctx, workers)
	}},
}

// Engines returns all engines, serial first.
func Engines() []Engine { return slices.Clone(engines) }

// run runs the calls and hands each outcome to got, in the order of the calls.
// The error it returns is the engine's own.
func (e Engine) run(ctx context.Context, workers int, in iter.Seq[call], got func(observation, error)) error {
	if e.Open == nil {
		for c := range in {
			out, err := observe(ctx, c)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			got(out, err)
		}
		return nil
	}
	ex, err := e.Open(ctx, workers)
	if err != nil {
		return err
	}
	for out, err := range observed.Map(ctx, ex, in) {
		if ctx.Err() != nil {
			break
		}
		got(out, err)
	}
	return ex.Close(context.WithoutCancel(ctx))
}
