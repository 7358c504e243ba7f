package queues_test

import (
	"context"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/examples/stage"
	"github.com/tristrand/tristrand/process"
	"github.com/tristrand/tristrand/strand"
	"github.com/tristrand/tristrand/thread"
)

// A square is what a job gives back: n² and the process that it ran in.
type square struct {
	N, PID int
}

// squareOf sleeps for 1, 2 or 3 units and squares its input. Defined by name, it
// runs on every engine.
var squareOf = tristrand.Define("examples.queues.square", func(ctx context.Context, in nap) (square, error) {
	err := strand.Sleep(ctx, time.Duration(in.N%3+1)*in.Unit)
	return square{in.N * in.N, os.Getpid()}, err
})

type nap struct {
	N    int
	Unit time.Duration
}

// An engine is a row of the table that Q04 runs on.
type engine struct {
	name      string
	processes int // how many the jobs run in
	pool      func(workers int) tristrand.Executor
}

var engines = []engine{
	{"threads", 1, func(n int) tristrand.Executor { return &thread.Pool{Workers: n} }},
	{"processes", 3, readyProcesses},
}

// readyProcesses returns a pool whose workers are there, so that each gets one of the
// first jobs, however busy the machine is. What is wrong with it, the jobs tell.
func readyProcesses(n int) tristrand.Executor {
	pool := &process.Pool{Workers: n}
	_ = pool.Start(context.Background())
	return pool
}

func TestMain(m *testing.M) {
	process.Init()
	os.Exit(m.Run())
}

// squares is the program: eleven jobs for three workers, shutdown, results.
func squares(ctx context.Context, pool tristrand.Executor, unit time.Duration) (got []square, err error) {
	var futures []*tristrand.Future[square]
	for n := range 11 {
		futures = append(futures, squareOf.Submit(ctx, pool, nap{n, unit})) // pool.submit(square, n)
	}
	if err := pool.Close(ctx); err != nil { // pool.shutdown(wait=True)
		return nil, err
	}
	for _, f := range futures {
		sq, err := f.Result(ctx)
		if err != nil {
			return nil, err
		}
		got = append(got, sq)
	}
	return got, nil
}

// Q04: the program is the same on every engine; which one is one word.
func TestSquares(t *testing.T) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			got, err := squares(t.Context(), e.pool(3), 10*time.Millisecond)
			if err != nil {
				t.Fatal(err)
			}
			var ns, pids []int
			for _, sq := range got {
				ns = append(ns, sq.N)
				pids = append(pids, sq.PID)
			}
			if want := []int{0, 1, 4, 9, 16, 25, 36, 49, 64, 81, 100}; !slices.Equal(ns, want) {
				t.Errorf("results %v, want them in order of submission: %v", ns, want)
			}
			slices.Sort(pids)
			if pids = slices.Compact(pids); len(pids) != e.processes {
				t.Errorf("the jobs ran in the processes %v, want %d", pids, e.processes)
			}
		})
	}
}

// Q04: 21 seconds of sleep take three workers eight.
func TestSquaresOnThreeWorkers(t *testing.T) {
	stage.Play(t, func(ctx context.Context, out *stage.Screen) error {
		got, err := squares(ctx, &thread.Pool{Workers: 3}, time.Second)
		out.Print(len(got), "results")
		return err
	}, `
		8s 11 results
		8s ~ the program ends
	`)
}
