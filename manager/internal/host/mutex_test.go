package host

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

type contextOf = context.Context

// waiting is a call of an owner that may wait.
func waiting(ctx context.Context, o *Owner, args ...any) *Call {
	return &Call{Owner: o, Args: args, Wait: func() (_, _ context.Context, err error) { return ctx, ctx, nil }}
}

func newMutex(t *testing.T, l *Locks, reentrant bool) *Mutex {
	t.Helper()
	o, err := NewLock(l, reentrant)(alone(new(Owner)))
	return made(t, o, err).(*Mutex)
}

func take(t *testing.T, m *Mutex, o *Owner) {
	t.Helper()
	if v, err := m.Call(alone(o), "acquire"); v != true || err != nil {
		t.Fatalf("%s takes %v: %v, %v", o.Name, m, v, err)
	}
}

// queued has an owner wait for a lock, and returns when it does.
func queued(t *testing.T, m *Mutex, o *Owner, method string) <-chan error {
	t.Helper()
	m.locks.mu.Lock()
	before := len(m.queue)
	m.locks.mu.Unlock()
	done := make(chan error, 1)
	strand.Go(t.Context(), strand.Options{Kind: strand.Thread, Name: o.Name}, func(ctx context.Context) {
		v, err := m.Call(waiting(ctx, o), method)
		if err == nil && v != true {
			err = errors.New("it was not taken, without an error")
		}
		done <- err
	})
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		m.locks.mu.Lock()
		n := len(m.queue)
		m.locks.mu.Unlock()
		if n > before {
			return done
		}
		if time.Since(began) > 30*time.Second {
			t.Fatalf("%s does not wait for %v", o.Name, m)
		}
	}
}

func TestWhoMayRelease(t *testing.T) {
	l := new(Locks)
	python, other, goes := &Owner{Name: "python"}, &Owner{Name: "other"}, &Owner{Name: "go", Go: true}
	lock, rlock := newMutex(t, l, false), newMutex(t, l, true)
	take(t, lock, python)
	if err := second(lock.Call(alone(other), "release")); err != nil {
		t.Errorf("a Lock of Python's, released by another session: %v", err)
	}
	if err := second(lock.Call(alone(other), "release")); !errors.Is(err, tristrand.ErrNotHeld) {
		t.Errorf("a free lock is released: %v", err)
	}
	take(t, lock, goes)
	if err := second(lock.Call(alone(python), "release")); !errors.Is(err, tristrand.ErrNotHeld) {
		t.Errorf("a Go program's lock, released by a Python program: %v", err)
	}
	take(t, rlock, python)
	take(t, rlock, python)
	if err := second(rlock.Call(alone(other), "release")); !errors.Is(err, tristrand.ErrNotHeld) {
		t.Errorf("an RLock, released by another: %v", err)
	}
	if v, err := rlock.Call(alone(other, false), "acquire"); v != false || err != nil {
		t.Errorf("an RLock that another holds: %v, %v", v, err)
	}
}

// Those who wait are served in order. When the holder is gone, Python's waiter
// gets the lock; a Go program's is told, unless it wants to recover it.
func TestWaitersOfALock(t *testing.T) {
	l := new(Locks)
	holder := &Owner{Name: "holder"}
	m := newMutex(t, l, false)
	take(t, m, holder)
	one := &Owner{Name: "one"}
	first := queued(t, m, one, "acquire")
	second := queued(t, m, &Owner{Name: "go", Go: true}, "acquire")
	third := queued(t, m, &Owner{Name: "recovers", Go: true}, "recover")
	l.End(holder)
	if err := <-first; err != nil {
		t.Errorf("the first, Python's, whose predecessor is gone: %v", err)
	}
	l.End(one)
	if err := <-second; !errors.Is(err, tristrand.ErrOwnerDied) {
		t.Errorf("the second, Go's: %v", err)
	}
	if err := <-third; err != nil {
		t.Errorf("the third, who recovers it: %v", err)
	}
}

// A wait in a circle is refused, with the circle; one with a deadline, or of an
// owner without a name, is not.
func TestDeadlockOfOwners(t *testing.T) {
	l := new(Locks)
	a, b := &Owner{Name: "a", Go: true}, &Owner{Name: "b", Go: true}
	x, y := newMutex(t, l, false), newMutex(t, l, false)
	x.SetName("x")
	y.SetName("y")
	take(t, x, a)
	take(t, y, b)
	done := queued(t, y, a, "acquire")
	ctx, end := strand.Adopt(t.Context(), "b")
	defer end()
	_, err := x.Call(waiting(ctx, b), "acquire")
	dead, ok := errors.AsType[*tristrand.DeadlockError](err)
	if !ok || len(dead.Cycle) != 2 || dead.Cycle[0].Holder != "a" || dead.Cycle[1].Holder != "b" {
		t.Errorf("b waits for a, who waits for b: %v", err)
	}
	if v, err := x.Call(waiting(ctx, b, true, 0.01), "acquire"); v != false || err != nil {
		t.Errorf("with a deadline: %v, %v", v, err)
	}
	if err := second(y.Call(alone(b), "release")); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("a, once b has given it up: %v", err)
	}
}

// What was taken for a client that is gone is there again: also when the queue
// has been filled meanwhile.
func TestUndoOfGet(t *testing.T) {
	o, err := NewQueue("Queue")(alone(new(Owner), int64(1)))
	q := made(t, o, err).(*Queue)
	put := func(v any) {
		if err := second(q.Call(alone(new(Owner), v), "put")); err != nil {
			t.Fatalf("put %v: %v", v, err)
		}
	}
	put("one")
	v, err := q.Call(alone(new(Owner)), "get")
	if v != "one" || err != nil {
		t.Fatalf("get: %v, %v", v, err)
	}
	put("two")
	q.Undo("get", v)
	if n, err := q.Call(alone(new(Owner)), "qsize"); n != int64(2) || err != nil {
		t.Errorf("the queue has %v items, %v", n, err)
	}
	for _, want := range []any{"one", "two"} {
		if v, err := q.Call(alone(new(Owner)), "get"); v != want || err != nil {
			t.Errorf("get: %v, %v; want %v", v, err, want)
		}
	}
	if err := second(q.Call(alone(new(Owner)), "get")); !errors.Is(err, ErrWouldWait) {
		t.Errorf("an empty queue: %v", err)
	}
	for range 2 {
		if err := second(q.Call(alone(new(Owner)), "task_done")); err != nil {
			t.Error(err)
		}
	}
	if p, ok := AsException(second(q.Call(alone(new(Owner)), "task_done"))); !ok || p.Type.Name != "ValueError" {
		t.Errorf("task_done() once more than items were put: %v", p)
	}
}
