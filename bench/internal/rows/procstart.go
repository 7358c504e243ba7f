package rows

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"github.com/tristrand/tristrand/bench/internal/measure"
	"github.com/tristrand/tristrand/process"
)

// small builds the program whose processes are started: this one links every peer, and
// what those initialise would be most of what is measured.
func small(o Options) finder {
	return goBuild("small", o, func(string) (string, string, error) {
		return o.Source + "/bench", "./internal/small", nil
	})
}

// starting compares the start of processes.
func starting(o Options) []measure.Row {
	first := measure.Row{Name: "proc-start", What: "a process of the same binary, from its start until its task runs", Ours: started(o, "process.Start", "start")}
	rows := bounded(first, peerBounds{{started(o, "bare-exec", "start-bare"), measure.AtMost(1.1)}})
	rate := measure.Row{Name: "proc-start-rate", What: "processes started and ended, 2 at once; per process", Ours: started(o, "process.Start", "rate")}
	rows = append(rows, bounded(rate, peerBounds{
		{started(o, "bare-exec", "rate-bare"), measure.AtLeast(0.85)},
		{pythonProcess("python-fork", "start-fork"), measure.Bound{}}, {pythonProcess("python-spawn", "start-spawn"), measure.Bound{}},
	})...)
	warm := measure.Row{
		Name: "proc-start-warm", What: "the first job of a worker that is ready; the round trip of a later one, at once or after 1 ms",
		Ours: firstJob(o, "first-job", 1, 0),
	}
	rows = append(rows, bounded(warm, peerBounds{
		{firstJob(o, "later-job", 100, 0), measure.AtMost(2)}, {firstJob(o, "rested-job", 100, time.Millisecond), measure.Bound{}},
	})...)
	idle := measure.Row{
		Name: "proc-idle", What: "private memory of an idle worker of a small program; floor: of an empty one", Unit: measure.Bytes,
		Absolute: measure.AtMost(2.5), Scale: 1 << 20, ScaleName: "MiB",
		Ours: idleWorker(o, "worker", "pool"), Floor: idleWorker(o, "program", "none"),
	}
	return append(rows, idle)
}

// started makes an impl of starts by the small program.
func started(o Options, name, what string) measure.Impl {
	build := small(o)
	return measure.Impl{Name: name, Open: func(ctx context.Context) (measure.Trial, error) {
		if err := needsSelf(o); err != nil {
			return measure.Trial{}, err
		}
		path, err := build(ctx)
		if err != nil {
			return measure.Trial{}, err
		}
		p, err := startProgram(ctx, path, what)
		if err != nil {
			return measure.Trial{}, err
		}
		return measure.Trial{Run: p.ask, Close: p.end}, nil
	}}
}

// firstJob times one job of a ready worker, the first or a later one, before which it may
// rest, of n pools.
func firstJob(o Options, name string, which int, rest time.Duration) measure.Impl {
	one := func(ctx context.Context) (took time.Duration, err error) {
		p := &process.Pool{Workers: 1}
		defer func() { err = errors.Join(err, p.Close(ctx)) }()
		if err := p.Start(ctx); err != nil {
			return 0, err
		}
		for i := range which {
			if i == which-1 && rest > 0 {
				time.Sleep(rest)
			}
			begin := time.Now()
			v, err := remoteAdd.Submit(ctx, p, 1).Result(ctx)
			took = time.Since(begin)
			if err := expect(v, 2, err); err != nil {
				return took, err
			}
		}
		return took, nil
	}
	return measure.Impl{Name: name, N: 10, Open: func(ctx context.Context) (measure.Trial, error) {
		return measure.Trial{Run: each(ctx, one)}, needsSelf(o)
	}}
}

// idleWorker builds a small program that says how much memory is its own, or its
// worker's.
func idleWorker(o Options, name, whose string) measure.Impl {
	build := goBuild("idle", o, func(string) (string, string, error) {
		return o.Source + "/bench", "./internal/idle", nil
	})
	return measure.Impl{Name: name, N: 1, Open: func(ctx context.Context) (measure.Trial, error) {
		if err := needsSelf(o); err != nil {
			return measure.Trial{}, err
		}
		path, err := build(ctx)
		return measure.Trial{Run: func(int) (float64, error) {
			out, err := exec.CommandContext(ctx, path, whose).Output()
			if err != nil {
				return 0, err
			}
			var n float64
			_, err = fmt.Sscan(string(out), &n)
			return n, err
		}}, err
	}}
}

// each does one n times, which says how long it took of what counts.
func each(ctx context.Context, one func(context.Context) (time.Duration, error)) func(n int) (float64, error) {
	return func(n int) (float64, error) {
		var all time.Duration
		for range n {
			took, err := one(ctx)
			if err != nil {
				return 0, err
			}
			all += took
		}
		return float64(all), nil
	}
}
