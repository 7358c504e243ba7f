package coroutines_test

import (
	"fmt"

	"github.com/tristrand/tristrand/coro"
)

// C01: two greenlets switch to each other by name. When the first has ended its
// parent, the function itself, goes on, and can let the second end as well.
func Example_twoGreenlets() {
	var first, second *coro.Greenlet
	first = coro.New(func(any) (any, error) {
		fmt.Println(12)
		if _, err := second.Switch(nil); err != nil {
			return nil, err
		}
		fmt.Println(34)
		return nil, nil
	})
	second = coro.New(func(any) (any, error) {
		fmt.Println(56)
		if _, err := first.Switch(nil); err != nil {
			return nil, err
		}
		fmt.Println(78)
		return nil, nil
	})
	if _, err := first.Switch(nil); err != nil {
		fmt.Println(err)
	}
	fmt.Println("back")
	if _, err := second.Switch(nil); err != nil {
		fmt.Println(err)
	}
	fmt.Println(first.Dead(), second.Dead())
	// Output:
	// 12
	// 56
	// 34
	// back
	// 78
	// true true
}
