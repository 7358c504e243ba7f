package threads_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/thread"
)

// T13: to acquire a Lock that one holds would be to wait for oneself. Python
// hangs; here it is an error that says who waits for whom.
func Example_lockTwice() {
	err := thread.Main(func(ctx context.Context) error {
		mu := local.NewLock("till") // the name is for messages
		if err := mu.Acquire(ctx); err != nil {
			return err
		}
		defer mu.Release(ctx)
		return mu.Acquire(ctx)
	})
	if deadlock, ok := errors.AsType[*tristrand.DeadlockError](err); ok {
		for _, link := range deadlock.Cycle { // link.TakenAt has file and line
			fmt.Printf("%q waits for %s, held by %q\n", link.Waiter, link.On, link.Holder)
		}
	}
	// Output: "main" waits for lock "till", held by "main"
}

// T13: an RLock may be acquired again by its holder, and is free when it has
// been released as often.
func Example_rLockTwice() {
	err := thread.Main(func(ctx context.Context) error {
		mu := local.NewRLock("till") // threading.RLock() in Python
		show := func(did string) {
			state, _ := mu.State(ctx)
			fmt.Println(did, state.Depth)
		}
		for range 2 {
			if err := mu.Acquire(ctx); err != nil {
				return err
			}
			show("acquired:")
		}
		for range 2 {
			if err := mu.Release(ctx); err != nil {
				return err
			}
			show("released:")
		}
		err := mu.Release(ctx)
		fmt.Println("once too often:", errors.Is(err, tristrand.ErrNotHeld))
		return nil
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// acquired: 1
	// acquired: 2
	// released: 1
	// released: 0
	// once too often: true
}
