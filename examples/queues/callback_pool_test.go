package queues_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/examples/stage"
	"github.com/tristrand/tristrand/strand"
	"github.com/tristrand/tristrand/thread"
)

// submit runs fn on the pool and calls back with how it went: the hand-made
// pool's run(func, args, callback). The thread that ran fn calls back or, if that
// was quicker than this, the one that called submit.
func submit(ctx context.Context, pool tristrand.Executor, fn func(context.Context) (int, error), callback func(ok bool, result any)) {
	tristrand.Go(ctx, pool, fn).OnDone(func(f *tristrand.Future[int]) {
		v, err := f.TryResult() // it is finished, so this has the outcome
		if err != nil {
			callback(false, err)
			return
		}
		callback(true, v)
	})
}

// Q03: fifty jobs on at most ten threads. Close ends the pool after the work.
func TestFiftyJobsOnTenThreads(t *testing.T) {
	stage.Play(t, func(ctx context.Context, out *stage.Screen) error {
		pool := &thread.Pool{Workers: 10}
		for i := range 50 {
			submit(ctx, pool, func(ctx context.Context) (int, error) {
				return i, strand.Sleep(ctx, time.Second)
			}, func(ok bool, result any) {
				if i >= 47 {
					out.Print(ok, result)
				}
			})
		}
		strand.Sleep(ctx, 500*time.Millisecond)
		stats := pool.Stats()
		out.Print("threads:", stats.Workers, "waiting jobs:", stats.Queued)

		if err := pool.Close(ctx); err != nil { // pool.close(): no more jobs, but all that were given
			return err
		}
		out.Print("threads:", pool.Stats().Workers)

		submit(ctx, pool, func(context.Context) (int, error) { return 0, nil }, func(ok bool, result any) {
			err, _ := result.(error)
			out.Print("after close:", ok, errors.Is(err, tristrand.ErrClosed))
		})
		return nil
	}, `
		500ms threads: 10 waiting jobs: 40
		5s after close: false true
		5s threads: 0
		5s true 47
		5s true 48
		5s true 49
		5s ~ the program ends
	`)
}

// Q03: a thread is made only when no idle one is there.
func TestThreadsAreMadeWhenNeeded(t *testing.T) {
	stage.Play(t, func(ctx context.Context, out *stage.Screen) error {
		pool := &thread.Pool{Workers: 10}
		defer pool.Close(ctx)
		oneSecond := func(ctx context.Context) (int, error) { return 0, strand.Sleep(ctx, time.Second) }

		for range 5 { // one after the other
			tristrand.Go(ctx, pool, oneSecond).Result(ctx)
		}
		out.Print("one job at a time, threads:", pool.Stats().Workers)
		for range 3 { // together
			tristrand.Go(ctx, pool, oneSecond)
		}
		strand.Sleep(ctx, 500*time.Millisecond)
		out.Print("three jobs at once, threads:", pool.Stats().Workers)
		return nil
	}, `
		5s one job at a time, threads: 1
		5.5s three jobs at once, threads: 3
		6s ~ the program ends
	`)
}

// Q03: a job's error, or its panic, reaches its callback as the result; the pool
// goes on.
func Example_errorsReachTheCallback() {
	err := thread.Main(func(ctx context.Context) error {
		pool := &thread.Pool{Workers: 1}
		show := func(ok bool, result any) { fmt.Println(ok, result) }

		submit(ctx, pool, func(context.Context) (int, error) { return 0, errors.New("no such page") }, show)
		submit(ctx, pool, func(context.Context) (int, error) {
			pages := make([]int, 3)
			return pages[len(pages)], nil
		}, func(ok bool, result any) {
			err, _ := result.(error)
			if panicked, is := errors.AsType[*tristrand.PanicError](err); is { // has the stack as well
				fmt.Println(ok, panicked.Value)
			}
		})
		submit(ctx, pool, func(context.Context) (int, error) { return 42, nil }, show)
		return pool.Close(ctx)
	})
	if err != nil {
		fmt.Println(err)
	}
	// Unordered output:
	// false no such page
	// false runtime error: index out of range [3] with length 3
	// true 42
}

// Q03: Terminate ends the pool at once. It empties the queue: jobs that had not
// started are cancelled, and their callbacks told, so nobody waits for them in
// vain. Those that run are asked to stop: their ctx ends. (A hand-made pool could
// also leave the queue as it is; here to run what is queued is to Close.)
func TestTerminate(t *testing.T) {
	stage.Play(t, func(ctx context.Context, out *stage.Screen) error {
		pool := &thread.Pool{Workers: 2}
		for i := range 4 {
			submit(ctx, pool, func(ctx context.Context) (int, error) {
				err := strand.Sleep(ctx, time.Minute)
				out.Print("job", i, "stops early:", err != nil)
				return i, err
			}, func(ok bool, result any) {
				err, _ := result.(error)
				out.Print("callback of job", i, ok, errors.Is(err, tristrand.ErrCancelled))
			})
		}
		strand.Sleep(ctx, time.Second)
		if err := pool.Terminate(); err != nil {
			return err
		}
		out.Print("terminated")
		return pool.Close(ctx) // waits for what was asked to stop
	}, `
		1s callback of job 0 false true
		1s callback of job 1 false true
		1s callback of job 2 false true
		1s callback of job 3 false true
		1s job 0 stops early: true
		1s job 1 stops early: true
		1s terminated
		1s ~ the program ends
	`)
}
