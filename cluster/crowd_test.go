//go:build unix

package cluster_test

import (
	"context"
	"fmt"
	"maps"
	"sync/atomic"
	"testing"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/cluster"
	"github.com/tristrand/tristrand/conformance"
	"github.com/tristrand/tristrand/strand"
)

// A crowd is one primitive as the members of a cluster have it that have nothing in common but
// the servers: each strand uses the handle of one member, with a connection and a lease of its
// own, as strands of different processes do.
type crowd[T any] []T

func (c crowd[T]) of(ctx context.Context) T {
	return c[uint64(strand.Current(ctx).ID())%uint64(len(c))]
}

func crowdOf[T any](members []*cluster.Cluster, handle func(c *cluster.Cluster) T) crowd[T] {
	var all crowd[T]
	for _, c := range members {
		all = append(all, handle(c))
	}
	return all
}

type crowdLock struct{ crowd[tristrand.LeasedLocker] }

func (l *crowdLock) Acquire(ctx context.Context) error    { return l.of(ctx).Acquire(ctx) }
func (l *crowdLock) TryAcquire(ctx context.Context) error { return l.of(ctx).TryAcquire(ctx) }
func (l *crowdLock) Recover(ctx context.Context) error    { return l.of(ctx).Recover(ctx) }
func (l *crowdLock) Release(ctx context.Context) error    { return l.of(ctx).Release(ctx) }
func (l *crowdLock) State(ctx context.Context) (tristrand.LockState, error) {
	return l.of(ctx).State(ctx)
}

type crowdSemaphore struct{ crowd[tristrand.Semaphore] }

func (s *crowdSemaphore) Acquire(ctx context.Context) error        { return s.of(ctx).Acquire(ctx) }
func (s *crowdSemaphore) TryAcquire(ctx context.Context) error     { return s.of(ctx).TryAcquire(ctx) }
func (s *crowdSemaphore) Release(ctx context.Context, n int) error { return s.of(ctx).Release(ctx, n) }
func (s *crowdSemaphore) State(ctx context.Context) (tristrand.SemaphoreState, error) {
	return s.of(ctx).State(ctx)
}

type crowdEvent struct{ crowd[tristrand.Event] }

func (e *crowdEvent) Wait(ctx context.Context) error  { return e.of(ctx).Wait(ctx) }
func (e *crowdEvent) Set(ctx context.Context) error   { return e.of(ctx).Set(ctx) }
func (e *crowdEvent) Clear(ctx context.Context) error { return e.of(ctx).Clear(ctx) }
func (e *crowdEvent) State(ctx context.Context) (tristrand.EventState, error) {
	return e.of(ctx).State(ctx)
}

type crowdCondition struct {
	crowd[tristrand.Condition]
	lock tristrand.Locker
}

func (c *crowdCondition) Locker() tristrand.Locker                { return c.lock }
func (c *crowdCondition) Wait(ctx context.Context) error          { return c.of(ctx).Wait(ctx) }
func (c *crowdCondition) Notify(ctx context.Context, n int) error { return c.of(ctx).Notify(ctx, n) }
func (c *crowdCondition) State(ctx context.Context) (tristrand.ConditionState, error) {
	return c.of(ctx).State(ctx)
}

type crowdBarrier struct{ crowd[tristrand.Barrier] }

func (b *crowdBarrier) Wait(ctx context.Context) (int, error) { return b.of(ctx).Wait(ctx) }
func (b *crowdBarrier) Abort(ctx context.Context) error       { return b.of(ctx).Abort(ctx) }
func (b *crowdBarrier) Reset(ctx context.Context) error       { return b.of(ctx).Reset(ctx) }
func (b *crowdBarrier) State(ctx context.Context) (tristrand.BarrierState, error) {
	return b.of(ctx).State(ctx)
}

type crowdQueue struct{ crowd[*cluster.Queue[int]] }

func (q *crowdQueue) Put(ctx context.Context, v int) error    { return q.of(ctx).Put(ctx, v) }
func (q *crowdQueue) TryPut(ctx context.Context, v int) error { return q.of(ctx).TryPut(ctx, v) }
func (q *crowdQueue) Get(ctx context.Context) (int, error)    { return q.of(ctx).Get(ctx) }
func (q *crowdQueue) TryGet(ctx context.Context) (int, error) { return q.of(ctx).TryGet(ctx) }
func (q *crowdQueue) TaskDone(ctx context.Context) error      { return q.of(ctx).TaskDone(ctx) }
func (q *crowdQueue) Join(ctx context.Context) error          { return q.of(ctx).Join(ctx) }
func (q *crowdQueue) Shutdown(ctx context.Context, how tristrand.Shutdown) error {
	return q.of(ctx).Shutdown(ctx, how)
}
func (q *crowdQueue) State(ctx context.Context) (tristrand.QueueState, error) {
	return q.of(ctx).State(ctx)
}

