package local_test

import (
	"context"
	"testing"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/conformance"
	"github.com/tristrand/tristrand/local"
)

func TestConformance(t *testing.T) {
	var o conformance.Options
	t.Run("Lock", func(t *testing.T) {
		conformance.Lock(t, func(context.Context, testing.TB) tristrand.Locker { return new(local.Lock) }, o)
	})
	t.Run("RLock", func(t *testing.T) {
		conformance.RLock(t, func(context.Context, testing.TB) tristrand.Locker { return new(local.RLock) }, o)
	})
	t.Run("Semaphore", func(t *testing.T) {
		conformance.Semaphore(t, func(_ context.Context, _ testing.TB, n int) tristrand.Semaphore {
			return local.NewSemaphore(n)
		}, o)
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
			Lock:  func(context.Context, testing.TB) tristrand.Locker { return new(local.Lock) },
			RLock: func(context.Context, testing.TB) tristrand.Locker { return new(local.RLock) },
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
