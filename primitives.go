package tristrand

import (
	"context"
	"time"

	"github.com/tristrand/tristrand/strand"
)

// The primitives have one interface in every scope. In each method ctx says who
// calls and how long they will wait, and a nil error means that it was done; a
// call that cannot be done leaves everything as it was. TryX never waits for
// another strand, and works with a ctx that has ended.

// A Locker is a lock with a holder: Lock, or RLock, which its holder may acquire
// again.
type Locker interface {
	// Acquire waits until the caller holds the lock. It returns ErrOwnerDied,
	// and the lock is not held, when its holder ended without releasing it; see
	// Recover. A wait that can never succeed is refused with *DeadlockError.
	Acquire(ctx context.Context) error
	// TryAcquire is Acquire that returns ErrBusy instead of waiting.
	TryAcquire(ctx context.Context) error
	// Recover is Acquire that also takes a lock whose holder died. What the
	// lock protects may have been left half done.
	Recover(ctx context.Context) error
	// Release gives the lock up. It returns ErrNotHeld when the caller does not
	// hold it. It works when ctx has ended.
	Release(ctx context.Context) error
	// State returns what the lock looked like at one moment.
	State(ctx context.Context) (LockState, error)
}

// A Semaphore counts what may be used at once: Semaphore, or BoundedSemaphore,
// whose count cannot rise above its first value.
type Semaphore interface {
	// Acquire waits until the count is above zero and takes one from it.
	Acquire(ctx context.Context) error
	// TryAcquire is Acquire that returns ErrBusy instead of waiting.
	TryAcquire(ctx context.Context) error
	// Release adds n, at least 1, to the count. A bounded one returns
	// ErrOverRelease, and nothing was released, when that is too many.
	Release(ctx context.Context, n int) error
	State(ctx context.Context) (SemaphoreState, error)
}

// An Event is a flag to wait for.
type Event interface {
	// Wait waits until the flag is set. Every strand that waits when Set is
	// called passes, even if Clear follows at once.
	Wait(ctx context.Context) error
	Set(ctx context.Context) error
	Clear(ctx context.Context) error
	State(ctx context.Context) (EventState, error)
}

// A Condition lets the holder of a lock wait for something that others change
// under the same lock.
type Condition interface {
	// Locker returns the lock.
	Locker() Locker
	// Wait releases the lock, all levels of it, waits for Notify, and acquires
	// the lock again whatever has become of ctx. The caller holds the lock on
	// return unless the error is ErrNotHeld.
	Wait(ctx context.Context) error
	// Notify wakes n of the strands that wait, the longest waiting first; all
	// with n < 0. It returns ErrNotHeld when the caller does not hold the lock.
	Notify(ctx context.Context, n int) error
	State(ctx context.Context) (ConditionState, error)
}

// A Barrier lets a number of parties wait for each other, again and again.
type Barrier interface {
	// Wait waits until all parties have called it and returns which of them,
	// from 0, the caller was. A party whose ctx ends breaks the barrier: all
	// get ErrBroken until Reset.
	Wait(ctx context.Context) (turn int, err error)
	// Abort breaks the barrier.
	Abort(ctx context.Context) error
	// Reset makes the barrier whole and empty; those who wait get ErrBroken.
	Reset(ctx context.Context) error
	State(ctx context.Context) (BarrierState, error)
}

// A Shutdown says what becomes of the items of a queue that is shut down.
type Shutdown int

// The ways to shut a queue down.
const (
	Drain   Shutdown = iota // they can still be got
	Discard                 // they are dropped
)

// A Queue hands items from strand to strand.
type Queue[T any] interface {
	// Put waits for room and puts v in. It returns ErrShutdown after Shutdown.
	Put(ctx context.Context, v T) error
	// TryPut is Put that returns ErrFull instead of waiting.
	TryPut(ctx context.Context, v T) error
	// Get waits for an item and takes it. It returns ErrShutdown once the queue
	// is shut down and empty.
	Get(ctx context.Context) (T, error)
	// TryGet is Get that returns ErrEmpty instead of waiting.
	TryGet(ctx context.Context) (T, error)
	// Shutdown refuses further Puts and wakes all who wait. Again is harmless;
	// Discard may follow Drain.
	Shutdown(ctx context.Context, how Shutdown) error
	State(ctx context.Context) (QueueState, error)
}

// A JoinableQueue also counts the items whose work is not done.
type JoinableQueue[T any] interface {
	Queue[T]
	// TaskDone says that the work on one item that was got is done. It returns
	// ErrOverRelease when called more often than items were put.
	TaskDone(ctx context.Context) error
	// Join waits until the work on every item that was put is done.
	Join(ctx context.Context) error
}

// A Value is one shared value.
type Value[T any] interface {
	Load(ctx context.Context) (T, error)
	Store(ctx context.Context, v T) error
	// Update replaces the value by f of it and returns the new one. f may run
	// more than once; its error leaves the value as it was.
	Update(ctx context.Context, f func(T) (T, error)) (T, error)
}

// A Holder is the strand that holds a lock.
type Holder struct {
	Ref        strand.Ref
	Name, Host string
	PID        int
	At         string    // dir/file.go:line of the acquisition
	Since      time.Time // no earlier than this; zero until somebody waits
}

// A LockState is what a lock looked like.
type LockState struct {
	Holder    *Holder // nil when nobody holds it
	Depth     int     // how often its holder has acquired it
	Waiting   int
	OwnerDied bool // its holder ended; Recover takes it
}

// A SemaphoreState is what a semaphore looked like.
type SemaphoreState struct {
	Free    int
	Bound   int // 0: none
	Waiting int
}

// An EventState is what an event looked like.
type EventState struct {
	Set     bool
	Waiting int
}

// A ConditionState is what a condition looked like.
type ConditionState struct{ Waiting int }

// A BarrierState is what a barrier looked like.
type BarrierState struct {
	Parties, Waiting int
	Broken           bool
}

// A QueueState is what a queue looked like.
type QueueState struct {
	Len, Cap         int // Cap 0: no bound
	Unfinished       int // put and not yet TaskDone
	Getting, Putting int // strands that wait
	Shutdown         bool
}
