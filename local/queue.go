package local

import (
	"context"
	"fmt"
	"iter"
	"sync"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/items"
	"github.com/tristrand/tristrand/strand"
)

// A Queue hands items from strand to strand: the first in first, or the last, or
// the least, as it was made. The zero value is first in first out and has no
// bound. Those who wait are served first come first served.
type Queue[T any] struct {
	// Name is shown in errors; "" shows the address.
	Name string

	bound int // 0: none

	mu         sync.Mutex // guards the rest
	items      store[T]
	reserved   int // room for putters that have been granted and have not run; with less only
	getters    waiters
	putters    waiters
	joiners    waiters
	unfinished int
	shutdown   bool
}

var _ tristrand.JoinableQueue[int] = (*Queue[int])(nil)

// NewQueue returns a queue that gives the first in first. It holds up to bound
// items; 0 is no bound. It panics if bound is below 0.
func NewQueue[T any](bound int) *Queue[T] { return newQueue(bound, store[T]{}) }

// NewLIFO returns a queue that gives the last in first.
func NewLIFO[T any](bound int) *Queue[T] { return newQueue(bound, store[T]{lifo: true}) }

// NewPriority returns a queue that gives the least first, by less, and of equals
// the first in. less must be quick and must not use the queue; if it panics the
// Put or Get that called it panics and has changed nothing.
func NewPriority[T any](bound int, less func(a, b T) bool) *Queue[T] {
	if less == nil {
		panic("local: NewPriority: less is nil")
	}
	return newQueue(bound, store[T]{less: less})
}

func newQueue[T any](bound int, s store[T]) *Queue[T] {
	if bound < 0 {
		panic(fmt.Sprintf("local: a queue with a bound of %d: it cannot be below 0, which is none", bound))
	}
	return &Queue[T]{bound: bound, items: s}
}

// Put waits for room and puts v in. It returns ErrShutdown after Shutdown.
func (q *Queue[T]) Put(ctx context.Context, v T) error {
	s := strand.Enter(ctx, strand.Op{Verb: "put", On: q, Write: true})
	if ctx.Err() != nil {
		return strand.Err(ctx)
	}
	q.mu.Lock()
	if q.shutdown {
		q.mu.Unlock()
		return q.errShutdown()
	}
	if q.put(v) {
		return nil
	}
	n := newWaiter(s.NewWait())
	*cellOf[T](n) = v
	q.putters.pushBack(n)
	q.mu.Unlock()
	if err := n.w.Park(ctx, q); err != nil {
		q.leave(&q.putters, n)
		return err
	}
	got := n.got
	take[T](n)
	switch got {
	case passed: // whoever made room has put it in
		return nil
	case retry:
		return q.putReserved(v)
	default:
		return q.errShutdown()
	}
}

// putReserved puts v in where room has been kept for it.
func (q *Queue[T]) putReserved(v T) error {
	q.mu.Lock()
	q.reserved--
	if q.shutdown {
		q.mu.Unlock()
		return q.errShutdown()
	}
	q.put(v)
	q.mu.Lock()
	w := q.admit() // if a getter has it, the room is another's
	q.mu.Unlock()
	w.Wake()
	return nil
}

// TryPut is Put that returns ErrFull instead of waiting.
func (q *Queue[T]) TryPut(ctx context.Context, v T) error {
	strand.Enter(ctx, strand.Op{Verb: "tryput", On: q, Write: true})
	q.mu.Lock()
	if q.shutdown {
		q.mu.Unlock()
		return q.errShutdown()
	}
	if q.put(v) {
		return nil
	}
	defer q.mu.Unlock()
	return fmt.Errorf("%w: %v holds %d", tristrand.ErrFull, q, q.bound)
}

// unlockOnPanic is deferred around less, which is the user's.
func (q *Queue[T]) unlockOnPanic() {
	if v := recover(); v != nil {
		q.mu.Unlock()
		panic(v)
	}
}

// put gives v to a getter that waits, or puts it in if there is room, and unlocks
// mu; it returns false, and leaves mu locked, if there is none. Getters wait only
// while there is no item, so that none is overtaken.
func (q *Queue[T]) put(v T) bool {
	for n := q.getters.pop(); n != nil; n = q.getters.pop() {
		*cellOf[T](n), n.got = v, passed
		if w := n.w; w.Settle() {
			q.unfinished++
			q.mu.Unlock()
			w.Wake()
			return true
		}
	}
	if q.bound > 0 && q.items.len()+q.reserved >= q.bound {
		return false
	}
	if q.items.less != nil {
		defer q.unlockOnPanic()
	}
	q.items.push(v)
	q.unfinished++
	q.mu.Unlock()
	return true
}

// Get waits for an item and takes it. It returns ErrShutdown once the queue is
// shut down and empty.
func (q *Queue[T]) Get(ctx context.Context) (T, error) {
	s := strand.Enter(ctx, strand.Op{Verb: "get", On: q, Write: true})
	var none T
	if ctx.Err() != nil {
		return none, strand.Err(ctx)
	}
	q.mu.Lock()
	if q.items.len() > 0 {
		return q.get(), nil
	}
	if q.shutdown {
		q.mu.Unlock()
		return none, q.errShutdown()
	}
	n := newWaiter(s.NewWait())
	q.getters.pushBack(n)
	q.mu.Unlock()
	if err := n.w.Park(ctx, q); err != nil {
		q.leave(&q.getters, n)
		return none, err
	}
	got := n.got
	if v := take[T](n); got == passed {
		return v, nil
	}
	return none, q.errShutdown()
}

