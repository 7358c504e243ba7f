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

// T20: four runners come to the start at different times and leave it together.
func TestBarrier(t *testing.T) {
	stage.Play(t, func(ctx context.Context, out *stage.Screen) error {
		start := local.NewBarrier(4) // threading.Barrier(4) in Python
		for i := range 4 {
			thread.Start(ctx, "", func(ctx context.Context) error {
				strand.Sleep(ctx, time.Duration(i)*time.Second)
				out.Print("runner", i, "is there")
				turn, err := start.Wait(ctx)
				out.Print("runner", turn, "to come runs") // 0 to 3, each once
				return err
			})
		}
		return nil
	}, `
		0s runner 0 is there
		1s runner 1 is there
		2s runner 2 is there
		3s runner 0 to come runs
		3s runner 1 to come runs
		3s runner 2 to come runs
		3s runner 3 is there
		3s runner 3 to come runs
		3s ~ the program ends
	`)
}

// T20: a runner who loses patience breaks the barrier. All who wait are told at
// once, and so is whoever comes later, until Reset makes it whole.
func TestBrokenBarrier(t *testing.T) {
	stage.Play(t, func(ctx context.Context, out *stage.Screen) error {
		start := local.NewBarrier(4)
		for range 2 {
			thread.Start(ctx, "", func(ctx context.Context) error {
				_, err := start.Wait(ctx)
				out.Print("broken for who waits:", errors.Is(err, tristrand.ErrBroken)) // BrokenBarrierError
				return nil
			})
		}
		thread.Start(ctx, "", func(ctx context.Context) error {
			short, cancel := strand.WithTimeout(ctx, time.Second) // barrier.wait(timeout=1)
			defer cancel()
			_, err := start.Wait(short)
			out.Print("broken by a time-out:", errors.Is(err, context.DeadlineExceeded))
			return nil
		})
		strand.Sleep(ctx, 2*time.Second)
		_, err := start.Wait(ctx)
		out.Print("broken for who comes late:", errors.Is(err, tristrand.ErrBroken))

		start.Reset(ctx)
		state, err := start.State(ctx)
		out.Print("broken after reset:", state.Broken)
		return err
	}, `
		1s broken by a time-out: true
		1s broken for who waits: true
		1s broken for who waits: true
		2s broken after reset: false
		2s broken for who comes late: true
		2s ~ the program ends
	`)
}
