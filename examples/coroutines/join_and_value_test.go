package coroutines_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tristrand/tristrand/coro"
)

// C06: arguments are what the function closes over; join, joinall, value, error.
func Example_joinAndValue() {
	square := func(n int) func(context.Context) (int, error) {
		return func(ctx context.Context) (int, error) {
			if n > 3 {
				return 0, errors.New("too large")
			}
			return n * n, coro.Sleep(ctx, time.Duration(5-n)*time.Millisecond)
		}
	}
	err := coro.Run(context.Background(), func(ctx context.Context) error {
		two := coro.SpawnValue(ctx, square(2), coro.Name("two"))
		three := coro.SpawnValue(ctx, square(3), coro.Name("three"))
		four := coro.SpawnValue(ctx, square(4), coro.Name("four"))
		v, err := two.Result(ctx)
		fmt.Println(two.Name(), v, err)
		ended, err := coro.JoinAll(ctx, []*coro.Coroutine{two.Coroutine, three.Coroutine, four.Coroutine})
		fmt.Println(len(ended), err)
		fmt.Println(three.Err(), four.Err(), four.Failed())
		return nil
	})
	fmt.Println(err)
	// Output:
	// two 4 <nil>
	// 3 <nil>
	// <nil> too large true
	// <nil>
}
