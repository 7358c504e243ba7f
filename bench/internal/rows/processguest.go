package rows

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/bench/internal/measure"
	"github.com/tristrand/tristrand/process"
)

// guestAdd is addOne as a Python function, of the same module as the peers'.
var guestAdd = process.PythonTask[int, int](guestModule + ":add_one")

const guestModule = "bench_guest"

// guests compares Python functions that a Go program calls with Python's own pool,
// which has the same interpreter and as many workers.
func guests() []measure.Row {
	call := measure.Row{
		Name: "python-call", What: "a Python function in a worker process, submit to result, back to back",
		Ours: onGuests(func(ctx context.Context, y *process.Python, n int) error {
			for i := range n {
				v, err := guestAdd.Submit(ctx, y, i).Result(ctx)
				if err := expect(v, i+1, err); err != nil {
					return err
				}
			}
			return nil
		}),
	}
	rows := bounded(call, peerBounds{{pythonProcess("python-executor", "call"), measure.AtLeast(3)}})
	bulk := measure.Row{
		Name: "python-bulk", What: fmt.Sprintf("Python functions, %d futures at once, 2 workers; per job", procBatch),
		Ours: onGuests(guestBulk),
	}
	return append(rows, bounded(bulk, peerBounds{{pythonProcess("python-executor", "bulk"), measure.AtLeast(2.5)}})...)
}

func guestBulk(ctx context.Context, y *process.Python, n int) error {
	futures := make([]*tristrand.Future[int], 0, procBatch)
	for at := 0; at < n; at += procBatch {
		futures = futures[:0]
		for i := at; i < min(at+procBatch, n); i++ {
			futures = append(futures, guestAdd.Submit(ctx, y, i))
		}
		for k, f := range futures {
			v, err := f.Result(ctx)
			if err := expect(v, at+k+1, err); err != nil {
				return err
			}
		}
	}
	return nil
}

// onGuests makes an impl of jobs on Python's workers, which are ready.
func onGuests(run func(ctx context.Context, y *process.Python, n int) error) measure.Impl {
	return measure.Impl{Name: "process.Python", Open: func(ctx context.Context) (measure.Trial, error) {
		path, err := interpreter(ctx, "multiprocessing")
		if err != nil {
			return measure.Trial{}, err
		}
		dir, err := os.MkdirTemp("", "bench-*")
		if err != nil {
			return measure.Trial{}, err
		}
		remove := func() error { return os.RemoveAll(dir) }
		if err := os.WriteFile(filepath.Join(dir, guestModule+".py"), []byte(processScript), 0o600); err != nil {
			return measure.Trial{}, errors.Join(err, remove())
		}
		y := &process.Python{Interpreter: path, Path: []string{dir}, Workers: procWorkers}
		err = y.Start(ctx)
		if err == nil {
			err = guestBulk(ctx, y, procBatch) // each worker has imported the module then
		}
		return measure.Trial{
			Run:   measure.Time(func(n int) error { return run(ctx, y, n) }),
			Close: func() error { return errors.Join(y.Close(ctx), remove()) },
		}, err
	}}
}
