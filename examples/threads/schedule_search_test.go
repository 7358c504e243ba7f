package threads_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/conformance/schedule"
	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/strand"
	"github.com/tristrand/tristrand/thread"
)

// A counter is added to in three steps, as n += 1 is in Python's byte code:
// read, (perhaps someone else's turn,) write.
type counter struct {
	n     int
	steps []string // what was done, in the order in which it was done
}

func (c *counter) add(ctx context.Context) error {
	read := c.n
	c.steps = append(c.steps, fmt.Sprint("read ", read))
	if err := strand.Yield(ctx); err != nil { // here the turn may go to another thread
		return err
	}
	c.n = read + 1
	c.steps = append(c.steps, fmt.Sprint("write ", c.n))
	return nil
}

var errWrongSum = errors.New("wrong sum")

// count has threads call add and fails if the sum is not their number.
func count(ctx context.Context, threads int, c *counter, add func(ctx context.Context) error) error {
	var started []*thread.Thread
	for i := range threads {
		started = append(started, thread.Start(ctx, fmt.Sprint("adder-", i), add))
	}
	if err := joinAll(ctx, started); err != nil {
		return err
	}
	if c.n != threads {
		return fmt.Errorf("%w: %d threads counted to %d", errWrongSum, threads, c.n)
	}
	return nil
}

// T12: adding without a lock may go well twenty thousand times. A search that
// tries one order of the steps after the other finds the one that goes wrong,
// every time, and shows it.
func Example_searchFindsALostUpdate() {
	var c *counter
	found, ok := schedule.Find(context.Background(), 1000, func(ctx context.Context) error {
		c = new(counter)
		return count(ctx, 2, c, c.add)
	})
	fmt.Println(ok, found.Err)
	for _, step := range c.steps {
		fmt.Println(step)
	}
	// Output:
	// true wrong sum: 2 threads counted to 1
	// read 0
	// read 0
	// write 1
	// write 1
}

// T12: the seed is all that is needed to see the same order again; its trace
// names who did what.
func TestSearchReplaysALostUpdate(t *testing.T) {
	for _, threads := range []int{2, 10, 100} {
		body := func(ctx context.Context) error {
			c := new(counter)
			return count(ctx, threads, c, c.add)
		}
		found, ok := schedule.Find(t.Context(), 1000, body)
		if !ok || !errors.Is(found.Err, errWrongSum) {
			t.Fatalf("%d threads, %d schedules: %v", threads, found.Seed, found.Err)
		}
		t.Logf("seed %d: %v", found.Seed, found.Err)
		if threads == 2 {
			t.Logf("\n%s", found.Trace())
		}
		again := schedule.Search(t.Context(), found.Seed, body)
		if again.Hash != found.Hash || again.Err == nil || again.Err.Error() != found.Err.Error() {
			t.Errorf("seed %d: %v, and then %v", found.Seed, found.Err, again.Err)
		}
	}
}

// T12: with a lock the search finds no order that goes wrong.
func Example_searchFindsNothingWithALock() {
	searched, found := schedule.Find(context.Background(), 1000, func(ctx context.Context) error {
		var c counter
		var mu local.Lock
		return count(ctx, 3, &c, func(ctx context.Context) error {
			return tristrand.With(ctx, &mu, c.add)
		})
	})
	fmt.Println(found, searched.Err)
	// Output: false <nil>
}

// T12: twenty thousand threads and a lock, in whatever order they come.
func Example_twentyThousandThreads() {
	err := thread.Main(func(ctx context.Context) error {
		n := 0
		var mu local.Lock
		var threads []*thread.Thread
		for range 20_000 {
			threads = append(threads, thread.Start(ctx, "", func(ctx context.Context) error {
				return tristrand.With(ctx, &mu, func(context.Context) error {
					n++
					return nil
				})
			}))
		}
		err := joinAll(ctx, threads)
		fmt.Println(n)
		return err
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output: 20000
}
