package rows

import (
	"context"
	"fmt"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/bench/internal/measure"
	"github.com/tristrand/tristrand/process"
)

// remoteAdd is addOne for other processes.
var remoteAdd = tristrand.Define("bench.add-one", func(_ context.Context, x int) (int, error) { return x + 1, nil })

const (
	procWorkers = 2
	procBatch   = 1000                   // futures that wait at once
	procPause   = 300 * time.Microsecond // between calls
)

// processes compares jobs in worker processes.
func processes(o Options) []measure.Row {
	call := measure.Row{Name: "proc-call", What: "one small job in a worker process, submit to result, back to back"}
	call.Ours = onWorkers(o, callEach)
	rows := bounded(call, peerBounds{
		{netpollEcho(o, false), measure.AtMost(0.6)}, {blockingEcho(o, false), measure.AtMost(1)},
		{pythonProcess("python-executor", "call"), measure.AtLeast(10)},
		{pythonProcess("python-pool-apply", "apply"), measure.Bound{}}, {pythonLoky("loky", "call-loky", 0), measure.Bound{}},
		{pipeEcho(o), measure.Bound{}}, {pluginCall(o, "netrpc"), measure.Bound{}}, {pluginCall(o, "grpc"), measure.Bound{}},
	})
	idle := measure.Row{Name: "proc-call-idle", What: "the same with 300 µs between two jobs, which do not count"}
	idle.Ours = onWorkers(o, callIdle)
	rows = append(rows, bounded(idle, peerBounds{
		{netpollEcho(o, true), measure.AtMost(1.1)}, {blockingEcho(o, true), measure.Bound{}},
		{pythonProcess("python-executor", "call-idle"), measure.AtLeast(3)},
	})...)
	bulk := measure.Row{Name: "proc-bulk", What: fmt.Sprintf("small jobs, %d futures at once, 2 workers; per job", procBatch)}
	bulk.Ours = onWorkers(o, callBulk)
	rows = append(rows, bounded(bulk, peerBounds{
		{ringLoop(o), measure.AtLeast(0.6)},
		{pythonProcess("python-executor", "bulk"), measure.AtLeast(50)}, {pythonLoky("loky", "bulk-loky", 0), measure.Bound{}},
		{pluginBulk(o, "netrpc"), measure.AtLeast(10)}, {pluginBulk(o, "grpc"), measure.AtLeast(10)},
	})...)
	return append(rows, processMaps(o)...)
}

func processMaps(o Options) []measure.Row {
	mapped := measure.Row{Name: "proc-map", What: fmt.Sprintf("Map over %d small inputs, 2 workers; per input", o.MapJobs)}
	mapped.Ours = onWorkers(o, callMap)
	mapped.Ours.N = o.MapJobs
	best := pythonProcess("python-pool-map", "map")
	best.N = o.MapJobs
	rows := bounded(mapped, peerBounds{{best, measure.AtLeast(1)}, {pythonLoky("joblib", "map-joblib", max(1, o.MapJobs/20)), measure.Bound{}}})
	return append(rows, measure.Row{
		Name: "proc-map-growth", What: fmt.Sprintf("%d jobs through Map: growth of the live heap of the program, per job", o.MapJobs),
		Unit: measure.Bytes, Absolute: measure.AtMost(1), ScaleName: "B",
		Ours: child(o, "Map", "proc-map", func(f Footprint) float64 { return float64(f.Last-f.First) / (0.9 * float64(o.MapJobs)) }),
	})
}

// peerBounds are peers, each with the bound that is asked for.
type peerBounds []struct {
	peer  measure.Impl
	bound measure.Bound
}

func bounded(row measure.Row, peers peerBounds) []measure.Row {
	var rows []measure.Row
	for _, p := range peers {
		row.Bound = p.bound
		rows = append(rows, against(row, p.peer)...)
	}
	return rows
}

// needsSelf says that a row needs this program as another process.
func needsSelf(o Options) error {
	if o.Self == "" {
		return measure.MissingError("this program is not one that starts itself")
	}
	return nil
}

// expect returns what was wrong with a result.
func expect[T comparable](got, want T, err error) error {
	if err == nil && got != want {
		err = wrong(got, want)
	}
	return err
}

// onWorkers makes an impl of jobs on a pool whose workers are ready.
func onWorkers(o Options, run func(ctx context.Context, p *process.Pool, n int) (float64, error)) measure.Impl {
	return measure.Impl{Name: "process.Pool", Open: func(ctx context.Context) (measure.Trial, error) {
		if err := needsSelf(o); err != nil {
			return measure.Trial{}, err
		}
		p := &process.Pool{Workers: procWorkers}
		return measure.Trial{
			Run:   func(n int) (float64, error) { return run(ctx, p, n) },
			Close: func() error { return p.Close(ctx) },
		}, p.Start(ctx)
	}}
}

func callEach(ctx context.Context, p *process.Pool, n int) (float64, error) {
	return measure.Time(func(n int) error {
		for i := range n {
			v, err := remoteAdd.Submit(ctx, p, i).Result(ctx)
			if err := expect(v, i+1, err); err != nil {
				return err
			}
		}
		return nil
	})(n)
}

// callIdle does nothing for a while before each job.
func callIdle(ctx context.Context, p *process.Pool, n int) (float64, error) {
	return apart(n, func(i int) error {
		v, err := remoteAdd.Submit(ctx, p, i).Result(ctx)
		return expect(v, i+1, err)
	})
}

// apart times calls with a pause before each.
func apart(n int, call func(i int) error) (float64, error) {
	var took time.Duration
	for i := range n {
		time.Sleep(procPause)
		begin := time.Now()
		if err := call(i); err != nil {
			return 0, err
		}
		took += time.Since(begin)
	}
	return float64(took), nil
}

func callBulk(ctx context.Context, p *process.Pool, n int) (float64, error) {
	return measure.Time(func(n int) error {
		batch := make([]*tristrand.Future[int], 0, procBatch)
		for i := 0; i < n; i += procBatch {
			batch = batch[:0]
			for j := i; j < min(i+procBatch, n); j++ {
				batch = append(batch, remoteAdd.Submit(ctx, p, j))
			}
			for j, f := range batch {
				v, err := f.Result(ctx)
				if err := expect(v, i+j+1, err); err != nil {
					return err
				}
			}
		}
		return nil
	})(n)
}

func callMap(ctx context.Context, p *process.Pool, n int) (float64, error) {
	return measure.Time(func(n int) error {
		next := 0
		for v, err := range remoteAdd.Map(ctx, p, count(n)) {
			next++
			if err := expect(v, next, err); err != nil {
				return err
			}
		}
		return checkCount(next, n)
	})(n)
}
