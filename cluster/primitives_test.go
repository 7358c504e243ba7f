//go:build unix

package cluster_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/cluster"
	"github.com/tristrand/tristrand/conformance"
)

// TestPrimitives runs the suites of the primitives.
func TestPrimitives(t *testing.T) {
	t.Parallel()
	c := open(t, cluster.Options{Durability: cluster.Memory})
	var n atomic.Int64
	name := func() string { return fmt.Sprint("x.", n.Add(1)) }
	o := conformance.Options{Worlds: []conformance.World{conformance.RealTime}}
	newLock := func(context.Context, testing.TB) tristrand.Locker { return cluster.NewLock(c, name()) }
	newRLock := func(context.Context, testing.TB) tristrand.Locker { return cluster.NewRLock(c, name()) }
	t.Run("Lock", func(t *testing.T) {
		t.Parallel()
		conformance.Lock(t, newLock, o)
	})
	t.Run("RLock", func(t *testing.T) {
		t.Parallel()
		conformance.RLock(t, newRLock, o)
	})
	t.Run("Semaphore", func(t *testing.T) {
		t.Parallel()
		conformance.Semaphore(t, func(_ context.Context, _ testing.TB, n int) tristrand.Semaphore {
			return cluster.NewSemaphore(c, name(), n)
		}, o)
	})
	t.Run("BoundedSemaphore", func(t *testing.T) {
		t.Parallel()
		conformance.BoundedSemaphore(t, func(_ context.Context, _ testing.TB, n int) tristrand.Semaphore {
			return cluster.NewBoundedSemaphore(c, name(), n)
		}, o)
	})
	t.Run("Event", func(t *testing.T) {
		t.Parallel()
		conformance.Event(t, func(context.Context, testing.TB) tristrand.Event { return cluster.NewEvent(c, name()) }, o)
	})
	t.Run("Condition", func(t *testing.T) {
		t.Parallel()
		conformance.Condition(t, conformance.ConditionMaker{
			Condition: func(_ context.Context, _ testing.TB, l tristrand.Locker) tristrand.Condition {
				return cluster.NewCondition(c, name(), l)
			},
			Lock: newLock, RLock: newRLock,
		}, o)
	})
	t.Run("Barrier", func(t *testing.T) {
		t.Parallel()
		conformance.Barrier(t, func(_ context.Context, _ testing.TB, n int, action func(context.Context) error) tristrand.Barrier {
			b := cluster.NewBarrier(c, name(), n)
			b.Action = action
			return b
		}, o)
	})
	t.Run("Queue", func(t *testing.T) {
		t.Parallel()
		conformance.Queue(t, func(_ context.Context, _ testing.TB, bound int) tristrand.Queue[int] {
			return cluster.NewQueue[int](c, name(), bound)
		}, o)
	})
}
