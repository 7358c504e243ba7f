package threads_test

import (
	"context"
	"fmt"

	"github.com/tristrand/tristrand/thread"
)

// T05: the current thread and the main thread, seen from both. The ctx says who
// calls, so whoever has the ctx can ask.
func Example_currentAndMain() {
	introduce := func(ctx context.Context) error {
		me := thread.Current(ctx) // threading.current_thread() in Python
		it := thread.MainThread() // threading.main_thread()
		fmt.Printf("I am %q; the main thread is %q; am I the main thread? %v; have we one id? %v\n",
			me.Name(), it.Name(), me.IsMain(), me.ID() == it.ID())
		return nil
	}
	err := thread.Main(func(ctx context.Context) error {
		introduce(ctx)
		return thread.Start(ctx, "helper", introduce).Join(ctx)
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// I am "main"; the main thread is "main"; am I the main thread? true; have we one id? true
	// I am "helper"; the main thread is "main"; am I the main thread? false; have we one id? false
}
