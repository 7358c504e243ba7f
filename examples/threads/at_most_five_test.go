package threads_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/examples/stage"
	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/strand"
	"github.com/tristrand/tristrand/thread"
)

// T16: of 22 threads never more than five are inside at once, so they come in
// five rounds.
func TestAtMostFiveInside(t *testing.T) {
	stage.Play(t, func(ctx context.Context, out *stage.Screen) error {
		doors := local.NewBoundedSemaphore(5) // threading.BoundedSemaphore(5)
		for range 22 {
			thread.Start(ctx, "", func(ctx context.Context) error {
				if err := doors.Acquire(ctx); err != nil {
					return err
				}
				defer doors.Release(ctx, 1)
				strand.Sleep(ctx, time.Second)
				return nil
			})
		}
		for range 5 {
			strand.Sleep(ctx, 900*time.Millisecond) // a look around before each round ends
			state, err := doors.State(ctx)
			if err != nil {
				return err
			}
			out.Print("inside:", state.Bound-state.Free, "waiting:", state.Waiting)
			strand.Sleep(ctx, 100*time.Millisecond)
		}
		return nil
	}, `
		900ms inside: 5 waiting: 17
		1.9s inside: 5 waiting: 12
		2.9s inside: 5 waiting: 7
		3.9s inside: 5 waiting: 2
		4.9s inside: 2 waiting: 0
		5s ~ the program ends
	`)
}

// T16: a bounded semaphore cannot be released more often than it was acquired.
func Example_releaseTooOften() {
	thread.Main(func(ctx context.Context) error {
		doors := local.NewBoundedSemaphore(5)
		err := doors.Release(ctx, 1) // ValueError in Python
		fmt.Println(errors.Is(err, tristrand.ErrOverRelease))
		state, err := doors.State(ctx)
		fmt.Println(state.Free, "free")
		return err
	})
	// Output:
	// true
	// 5 free
}
