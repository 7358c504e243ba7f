package threads_test

import (
	"context"
	"testing"
	"time"

	"github.com/tristrand/tristrand/examples/stage"
	"github.com/tristrand/tristrand/strand"
	"github.com/tristrand/tristrand/thread"
)

// T19: a timer calls its function once, when its time has come; one that was
// cancelled before never does.
func TestTimer(t *testing.T) {
	stage.Play(t, func(ctx context.Context, out *stage.Screen) error {
		hello := func(context.Context) error {
			out.Print("hello, world")
			return nil
		}
		thread.AfterFunc(ctx, time.Second, hello) // threading.Timer(1, hello).start()
		never := thread.AfterFunc(ctx, 2*time.Second, hello)

		strand.Sleep(ctx, 1500*time.Millisecond)
		out.Print("in time to cancel:", never.Cancel())
		out.Print("joined:", never.Join(ctx))
		strand.Sleep(ctx, 10*time.Second)
		return nil
	}, `
		1s hello, world
		1.5s in time to cancel: true
		1.5s joined: <nil>
		11.5s ~ the program ends
	`)
}
