package threads_test

import (
	"context"
	"testing"
	"time"

	"github.com/tristrand/tristrand/examples/stage"
	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/strand"
	"github.com/tristrand/tristrand/thread"
)

// T18: a traffic light is an Event: set is green, clear is red. It changes every
// five seconds; cars drive on green and wait on red.
func TestTrafficLight(t *testing.T) {
	stage.Play(t, func(ctx context.Context, out *stage.Screen) error {
		var green local.Event
		thread.Start(ctx, "light", func(ctx context.Context) error {
			for range 2 {
				green.Set(ctx)
				out.Print("light: green")
				strand.Sleep(ctx, 5*time.Second)
				green.Clear(ctx)
				out.Print("light: red")
				strand.Sleep(ctx, 5*time.Second)
			}
			return nil
		})

		car := func(name string, comes time.Duration) {
			thread.Start(ctx, name, func(ctx context.Context) error {
				strand.Sleep(ctx, comes)
				for range 3 { // crossings
					if light, _ := green.State(ctx); !light.Set { // event.is_set() in Python
						out.Print(name, "waits")
						green.Wait(ctx)
					}
					out.Print(name, "drives")
					strand.Sleep(ctx, 3*time.Second)
				}
				return nil
			})
		}
		car("tesla", 1*time.Second)
		car("trabant", 2500*time.Millisecond)
		return nil
	}, `
		0s light: green
		1s tesla drives
		2.5s trabant drives
		4s tesla drives
		5s light: red
		5.5s trabant waits
		7s tesla waits
		10s light: green
		10s tesla drives
		10s trabant drives
		13s trabant drives
		15s light: red
		20s ~ the program ends
	`)
}
