package queues_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/examples/stage"
	"github.com/tristrand/tristrand/strand"
	"github.com/tristrand/tristrand/thread"
)

// oneTo yields 1 to n: range(1, n+1) in Python.
func oneTo(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i + 1) {
				return
			}
		}
	}
}

// Q05: map instead of a loop of submits. Results come in the order of the
// inputs; an input's error is its own and the rest go on.
func Example_map() {
	root := tristrand.Func(func(_ context.Context, n int) (int, error) {
		if n == 4 {
			return 0, errors.New("four is unlucky")
		}
		return n * n, nil
	})
	err := thread.Main(func(ctx context.Context) error {
		pool := &thread.Pool{Workers: 3}
		defer pool.Close(ctx)
		for n, err := range root.Map(ctx, pool, oneTo(11)) { // for n in pool.map(square, range(1, 12))
			if err != nil {
				fmt.Println(err)
				continue
			}
			fmt.Println(n)
		}
		return nil
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// 1
	// 4
	// 9
	// four is unlucky
	// 25
	// 36
	// 49
	// 64
	// 81
	// 100
	// 121
}

// Q05: chunks save the cost of a job each where the work is small. They change
// nothing else.
func Example_mapInChunks() {
	squared := tristrand.Func(func(_ context.Context, n int) (int, error) { return n * n, nil })
	err := thread.Main(func(ctx context.Context) error {
		pool := &thread.Pool{Workers: 3}
		defer pool.Close(ctx)
		sum := 0
		for n, err := range squared.Map(ctx, pool, oneTo(1000), tristrand.Chunk(100)) { // chunksize=100
			if err != nil {
				return err
			}
			sum += n
		}
		fmt.Println(sum)
		fmt.Println(pool.Stats().Submitted, "jobs")
		return nil
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// 333833500
	// 10 jobs
}

// Q05: a time-out for the whole map is that of its ctx. What is there by then
// comes; the rest ends with the time-out, and its functions are asked to stop.
func TestMapWithTimeout(t *testing.T) {
	stage.Play(t, func(ctx context.Context, out *stage.Screen) error {
		pool := &thread.Pool{Workers: 3}
		defer pool.Close(ctx)
		slow := tristrand.Func(func(ctx context.Context, n int) (int, error) {
			return n * n, strand.Sleep(ctx, time.Duration(n)*time.Second)
		})
		short, cancel := strand.WithTimeout(ctx, 4500*time.Millisecond) // pool.map(…, timeout=4.5)
		defer cancel()
		for n, err := range slow.Map(short, pool, oneTo(11)) {
			if err != nil {
				out.Print("time is up:", errors.Is(err, context.DeadlineExceeded))
				break
			}
			out.Print(n)
		}
		return nil
	}, `
		1s 1
		2s 4
		3s 9
		4.5s time is up: true
		4.5s ~ the program ends
	`)
}
