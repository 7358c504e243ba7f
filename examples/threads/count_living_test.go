package threads_test

import (
	"context"
	"fmt"
	"slices"

	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/thread"
)

// T04: count and list the living threads while fifty run, and after they have
// been joined.
func Example_countLiving() {
	err := thread.Main(func(ctx context.Context) error {
		var goHome local.Event // threading.Event() in Python
		var threads []*thread.Thread
		for i := range 50 {
			name := fmt.Sprintf("worker-%02d", i+1)
			threads = append(threads, thread.Start(ctx, name, goHome.Wait))
		}
		fmt.Println("alive:", thread.Count()) // threading.active_count()

		var names []string
		for th := range thread.All() { // threading.enumerate()
			names = append(names, th.Name())
		}
		slices.Sort(names)
		fmt.Println(len(names), "names, from", names[0], "and", names[1], "to", names[50])

		goHome.Set(ctx)
		err := joinAll(ctx, threads)
		fmt.Println("alive after join:", thread.Count())
		return err
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// alive: 51
	// 51 names, from main and worker-01 to worker-50
	// alive after join: 1
}
