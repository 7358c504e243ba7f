package threads_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/examples/stage"
	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/strand"
	"github.com/tristrand/tristrand/thread"
)

// T10: a hundred threads each read n, pause, and write n-1. All of them read 100
// before the first one writes, so it ends at 99. They run under a global
// interpreter lock, as in Python: one at a time, and the updates are lost all
// the same. (Free threads would race for n; go test -race would say so.)
func TestLostUpdate(t *testing.T) {
	stage.Play(t, func(ctx context.Context, out *stage.Screen) error {
		n := 100
		gil := thread.NewGIL(0)
		var threads []*thread.Thread
		for range 100 {
			threads = append(threads, thread.Start(ctx, "", func(ctx context.Context) error {
				read := n
				strand.Sleep(ctx, 100*time.Millisecond)
				n = read - 1
				return nil
			}, thread.Under(gil)))
		}
		err := joinAll(ctx, threads)
		out.Print("n is", n)
		return err
	}, `
		100ms n is 99
		100ms ~ the program ends
	`)
}

// T10: the same with a lock around it: exactly 0, and one pause after another.
// The threads are free here: the lock is all that the variable needs.
func TestNoLostUpdateWithALock(t *testing.T) {
	stage.Play(t, func(ctx context.Context, out *stage.Screen) error {
		n := 100
		var mu local.Lock // threading.Lock() in Python
		var threads []*thread.Thread
		for range 100 {
			threads = append(threads, thread.Start(ctx, "", func(ctx context.Context) error {
				return tristrand.With(ctx, &mu, func(ctx context.Context) error { // with mu:
					read := n
					strand.Sleep(ctx, 100*time.Millisecond)
					n = read - 1
					return nil
				})
			}))
		}
		err := joinAll(ctx, threads)
		out.Print("n is", n)
		return err
	}, `
		10s n is 0
		10s ~ the program ends
	`)
}

// joinAll waits for all threads and returns their errors.
func joinAll(ctx context.Context, threads []*thread.Thread) error {
	errs := make([]error, len(threads))
	for i, th := range threads {
		errs[i] = th.Join(ctx)
	}
	return errors.Join(errs...)
}
