package coroutines_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tristrand/tristrand/coro"
)

// C05: three coroutines that sleep 2, 1 and 0 seconds go on by their alarms.
func TestWakeUpOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, got := time.Now(), ""
		sleeper := func(before, after string, seconds int) func(context.Context) error {
			return func(ctx context.Context) error {
				got += before
				if err := coro.Sleep(ctx, time.Duration(seconds)*time.Second); err != nil {
					return err
				}
				got += fmt.Sprint(after, "@", time.Since(began), " ")
				return nil
			}
		}
		err := coro.Run(t.Context(), func(ctx context.Context) error {
			coro.Spawn(ctx, sleeper("first ", "sixth", 2))
			coro.Spawn(ctx, sleeper("second ", "fifth", 1))
			coro.Spawn(ctx, sleeper("third ", "fourth", 0))
			return nil
		})
		if want := "first second third fourth@0s fifth@1s sixth@2s "; err != nil || got != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	})
}

// C07: a sleep of none hands over: strict alternation.
func Example_handOver() {
	err := coro.Run(context.Background(), func(ctx context.Context) error {
		for _, name := range []string{"ping", "pong"} {
			coro.Spawn(ctx, func(ctx context.Context) error {
				for range 3 {
					fmt.Println(name)
					if err := coro.Sleep(ctx, 0); err != nil {
						return err
					}
				}
				return nil
			})
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// ping
	// pong
	// ping
	// pong
	// ping
	// pong
	// <nil>
}

// C08: ten jobs of half a second, one after another and together.
func TestTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		job := func(ctx context.Context) error { return coro.Sleep(ctx, 500*time.Millisecond) }
		err := coro.Run(t.Context(), func(ctx context.Context) error {
			began := time.Now()
			for range 10 {
				if err := job(ctx); err != nil {
					return err
				}
			}
			one := time.Since(began)
			began = time.Now()
			var all []*coro.Coroutine
			for range 10 {
				all = append(all, coro.Spawn(ctx, job))
			}
			_, err := coro.JoinAll(ctx, all)
			if together := time.Since(began); one != 5*time.Second || together != 500*time.Millisecond {
				t.Errorf("one after another %v, together %v", one, together)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// C11: what only the coroutines of one hub use needs no lock, as long as there is
// no wait between reading and writing.
func TestNoLock(t *testing.T) {
	n := 0
	err := coro.Run(t.Context(), func(ctx context.Context) error {
		for range 1000 {
			coro.Spawn(ctx, func(ctx context.Context) error {
				for range 100 {
					read := n
					n = read + 1
					if err := coro.Sleep(ctx, 0); err != nil {
						return err
					}
				}
				return nil
			})
		}
		return nil
	})
	if err != nil || n != 100_000 {
		t.Errorf("got %d, %v, want 100000", n, err)
	}
}
