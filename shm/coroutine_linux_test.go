package shm_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/conformance/schedule"
	"github.com/tristrand/tristrand/strand"
)

// A strand that shares its turn with others gives it up while it waits for
// another process, and is woken by it.
func TestACoroutineWaitsForAnotherProcess(t *testing.T) {
	k := newKit(t)
	a := newActor(t, k)
	a.done("ann acquire a")
	var order []string
	schedule.Cooperative(t.Context(), func(ctx context.Context) {
		wait := func(name string, l tristrand.Locker) {
			strand.Go(ctx, strand.Options{Kind: strand.Coroutine, Name: name}, func(ctx context.Context) {
				if err := l.Acquire(ctx); err != nil {
					t.Error(err)
				}
				order = append(order, name)
				if err := l.Release(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		wait("first", k.A)
		wait("second", k.A)
		strand.Go(ctx, strand.Options{Kind: strand.Coroutine, Name: "other"}, func(ctx context.Context) {
			for st, err := k.A.State(ctx); st.Waiting < 2; st, err = k.A.State(ctx) {
				if err := errors.Join(err, strand.Yield(ctx)); err != nil {
					t.Error(err)
					return
				}
			}
			order = append(order, "other")
			short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
			defer cancel()
			is(t, k.Event.Wait(short), context.DeadlineExceeded, "Wait of a coroutine")
			a.say("ann release a")
		})
	})
	a.expect("ann release a: <nil>")
	if len(order) != 3 || order[0] != "other" || order[1] != "first" || order[2] != "second" {
		t.Errorf("the order was %v", order)
	}
}
