package threads_test

import (
	"context"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/examples/stage"
	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/strand"
	"github.com/tristrand/tristrand/thread"
)

// T11: what is slow and touches nothing shared stays outside the lock, so a
// hundred threads do it at once.
func TestSlowPartOutsideTheLock(t *testing.T) {
	stage.Play(t, func(ctx context.Context, out *stage.Screen) error {
		n := 100
		var mu local.Lock
		var threads []*thread.Thread
		for range 100 {
			threads = append(threads, thread.Start(ctx, "", func(ctx context.Context) error {
				strand.Sleep(ctx, 500*time.Millisecond) // the slow part
				return tristrand.With(ctx, &mu, func(context.Context) error {
					read := n
					n = read - 1
					return nil
				})
			}))
		}
		err := joinAll(ctx, threads)
		out.Print("n is", n)
		return err
	}, `
		500ms n is 0
		500ms ~ the program ends
	`)
}

// T11: joining each thread before starting the next gives 0 as well, a hundred
// times as slowly: it locks everything, the slow part too.
func TestStartAndJoinOneByOne(t *testing.T) {
	stage.Play(t, func(ctx context.Context, out *stage.Screen) error {
		n := 100
		for range 100 {
			one := thread.Start(ctx, "", func(ctx context.Context) error {
				strand.Sleep(ctx, 500*time.Millisecond)
				read := n
				n = read - 1
				return nil
			})
			if err := one.Join(ctx); err != nil {
				return err
			}
		}
		out.Print("n is", n)
		return nil
	}, `
		50s n is 0
		50s ~ the program ends
	`)
}
