package shm_test

import (
	"context"
	"testing"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/conformance"
	"github.com/tristrand/tristrand/shm"
)

// must returns v, which a test cannot do without.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestConformance(t *testing.T) {
	o := conformance.Options{Worlds: []conformance.World{conformance.RealTime}}
	newLock := func(context.Context, testing.TB) tristrand.Locker { return must(shm.NewLock("")) }
	newRLock := func(context.Context, testing.TB) tristrand.Locker { return must(shm.NewRLock("")) }
	t.Run("Lock", func(t *testing.T) { conformance.Lock(t, newLock, o) })
	t.Run("RLock", func(t *testing.T) { conformance.RLock(t, newRLock, o) })
	t.Run("Semaphore", func(t *testing.T) {
		conformance.Semaphore(t, func(_ context.Context, _ testing.TB, n int) tristrand.Semaphore {
			return must(shm.NewSemaphore("", n))
		}, o)
	})
	t.Run("BoundedSemaphore", func(t *testing.T) {
		conformance.BoundedSemaphore(t, func(_ context.Context, _ testing.TB, n int) tristrand.Semaphore {
			return must(shm.NewBoundedSemaphore("", n))
		}, o)
	})
	t.Run("Event", func(t *testing.T) {
		conformance.Event(t, func(context.Context, testing.TB) tristrand.Event { return must(shm.NewEvent("")) }, o)
	})
	t.Run("Condition", func(t *testing.T) {
		conformance.Condition(t, conformance.ConditionMaker{
			Condition: func(_ context.Context, _ testing.TB, l tristrand.Locker) tristrand.Condition {
				return must(shm.NewCondition("", l))
			},
			Lock: newLock, RLock: newRLock,
		}, o)
	})
	t.Run("Barrier", func(t *testing.T) {
		conformance.Barrier(t, func(_ context.Context, _ testing.TB, n int, action func(context.Context) error) tristrand.Barrier {
			b := must(shm.NewBarrier("", n))
			b.Action = action
			return b
		}, o)
	})
}
