package threads_test

import (
	"context"
	"testing"
	"time"

	"github.com/tristrand/tristrand/examples/stage"
	"github.com/tristrand/tristrand/strand"
	"github.com/tristrand/tristrand/thread"
)

// T01: ten threads sleep and then print. The main thread goes on at once, and
// the program does not end before the ten have.
func TestMainGoesOnAndTheProgramWaits(t *testing.T) {
	stage.Play(t, func(ctx context.Context, out *stage.Screen) error {
		for i := range 10 {
			thread.Start(ctx, "", func(ctx context.Context) error { // threading.Thread(target=…).start() in Python
				strand.Sleep(ctx, time.Second) // time.sleep(1)
				out.Print("hello from thread", i)
				return nil
			})
		}
		out.Print("the main thread goes on")
		return nil
	}, `
		0s the main thread goes on
		1s hello from thread 0
		1s hello from thread 1
		1s hello from thread 2
		1s hello from thread 3
		1s hello from thread 4
		1s hello from thread 5
		1s hello from thread 6
		1s hello from thread 7
		1s hello from thread 8
		1s hello from thread 9
		1s ~ the program ends
	`)
}