// TryGet is Get that returns ErrEmpty instead of waiting.
func (q *Queue[T]) TryGet(ctx context.Context) (T, error) {
	strand.Enter(ctx, strand.Op{Verb: "tryget", On: q, Write: true})
	q.mu.Lock()
	if q.items.len() > 0 {
		return q.get(), nil
	}
	defer q.mu.Unlock()
	var none T
	if q.shutdown {
		return none, q.errShutdown()
	}
	return none, fmt.Errorf("%w: %v", tristrand.ErrEmpty, q)
}

// get takes an item, lets a putter in, and unlocks mu.
func (q *Queue[T]) get() T {
	if q.items.less != nil {
		defer q.unlockOnPanic()
	}
	v := q.items.pop()
	w := q.admit()
	q.mu.Unlock()
	w.Wake()
	return v
}

// admit puts the item of the first putter that waits in, if there is room, and
// returns its wait, to be woken. Where less has to be asked the putter does so itself,
// as less may panic. The caller holds mu.
func (q *Queue[T]) admit() strand.Wait {
	for q.putters.n > 0 && q.items.len()+q.reserved < q.bound {
		n := q.putters.pop()
		w, item := n.w, *cellOf[T](n) // it is the putter's again, once that is settled
		n.got = passed
		if q.items.less != nil {
			n.got = retry
		}
		switch {
		case !w.Settle():
			continue
		case q.items.less != nil:
			q.reserved++
		default:
			q.items.push(item)
			q.unfinished++
		}
		return w
	}
	return strand.Wait{}
}

// leave takes n, whose wait has ended without a grant, out of a queue.
func (q *Queue[T]) leave(from *waiters, n *waiter) {
	q.mu.Lock()
	from.remove(n)
	q.mu.Unlock()
}

// All yields items as Get gives them, until the queue is shut down and empty;
// when ctx ends it yields its error, last.
func (q *Queue[T]) All(ctx context.Context) iter.Seq2[T, error] {
	return items.All(ctx, q.Get)
}

// TaskDone says that the work on one item is done. It returns ErrOverRelease if
// it has been called as often as items were put.
func (q *Queue[T]) TaskDone(ctx context.Context) error {
	strand.Enter(ctx, strand.Op{Verb: "taskdone", On: q, Write: true})
	q.mu.Lock()
	if q.unfinished == 0 {
		q.mu.Unlock()
		return fmt.Errorf("%w: %v: TaskDone with no item unfinished", tristrand.ErrOverRelease, q)
	}
	q.finish(1)
	return nil
}

// finish counts n items as done and unlocks mu.
func (q *Queue[T]) finish(n int) {
	q.unfinished -= n
	var all []*waiter
	if q.unfinished == 0 {
		all = q.joiners.popAll()
	}
	q.mu.Unlock()
	grant(all, passed)
}

// Join waits until the work on every item that was put is done.
func (q *Queue[T]) Join(ctx context.Context) error {
	s := strand.Enter(ctx, strand.Op{Verb: "join", On: q})
	if ctx.Err() != nil {
		return strand.Err(ctx)
	}
	q.mu.Lock()
	if q.unfinished == 0 {
		q.mu.Unlock()
		return nil
	}
	n := &waiter{w: s.NewWait()}
	q.joiners.pushBack(n)
	q.mu.Unlock()
	err := n.w.Park(ctx, q)
	if err != nil {
		q.leave(&q.joiners, n)
	}
	return err
}

// Shutdown refuses further Puts and wakes all who wait; with Discard it drops
// the items, which count as done. Again is harmless; Discard may follow Drain.
func (q *Queue[T]) Shutdown(ctx context.Context, how tristrand.Shutdown) error {
	strand.Enter(ctx, strand.Op{Verb: "shutdown", On: q, Write: true})
	q.mu.Lock()
	q.shutdown = true
	all := append(q.getters.popAll(), q.putters.popAll()...)
	if how == tristrand.Discard {
		dropped := min(q.items.clear(), q.unfinished)
		q.finish(dropped) // unlocks
	} else {
		q.mu.Unlock()
	}
	grant(all, died)
	return nil
}

// State returns what the queue looks like. It does not wait.
func (q *Queue[T]) State(context.Context) (tristrand.QueueState, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return tristrand.QueueState{
		Len: q.items.len(), Cap: q.bound, Unfinished: q.unfinished,
		Getting: q.getters.n, Putting: q.putters.n, Shutdown: q.shutdown,
	}, nil
}

func (q *Queue[T]) errShutdown() error { return fmt.Errorf("%w: %v", tristrand.ErrShutdown, q) }

// String names the queue for errors.
func (q *Queue[T]) String() string { return nameOf("queue", q.Name, q) }

// Releasers says that anyone could put or get.
func (q *Queue[T]) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) { return buf, false }
