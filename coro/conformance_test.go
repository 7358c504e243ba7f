package coro_test

import (
	"context"
	"testing"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/conformance"
	"github.com/tristrand/tristrand/coro"
	"github.com/tristrand/tristrand/local"
)

// TestPrimitivesOnAHub runs the suites of the primitives with coroutines of a hub
// in the place of threads.
func TestPrimitivesOnAHub(t *testing.T) {
	o := conformance.Options{
		Worlds: []conformance.World{conformance.Cooperative},
		Cooperative: func(ctx context.Context, body func(ctx context.Context)) error {
			return coro.Run(ctx, func(ctx context.Context) error {
				body(ctx)
				return nil
			})
		},
	}
	lock := func(context.Context, testing.TB) tristrand.Locker { return new(local.Lock) }
	rlock := func(context.Context, testing.TB) tristrand.Locker { return new(local.RLock) }
	t.Run("Lock", func(t *testing.T) { conformance.Lock(t, lock, o) })
	t.Run("RLock", func(t *testing.T) { conformance.RLock(t, rlock, o) })
	t.Run("Semaphore", func(t *testing.T) {
		conformance.Semaphore(t, func(_ context.Context, _ testing.TB, n int) tristrand.Semaphore { return local.NewSemaphore(n) }, o)
	})
	t.Run("BoundedSemaphore", func(t *testing.T) {
		conformance.BoundedSemaphore(t, func(_ context.Context, _ testing.TB, n int) tristrand.Semaphore {
			return local.NewBoundedSemaphore(n)
		}, o)
	})
	t.Run("Event", func(t *testing.T) {
		conformance.Event(t, func(context.Context, testing.TB) tristrand.Event { return new(local.Event) }, o)
	})
	t.Run("Condition", func(t *testing.T) {
		conformance.Condition(t, conformance.ConditionMaker{
			Condition: func(_ context.Context, _ testing.TB, l tristrand.Locker) tristrand.Condition {
				return local.NewCondition(l)
			},
			Lock: lock, RLock: rlock,
		}, o)
	})
	t.Run("Barrier", func(t *testing.T) {
		conformance.Barrier(t, func(_ context.Context, _ testing.TB, parties int, action func(context.Context) error) tristrand.Barrier {
			b := local.NewBarrier(parties)
			b.Action = action
			return b
		}, o)
	})
	t.Run("Queue", func(t *testing.T) {
		conformance.Queue(t, func(_ context.Context, _ testing.TB, bound int) tristrand.Queue[int] {
			return local.NewQueue[int](bound)
		}, o)
	})
	t.Run("LIFO", func(t *testing.T) {
		conformance.LIFO(t, func(_ context.Context, _ testing.TB, bound int) tristrand.Queue[int] {
			return local.NewLIFO[int](bound)
		}, o)
	})
	t.Run("Priority", func(t *testing.T) {
		conformance.Priority(t, func(_ context.Context, _ testing.TB, bound int) tristrand.Queue[int] {
			return local.NewPriority(bound, func(a, b int) bool { return a < b })
		}, o)
	})
}

func TestPoolConformance(t *testing.T) {
	conformance.Executor(t, func(_ context.Context, _ testing.TB, workers, queue int) tristrand.Executor {
		return &coro.Pool{Workers: workers, Queue: queue}
	}, conformance.ExecutorOptions{Options: conformance.Options{Seeds: 3}})
}