// TestPrimitivesOfSeveralMembers runs the suites with strands that share nothing but the
// servers.
func TestPrimitivesOfSeveralMembers(t *testing.T) {
	t.Parallel()
	_, url := startServer(t, t.TempDir(), "127.0.0.1:0", "process")
	var members []*cluster.Cluster
	for range 3 { // in a namespace with a lease that a busy machine does not overrun
		members = append(members, open(t, cluster.Options{URLs: []string{url}, Namespace: "crowd"}))
	}
	var n atomic.Int64
	name := func() string { return fmt.Sprint("x.", n.Add(1)) }
	o := conformance.Options{Worlds: []conformance.World{conformance.RealTime}}
	lock := func(name string) tristrand.Locker {
		return &crowdLock{crowdOf(members, func(c *cluster.Cluster) tristrand.LeasedLocker { return cluster.NewLock(c, name) })}
	}
	rlock := func(name string) tristrand.Locker {
		return &crowdLock{crowdOf(members, func(c *cluster.Cluster) tristrand.LeasedLocker { return cluster.NewRLock(c, name) })}
	}
	const (
		place = "the place of the acquisition is in the crowd's methods; see TestPrimitives"
		other = "strands of other members are told apart by their hosts; see TestDeadlockAcrossProcesses"
	)
	locks, rlocks := o, o
	rlocks.Skip = map[string]string{
		"State tells who holds it, since when, and who waits":                   place,
		"a deadlock of two is refused once, with the cycle":                     other,
		"a deadlock of three is refused once, with the cycle":                   other,
		"one who waits for a deadlock is not its victim's":                      place,
		"with a deadline in it there is no deadlock, and the time-out says why": place,
		"the deadline may be that of the last to wait":                          place,
	}
	locks.Skip = maps.Clone(rlocks.Skip)
	locks.Skip["to acquire it twice is refused"] = place
	for _, name := range []string{"locks taken in order are never refused", "a storm of time-outs leaves it usable"} {
		rlocks.Skip[name] = "it takes long, and is the same for locks"
	}
	newLock := func(context.Context, testing.TB) tristrand.Locker { return lock(name()) }
	newRLock := func(context.Context, testing.TB) tristrand.Locker { return rlock(name()) }
	t.Run("Lock", func(t *testing.T) {
		t.Parallel()
		conformance.Lock(t, newLock, locks)
	})
	t.Run("RLock", func(t *testing.T) {
		t.Parallel()
		conformance.RLock(t, newRLock, rlocks)
	})
	t.Run("Semaphore", func(t *testing.T) {
		t.Parallel()
		conformance.Semaphore(t, func(_ context.Context, _ testing.TB, n int) tristrand.Semaphore {
			name := name()
			return &crowdSemaphore{crowdOf(members, func(c *cluster.Cluster) tristrand.Semaphore { return cluster.NewSemaphore(c, name, n) })}
		}, o)
	})
	t.Run("BoundedSemaphore", func(t *testing.T) {
		t.Parallel()
		conformance.BoundedSemaphore(t, func(_ context.Context, _ testing.TB, n int) tristrand.Semaphore {
			name := name()
			return &crowdSemaphore{crowdOf(members, func(c *cluster.Cluster) tristrand.Semaphore { return cluster.NewBoundedSemaphore(c, name, n) })}
		}, o)
	})
	t.Run("Event", func(t *testing.T) {
		t.Parallel()
		conformance.Event(t, func(context.Context, testing.TB) tristrand.Event {
			name := name()
			return &crowdEvent{crowdOf(members, func(c *cluster.Cluster) tristrand.Event { return cluster.NewEvent(c, name) })}
		}, o)
	})
	t.Run("Condition", func(t *testing.T) {
		t.Parallel()
		conformance.Condition(t, conformance.ConditionMaker{Condition: func(_ context.Context, _ testing.TB, l tristrand.Locker) tristrand.Condition {
			name := name()
			if l == nil {
				l = rlock(name)
			}
			locks := l.(*crowdLock).crowd //nolint:forcetypeassert // ours
			var all crowd[tristrand.Condition]
			for i, c := range members {
				all = append(all, cluster.NewCondition(c, name, locks[i]))
			}
			return &crowdCondition{all, l}
		}, Lock: newLock, RLock: newRLock}, o)
	})
	t.Run("Barrier", func(t *testing.T) {
		t.Parallel()
		conformance.Barrier(t, func(_ context.Context, _ testing.TB, n int, action func(context.Context) error) tristrand.Barrier {
			name := name()
			return &crowdBarrier{crowdOf(members, func(c *cluster.Cluster) tristrand.Barrier {
				b := cluster.NewBarrier(c, name, n)
				b.Action = action
				return b
			})}
		}, o)
	})
	t.Run("Queue", func(t *testing.T) {
		t.Parallel()
		conformance.Queue(t, func(_ context.Context, _ testing.TB, bound int) tristrand.Queue[int] {
			name := name()
			return &crowdQueue{crowdOf(members, func(c *cluster.Cluster) *cluster.Queue[int] { return cluster.NewQueue[int](c, name, bound) })}
		}, o)
	})
}
