package threads_test

import (
	"context"
	"fmt"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/thread"
)

// T20: producer and consumer share a dish with room for one dumpling, and tell
// each other by a Condition when it has become full or empty.
func Example_condition() {
	err := thread.Main(func(ctx context.Context) error {
		var changed local.Condition // threading.Condition() in Python
		dish := ""                  // guarded by changed's lock

		thread.Start(ctx, "producer", func(ctx context.Context) error {
			for i := range 3 {
				err := tristrand.With(ctx, changed.Locker(), func(ctx context.Context) error { // with changed:
					empty := func() bool { return dish == "" }
					if err := tristrand.WaitFor(ctx, &changed, empty); err != nil { // changed.wait_for(empty)
						return err
					}
					dish = fmt.Sprint("dumpling ", i+1)
					fmt.Println("made", dish)
					return changed.Notify(ctx, 1) // changed.notify()
				})
				if err != nil {
					return err
				}
			}
			return nil
		})

		consumer := thread.Start(ctx, "consumer", func(ctx context.Context) error {
			for range 3 {
				err := tristrand.With(ctx, changed.Locker(), func(ctx context.Context) error {
					full := func() bool { return dish != "" }
					if err := tristrand.WaitFor(ctx, &changed, full); err != nil {
						return err
					}
					fmt.Println("ate", dish)
					dish = ""
					return changed.Notify(ctx, 1)
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
		return consumer.Join(ctx)
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// made dumpling 1
	// ate dumpling 1
	// made dumpling 2
	// ate dumpling 2
	// made dumpling 3
	// ate dumpling 3
}
