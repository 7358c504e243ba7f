package threads_test

import (
	"context"
	"fmt"

	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/thread"
)

// T20: every thread has its own value in a thread.Local, also while the others
// change theirs.
func Example_threadLocal() {
	err := thread.Main(func(ctx context.Context) error {
		var mine thread.Local[int] // threading.local() in Python, with a type
		*mine.Get(ctx) = 1000

		allHaveWritten := local.NewBarrier(3)
		for i := range 3 {
			thread.Start(ctx, fmt.Sprint("thread-", i), func(ctx context.Context) error {
				was := *mine.Get(ctx)
				*mine.Get(ctx) = i
				allHaveWritten.Wait(ctx)
				fmt.Println(thread.Current(ctx).Name(), "had", was, "and has", *mine.Get(ctx))
				return nil
			})
		}
		fmt.Println("main has", *mine.Get(ctx))
		return nil
	})
	if err != nil {
		fmt.Println(err)
	}
	// Unordered output:
	// main has 1000
	// thread-0 had 0 and has 0
	// thread-1 had 0 and has 1
	// thread-2 had 0 and has 2
}
