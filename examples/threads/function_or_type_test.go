package threads_test

import (
	"context"
	"fmt"

	"github.com/tristrand/tristrand/thread"
)

// A greeter is a type of one's own with a run method: in Python it would
// inherit from threading.Thread; in Go any method of the right shape will do.
type greeter struct {
	whom string
}

func (g *greeter) run(ctx context.Context) error {
	me := thread.Current(ctx) // threading.current_thread() in Python
	fmt.Printf("%s: hello, %s\n", me.Name(), g.whom)
	me.SetName("greeter at rest")
	return nil
}

// T02: a thread from a function with arguments, and one from a type with a run
// method. Each has a name that can be read and set.
func Example_functionOrType() {
	err := thread.Main(func(ctx context.Context) error {
		// Arguments need no args=(…): the function literal sees the variables
		// around it.
		whom, times := "egon", 2
		f := thread.Start(ctx, "counter", func(ctx context.Context) error {
			for i := range times {
				fmt.Printf("%s: hello %d, %s\n", thread.Current(ctx).Name(), i+1, whom)
			}
			return nil
		})
		if err := f.Join(ctx); err != nil {
			return err
		}

		g := &greeter{whom: "jason"}
		th := thread.Start(ctx, "greeter", g.run)
		err := th.Join(ctx)
		fmt.Println("its name now:", th.Name())
		return err
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// counter: hello 1, egon
	// counter: hello 2, egon
	// greeter: hello, jason
	// its name now: greeter at rest
}
