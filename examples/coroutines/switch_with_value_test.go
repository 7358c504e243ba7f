package coroutines_test

import (
	"fmt"

	"github.com/tristrand/tristrand/coro"
)

// C02: the first switch calls the function with its value; each later one is
// returned by the switch at which the greenlet left.
func Example_switchWithValue() {
	var play, eat *coro.Greenlet
	eat = coro.New(func(name any) (any, error) {
		fmt.Println(name, "eats one")
		name, err := play.Switch(name)
		if err != nil {
			return nil, err
		}
		fmt.Println(name, "eats two")
		return play.Switch(name)
	})
	play = coro.New(func(name any) (any, error) {
		fmt.Println(name, "plays one")
		if _, err := eat.Switch("alex"); err != nil {
			return nil, err
		}
		fmt.Println(name, "plays two")
		return "done", nil
	})
	v, err := eat.Switch("egon")
	fmt.Println(v, err)
	// Output:
	// egon eats one
	// egon plays one
	// alex eats two
	// egon plays two
	// done <nil>
}
