package threads_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/conformance/schedule"
	"github.com/tristrand/tristrand/examples/stage"
	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/strand"
	"github.com/tristrand/tristrand/thread"
)

// eat takes one thing and, a second later, the other.
func eat(ctx context.Context, first, second tristrand.Locker) error {
	return tristrand.With(ctx, first, func(ctx context.Context) error { // with first:
		strand.Sleep(ctx, time.Second)
		return tristrand.With(ctx, second, func(context.Context) error { // with second:
			return nil
		})
	})
}

// T14: egon has the noodle and wants the fork, jason has the fork and wants the
// noodle. Whoever comes last to close the circle is refused: he gets an error
// that names both, puts down what he has, and the other eats.
func Example_noodleAndFork() {
	noodle, fork := local.NewLock("noodle"), local.NewLock("fork")
	bothHaveOne := local.NewBarrier(2) // makes certain what is otherwise bad luck

	dine := func(first, second tristrand.Locker) func(ctx context.Context) error {
		return func(ctx context.Context) error {
			return tristrand.With(ctx, first, func(ctx context.Context) error {
				bothHaveOne.Wait(ctx)
				return tristrand.With(ctx, second, func(ctx context.Context) error {
					fmt.Println("one eats")
					return nil
				})
			})
		}
	}
	thread.Main(func(ctx context.Context) error {
		egon := thread.Start(ctx, "egon", dine(noodle, fork))
		jason := thread.Start(ctx, "jason", dine(fork, noodle))

		if deadlock, ok := errors.AsType[*tristrand.DeadlockError](joinAll(ctx, []*thread.Thread{egon, jason})); ok {
			for _, link := range deadlock.Cycle {
				file, _, _ := strings.Cut(link.TakenAt, ":") // and the line
				fmt.Printf("%s waits for %s, which %s took in %s\n", link.Waiter, link.On, link.Holder, file)
			}
		}
		return nil
	})
	// Unordered output:
	// one eats
	// egon waits for lock "fork", which jason took in threads/noodle_and_fork_test.go
	// jason waits for lock "noodle", which egon took in threads/noodle_and_fork_test.go
}

// T14: with three eaters of two kinds whoever is refused puts down what he has
// and tries again, so all eat in the end, in whatever order they come.
func TestTheRefusedTryAgain(t *testing.T) {
	o, found := schedule.Find(t.Context(), 100, func(ctx context.Context) error {
		refused := 0
		noodle, fork := local.NewLock("noodle"), local.NewLock("fork")
		stubborn := func(first, second tristrand.Locker) func(ctx context.Context) error {
			return func(ctx context.Context) error {
				for {
					err := eat(ctx, first, second)
					var deadlock *tristrand.DeadlockError
					if !errors.As(err, &deadlock) {
						return err
					}
					refused++
					if len(deadlock.Cycle) != 2 {
						t.Errorf("not a circle of two: %v", deadlock)
					}
					strand.Sleep(ctx, time.Minute) // let the others finish
				}
			}
		}
		eaters := []*thread.Thread{
			thread.Start(ctx, "egon", stubborn(noodle, fork)),
			thread.Start(ctx, "jason", stubborn(fork, noodle)),
			thread.Start(ctx, "tank", stubborn(noodle, fork)),
		}
		err := joinAll(ctx, eaters)
		if refused == 0 {
			return errors.New("nobody was refused")
		}
		return err
	})
	if found {
		t.Errorf("seed %d: %v\n%s", o.Seed, o.Err, o.Trace())
	}
}

// T14: one RLock as both noodle and fork cannot be taken crosswise: all eat, one
// after the other.
func TestOneRLockForBoth(t *testing.T) {
	stage.Play(t, func(ctx context.Context, out *stage.Screen) error {
		both := local.NewRLock("noodle and fork")
		noodle, fork := both, both // noodle = fork = RLock() in Python
		var eaters []*thread.Thread
		eater := func(name string, first, second tristrand.Locker) {
			eaters = append(eaters, thread.Start(ctx, name, func(ctx context.Context) error {
				return eat(ctx, first, second)
			}))
		}
		eater("egon", noodle, fork)
		eater("jason", fork, noodle)
		eater("tank", noodle, fork)
		err := joinAll(ctx, eaters)
		out.Print("all have eaten")
		return err
	}, `
		3s all have eaten
		3s ~ the program ends
	`)
}
