package queues_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/examples/stage"
	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/strand"
	"github.com/tristrand/tristrand/thread"
)

// sleepy sleeps for a number of seconds and gives them back.
var sleepy = tristrand.Func(func(ctx context.Context, seconds int) (int, error) {
	return seconds, strand.Sleep(ctx, time.Duration(seconds)*time.Second)
})

// Q07: a result with a time-out bounds the wait, not the job.
func TestResultWithTimeout(t *testing.T) {
	stage.Play(t, func(ctx context.Context, out *stage.Screen) error {
		pool := &thread.Pool{Workers: 1}
		defer pool.Close(ctx)
		f := sleepy.Submit(ctx, pool, 3)

		_, err := f.TryResult() // does not wait
		out.Print("not done:", errors.Is(err, tristrand.ErrNotDone))

		short, cancel := strand.WithTimeout(ctx, time.Second)
		defer cancel()
		_, err = f.Result(short) // f.result(timeout=1)
		out.Print("time is up:", errors.Is(err, context.DeadlineExceeded), "- the job is", f.State())

		v, err := f.Result(ctx)
		out.Print(v, err, "- the job has", f.State())
		return nil
	}, `
		0s not done: true
		1s time is up: true - the job is running
		3s 3 <nil> - the job has succeeded
		3s ~ the program ends
	`)
}

// Q07: a job that waits for a worker can be cancelled and never runs. One that
// runs is asked to stop: its ctx ends. Python leaves it alone.
func TestCancel(t *testing.T) {
	stage.Play(t, func(ctx context.Context, out *stage.Screen) error {
		pool := &thread.Pool{Workers: 1}
		defer pool.Close(ctx)
		first := sleepy.Submit(ctx, pool, 60)
		second := sleepy.Submit(ctx, pool, 60)
		strand.Sleep(ctx, time.Second)

		out.Print("second is", second.State(), "and will never run:", second.Cancel())
		_, err := second.Result(ctx)
		out.Print("second is", second.State(), errors.Is(err, tristrand.ErrCancelled))

		strand.Sleep(ctx, time.Second)
		out.Print("first is", first.State(), "and will never run:", first.Cancel())
		_, err = first.Result(ctx)
		out.Print("first has", first.State(), errors.Is(err, tristrand.ErrCancelled))

		strand.Sleep(ctx, time.Second)
		out.Print("cancelled again:", first.Cancel(), second.Cancel())
		return nil
	}, `
		1s second is cancelled true
		1s second is pending and will never run: true
		2s first has failed true
		2s first is running and will never run: false
		3s cancelled again: false true
		3s ~ the program ends
	`)
}

// Q07: wait for the first, and for all.
func TestWaitForTheFirst(t *testing.T) {
	stage.Play(t, func(ctx context.Context, out *stage.Screen) error {
		pool := &thread.Pool{Workers: 3}
		defer pool.Close(ctx)
		three, one, two := sleepy.Submit(ctx, pool, 3), sleepy.Submit(ctx, pool, 1), sleepy.Submit(ctx, pool, 2)

		// wait(fs, return_when=FIRST_COMPLETED)
		done, pending, err := tristrand.Wait(ctx, tristrand.FirstCompleted, three, one, two)
		out.Print(len(done), "done,", len(pending), "pending,", err)

		// wait(fs)
		done, pending, err = tristrand.Wait(ctx, tristrand.AllCompleted, three, one, two)
		out.Print(len(done), "done,", len(pending), "pending,", err)
		return nil
	}, `
		1s 1 done, 2 pending, <nil>
		3s 3 done, 0 pending, <nil>
		3s ~ the program ends
	`)
}

// Q07: results as they are completed; when the time is up, the last thing to
// come is an error that says how many are missing.
func TestAsCompleted(t *testing.T) {
	stage.Play(t, func(ctx context.Context, out *stage.Screen) error {
		pool := &thread.Pool{Workers: 4}
		defer pool.Close(ctx)
		var futures []*tristrand.Future[int]
		for _, seconds := range []int{3, 1, 9, 2} {
			futures = append(futures, sleepy.Submit(ctx, pool, seconds))
		}
		short, cancel := strand.WithTimeout(ctx, 5*time.Second) // as_completed(fs, timeout=5)
		defer cancel()
		for f, err := range tristrand.AsCompleted(short, futures...) {
			if err != nil {
				out.Print(err)
				break
			}
			v, _ := f.TryResult()
			out.Print("slept", v)
		}
		return nil
	}, `
		1s slept 1
		2s slept 2
		3s slept 3
		5s tristrand: 1 of 4 unfinished: context deadline exceeded
		9s ~ the program ends
	`)
}

// Q07: fewer workers than none is an error; none at all means the default, one
// for each processor.
func Example_numberOfWorkers() {
	err := thread.Main(func(ctx context.Context) error {
		wrong := &thread.Pool{Workers: -1} // ValueError in Python
		fmt.Println("started:", wrong.Start(ctx) == nil)
		_, err := sleepy.Call(ctx, wrong, 0) // Start is optional: jobs are told as well
		fmt.Println("ran:", err == nil)

		pool := &thread.Pool{}
		var goHome local.Event
		for range 1000 {
			tristrand.Go(ctx, pool, func(ctx context.Context) (int, error) { return 0, goHome.Wait(ctx) })
		}
		fmt.Println("as many as processors:", pool.Stats().Workers == runtime.GOMAXPROCS(0))
		goHome.Set(ctx)
		return pool.Close(ctx)
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// started: false
	// ran: false
	// as many as processors: true
}
