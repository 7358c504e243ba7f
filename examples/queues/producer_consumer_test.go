package queues_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/examples/stage"
	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/strand"
	"github.com/tristrand/tristrand/thread"
)

// Q02: a producer that is faster than its consumer waits whenever the queue is
// full.
func TestProducerAndConsumer(t *testing.T) {
	stage.Play(t, func(ctx context.Context, out *stage.Screen) error {
		buns := local.NewQueue[int](2) // queue.Queue(maxsize=2) in Python
		thread.Start(ctx, "baker", func(ctx context.Context) error {
			for i := range 5 {
				if err := buns.Put(ctx, i); err != nil {
					return err
				}
				out.Print("put", i)
			}
			// No sentinel has to be put for each consumer: what is in the queue
			// can still be got.
			return buns.Shutdown(ctx, tristrand.Drain)
		})
		thread.Start(ctx, "eater", func(ctx context.Context) error {
			strand.Sleep(ctx, time.Second)
			for bun, err := range buns.All(ctx) { // until the queue is shut down and empty
				if err != nil {
					return err
				}
				out.Print("got", bun)
				strand.Sleep(ctx, time.Second)
			}
			return nil
		})
		return nil
	}, `
		0s put 0
		0s put 1
		1s got 0
		1s put 2
		2s got 1
		2s put 3
		3s got 2
		3s put 4
		4s got 3
		5s got 4
		6s ~ the program ends
	`)
}

// Q02: get and put that do not wait. Full, empty and shut down are told apart.
func Example_neverWait() {
	ctx := context.Background()
	q := local.NewQueue[string](1)

	_, err := q.TryGet(ctx) // q.get_nowait()
	fmt.Println("empty:", errors.Is(err, tristrand.ErrEmpty), "full:", errors.Is(err, tristrand.ErrFull))

	q.TryPut(ctx, "first")        // q.put_nowait("first")
	err = q.TryPut(ctx, "second") // queue.Full in Python
	fmt.Println("empty:", errors.Is(err, tristrand.ErrEmpty), "full:", errors.Is(err, tristrand.ErrFull))

	q.Shutdown(ctx, tristrand.Drain)
	err = q.TryPut(ctx, "third")
	fmt.Println("shut down:", errors.Is(err, tristrand.ErrShutdown))
	item, err := q.TryGet(ctx)
	fmt.Println("still there:", item, err)
	_, err = q.TryGet(ctx)
	fmt.Println("shut down:", errors.Is(err, tristrand.ErrShutdown))
	// Output:
	// empty: true full: false
	// empty: false full: true
	// shut down: true
	// still there: first <nil>
	// shut down: true
}

// Q02: a get with a time-out.
func TestGetWithTimeout(t *testing.T) {
	stage.Play(t, func(ctx context.Context, out *stage.Screen) error {
		q := local.NewQueue[string](1)
		short, cancel := strand.WithTimeout(ctx, 3*time.Second) // q.get(timeout=3)
		defer cancel()
		_, err := q.Get(short)
		out.Print("time is up:", errors.Is(err, context.DeadlineExceeded))
		return nil
	}, `
		3s time is up: true
		3s ~ the program ends
	`)
}

// Q02: several producers and consumers lose nothing and double nothing. Join
// waits until all that was put has been dealt with.
func TestNothingIsLostOrDoubled(t *testing.T) {
	const producers, consumers, each = 4, 3, 500
	ctx := t.Context()
	q := local.NewQueue[int](10)
	var got [producers * each]int
	var mu local.Lock

	var threads []*thread.Thread
	for p := range producers {
		threads = append(threads, thread.Start(ctx, "", func(ctx context.Context) error {
			for i := range each {
				if err := q.Put(ctx, p*each+i); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	for range consumers {
		threads = append(threads, thread.Start(ctx, "", func(ctx context.Context) error {
			for item, err := range q.All(ctx) {
				if err != nil {
					return err
				}
				err := tristrand.With(ctx, &mu, func(context.Context) error {
					got[item]++
					return nil
				})
				if err := errors.Join(err, q.TaskDone(ctx)); err != nil { // q.task_done()
					return err
				}
			}
			return nil
		}))
	}
	for _, producer := range threads[:producers] {
		if err := producer.Join(ctx); err != nil {
			t.Error(err)
		}
	}
	if err := q.Join(ctx); err != nil { // q.join()
		t.Error(err)
	}
	q.Shutdown(ctx, tristrand.Drain)
	for _, consumer := range threads[producers:] {
		if err := consumer.Join(ctx); err != nil {
			t.Error(err)
		}
	}
	for item, times := range got {
		if times != 1 {
			t.Errorf("item %d was got %d times", item, times)
		}
	}
}
