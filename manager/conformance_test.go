package manager_test

import (
	"context"
	"errors"
	"testing"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/conformance"
	"github.com/tristrand/tristrand/manager"
)

// dial connects to a server until the test ends.
func dial(tb testing.TB, address string) *manager.Client {
	tb.Helper()
	c, err := manager.Dial(tb.Context(), address, manager.DialOptions{AuthKey: testKey})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := c.Close(); err != nil {
			tb.Errorf("Close: %v", err)
		}
	})
	return c
}

// shared returns a client of a server of the test's own.
func shared(t *testing.T) *manager.Client {
	t.Helper()
	return dial(t, serve(t, &manager.Server{AuthKey: testKey}, t.TempDir()+"/s").String())
}

// made returns a new object, or panics as the suites want it for arguments that
// make no sense.
func made[T any](tb testing.TB) func(T, error) T {
	return func(o T, err error) T {
		tb.Helper()
		if e, ok := errors.AsType[*manager.PythonError](err); ok {
			panic(e)
		}
		if err != nil {
			tb.Errorf("making an object: %v", err)
		}
		return o
	}
}

// onTheWire is for objects that do real input and output.
func onTheWire(skip map[string]string) conformance.Options {
	return conformance.Options{Worlds: []conformance.World{conformance.RealTime}, Skip: skip}
}

func TestLock(t *testing.T) {
	c := shared(t)
	conformance.Lock(t, func(ctx context.Context, tb testing.TB) tristrand.Locker {
		return made[*manager.Lock](tb)(manager.NewLock(ctx, c))
	}, onTheWire(nil))
}

func TestRLock(t *testing.T) {
	c := shared(t)
	conformance.RLock(t, func(ctx context.Context, tb testing.TB) tristrand.Locker {
		return made[*manager.RLock](tb)(manager.NewRLock(ctx, c))
	}, onTheWire(nil))
}

func TestSemaphore(t *testing.T) {
	c := shared(t)
	conformance.Semaphore(t, func(ctx context.Context, tb testing.TB, n int) tristrand.Semaphore {
		return made[*manager.Semaphore](tb)(manager.NewSemaphore(ctx, c, n))
	}, onTheWire(nil))
}

func TestBoundedSemaphore(t *testing.T) {
	c := shared(t)
	conformance.BoundedSemaphore(t, func(ctx context.Context, tb testing.TB, n int) tristrand.Semaphore {
		return made[*manager.BoundedSemaphore](tb)(manager.NewBoundedSemaphore(ctx, c, n))
	}, onTheWire(nil))
}

func TestEvent(t *testing.T) {
	c := shared(t)
	conformance.Event(t, func(ctx context.Context, tb testing.TB) tristrand.Event {
		return made[*manager.Event](tb)(manager.NewEvent(ctx, c))
	}, onTheWire(nil))
}

func TestCondition(t *testing.T) {
	c := shared(t)
	conformance.Condition(t, conformance.ConditionMaker{
		Condition: func(ctx context.Context, tb testing.TB, l tristrand.Locker) tristrand.Condition {
			return made[*manager.Condition](tb)(manager.NewCondition(ctx, c, l))
		},
		Lock: func(ctx context.Context, tb testing.TB) tristrand.Locker {
			return made[*manager.Lock](tb)(manager.NewLock(ctx, c))
		},
		RLock: func(ctx context.Context, tb testing.TB) tristrand.Locker {
			return made[*manager.RLock](tb)(manager.NewRLock(ctx, c))
		},
	}, onTheWire(nil))
}

func TestBarrier(t *testing.T) {
	c := shared(t)
	const none = "a barrier on a server has no action: it would run in the server"
	conformance.Barrier(t, func(ctx context.Context, tb testing.TB, parties int, action func(context.Context) error) tristrand.Barrier {
		return made[*manager.Barrier](tb)(manager.NewBarrier(ctx, c, parties))
	}, onTheWire(map[string]string{
		"the action runs once a pass, before anyone goes on": none,
		"an action that fails breaks it":                     none,
		"an action that panics breaks it":                    none,
	}))
}

func TestQueue(t *testing.T) {
	c := shared(t)
	conformance.Queue(t, func(ctx context.Context, tb testing.TB, bound int) tristrand.Queue[int] {
		return made[*manager.Queue[int]](tb)(manager.NewQueue[int](ctx, c, notBelowZero(bound)))
	}, onTheWire(nil))
}

func TestLIFO(t *testing.T) {
	c := shared(t)
	conformance.LIFO(t, func(ctx context.Context, tb testing.TB, bound int) tristrand.Queue[int] {
		return made[*manager.Queue[int]](tb)(manager.NewLIFO[int](ctx, c, notBelowZero(bound)))
	}, onTheWire(nil))
}

func TestPriority(t *testing.T) {
	c := shared(t)
	conformance.Priority(t, func(ctx context.Context, tb testing.TB, bound int) tristrand.Queue[int] {
		return made[*manager.Queue[int]](tb)(manager.NewPriority[int](ctx, c, notBelowZero(bound)))
	}, onTheWire(nil))
}

// notBelowZero panics for a bound below 0, which is none to Python.
func notBelowZero(bound int) int {
	if bound < 0 {
		panic("a bound below 0")
	}
	return bound
}
