package threads_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tristrand/tristrand/examples/stage"
	"github.com/tristrand/tristrand/strand"
	"github.com/tristrand/tristrand/thread"
)

// T03: threads that each sleep three seconds are all joined after three
// seconds, however many they are.
func TestJoinAllTakesOneSleep(t *testing.T) {
	stage.Play(t, func(ctx context.Context, out *stage.Screen) error {
		var threads []*thread.Thread
		for range 20 {
			threads = append(threads, thread.Start(ctx, "", func(ctx context.Context) error {
				return strand.Sleep(ctx, 3*time.Second)
			}))
		}
		for _, th := range threads {
			if err := th.Join(ctx); err != nil { // the error of the thread's function
				return err
			}
		}
		out.Print("all joined")
		return nil
	}, `
		3s all joined
		3s ~ the program ends
	`)
}

// T03: a join with a time-out returns when its time is up; the thread lives on.
func TestJoinWithTimeout(t *testing.T) {
	stage.Play(t, func(ctx context.Context, out *stage.Screen) error {
		sleeper := thread.Start(ctx, "sleeper", func(ctx context.Context) error {
			return strand.Sleep(ctx, 3*time.Second)
		})
		short, cancel := strand.WithTimeout(ctx, time.Second) // t.join(timeout=1)
		defer cancel()
		err := sleeper.Join(short)
		out.Print("time is up:", errors.Is(err, context.DeadlineExceeded), "- alive:", sleeper.Alive())
		err = sleeper.Join(ctx)
		out.Print("joined:", err == nil, "- alive:", sleeper.Alive())
		return nil
	}, `
		1s time is up: true - alive: true
		3s joined: true - alive: false
		3s ~ the program ends
	`)
}
