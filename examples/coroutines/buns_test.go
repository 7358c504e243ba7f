package coroutines_test

import (
	"fmt"

	"github.com/tristrand/tristrand/coro"
)

// C04: consumers that are primed by Next and fed by Send.
func Example_buns() {
	consumer := func(name string) *coro.Generator[string, struct{}] {
		return coro.NewGenerator(func(yield func(struct{}) (string, error)) error {
			fmt.Println(name, "is ready for buns")
			for {
				bun, err := yield(struct{}{})
				if err != nil {
					return err
				}
				fmt.Println(name, "eats the bun with", bun)
			}
		})
	}
	a, b := consumer("a"), consumer("b")
	defer a.Close()
	defer b.Close()
	for _, c := range []*coro.Generator[string, struct{}]{a, b} {
		if _, err := c.Next(); err != nil {
			fmt.Println(err)
		}
	}
	for _, filling := range []string{"leek", "beef"} {
		for _, c := range []*coro.Generator[string, struct{}]{a, b} {
			if _, err := c.Send(filling); err != nil {
				fmt.Println(err)
			}
		}
	}
	// Output:
	// a is ready for buns
	// b is ready for buns
	// a eats the bun with leek
	// b eats the bun with leek
	// a eats the bun with beef
	// b eats the bun with beef
}

// Two generators in turn.
func Example_inTurn() {
	steps := func(name string) *coro.Generator[struct{}, string] {
		return coro.NewGenerator(func(yield func(string) (struct{}, error)) error {
			for i := range 2 {
				if _, err := yield(fmt.Sprint(name, " ", i)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	a, b := steps("work 1"), steps("work 2")
	for {
		x, err := a.Next()
		if err != nil {
			break // coro.ErrDone
		}
		y, err := b.Next()
		fmt.Println(x, y, err)
	}
	if err := b.Close(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// work 1 0 work 2 0 <nil>
	// work 1 1 work 2 1 <nil>
}
