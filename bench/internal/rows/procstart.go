package rows

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/bench/internal/measure"
	"github.com/tristrand/tristrand/process"
)

// bareKey is the variable that makes this program one that does nothing but write a
// byte.
const bareKey = "BENCH_BARE"

// Bare ends the program if it was started to be compared with a process. It is called
// when process.Init has returned.
func Bare() {
	if os.Getenv(bareKey) != "" {
		_, _ = os.Stdout.WriteString("x") // the reader sees that it is missing
		os.Exit(0)
	}
}

var sayByte = tristrand.Define("bench.byte", func(context.Context, struct{}) (struct{}, error) {
	_, err := os.Stdout.WriteString("x")
	return struct{}{}, err
})

// starting compares the start of processes.
func starting(o Options) []measure.Row {
	first := measure.Row{Name: "proc-start", What: "a process of the same binary, from its start until its task runs", Ours: firstByte(o, "process.Start", ours)}
	rows := bounded(first, peerBounds{{firstByte(o, "bare-exec", bare), measure.AtMost(1.1)}})
	rate := measure.Row{Name: "proc-start-rate", What: "processes started and ended, 2 at once; per process", Ours: manyStarts(o, "process.Start", ours)}
	rows = append(rows, bounded(rate, peerBounds{
		{manyStarts(o, "bare-exec", bare), measure.AtLeast(0.85)},
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

// A starter starts a process that writes a byte to w and ends; wait waits for its end.
type starter func(ctx context.Context, o Options, w *os.File) (wait func() error, err error)

func ours(ctx context.Context, _ Options, w *os.File) (func() error, error) {
	p, err := process.Start(ctx, sayByte.Bind(struct{}{}), process.Output(w, nil))
	if err != nil {
		return nil, err
	}
	return func() error { return p.Join(ctx) }, nil
}

func bare(_ context.Context, o Options, w *os.File) (func() error, error) {
	cmd := exec.Command(o.Self)
	cmd.Env = append(os.Environ(), bareKey+"=1")
	cmd.Stdout = w
	return cmd.Wait, cmd.Start()
}

// oneStart returns the time until the byte came.
func oneStart(ctx context.Context, o Options, start starter) (time.Duration, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	begin := time.Now()
	wait, err := start(ctx, o, w)
	if err := errors.Join(err, w.Close()); err != nil {
		return 0, err
	}
	_, err = io.ReadFull(r, make([]byte, 1))
	took := time.Since(begin)
	return took, errors.Join(err, wait())
}

func firstByte(o Options, name string, start starter) measure.Impl {
	return measure.Impl{Name: name, Open: func(ctx context.Context) (measure.Trial, error) {
		return measure.Trial{Run: func(n int) (float64, error) {
			var all time.Duration
			for range n {
				took, err := oneStart(ctx, o, start)
				if err != nil {
					return 0, err
				}
				all += took
			}
			return float64(all), nil
		}}, needsSelf(o)
	}}
}

func manyStarts(o Options, name string, start starter) measure.Impl {
	return measure.Impl{Name: name, Open: func(ctx context.Context) (measure.Trial, error) {
		return measure.Trial{Run: measure.Time(func(n int) error {
			var wg sync.WaitGroup
			errs := make([]error, 2)
			for i := range errs {
				wg.Go(func() {
					for j := i; j < n && errs[i] == nil; j += len(errs) {
						_, errs[i] = oneStart(ctx, o, start)
					}
				})
			}
			wg.Wait()
			return errors.Join(errs...)
		})}, needsSelf(o)
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
