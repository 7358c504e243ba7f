package queues_test

import (
	"cmp"
	"context"
	"fmt"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/local"
)

// putAndGet puts the items into q and prints them as they come out.
func putAndGet[T any](q tristrand.Queue[T], items ...T) {
	ctx := context.Background()
	for _, item := range items {
		q.Put(ctx, item)
	}
	for range items {
		item, err := q.Get(ctx)
		if err != nil {
			fmt.Println(err)
		}
		fmt.Println(item)
	}
}

// Q01: first in, first out.
func Example_firstInFirstOut() {
	q := local.NewQueue[string](0) // queue.Queue() in Python
	putAndGet(q, "first", "second", "third")
	// Output:
	// first
	// second
	// third
}

// Q01: last in, first out.
func Example_lastInFirstOut() {
	q := local.NewLIFO[string](0) // queue.LifoQueue() in Python
	putAndGet(q, "first", "second", "third")
	// Output:
	// third
	// second
	// first
}

// A ticket is served by its number.
type ticket struct {
	number int
	who    string
}

// Q01: the least first. A function says what is less, so items need not be
// comparable, and equals come out as they were put in.
func Example_leastFirst() {
	q := local.NewPriority(0, func(a, b ticket) bool { // queue.PriorityQueue() in Python
		return cmp.Less(a.number, b.number)
	})
	putAndGet(q, ticket{20, "a"}, ticket{10, "b"}, ticket{30, "c"}, ticket{10, "d"})
	// Output:
	// {10 b}
	// {10 d}
	// {20 a}
	// {30 c}
}
