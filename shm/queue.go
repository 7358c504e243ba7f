package shm

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/items"
	"github.com/tristrand/tristrand/internal/parcel"
	"github.com/tristrand/tristrand/internal/portable"
	"github.com/tristrand/tristrand/strand"
)

// A Queue hands items from strand to strand, of one process or of several: the
// first in is the first out. It is made by NewQueue, or arrives as a field of a
// task's input or output.
//
// Items are copied. Slices of bytes, and types without pointers, cross as they
// are; all others are encoded (CBOR, as the inputs of tasks), so in an interface
// an integer comes as int64. What cannot cross in bytes alone, such as a Lock or a
// Queue, is refused: send it in a task's input.
//
// Those who wait are woken first come first served; a newcomer may overtake. A
// process that is killed in the middle of a Put or a Get loses its own item at
// most, and keeps nobody waiting. What a process has taken and not finished when
// it is killed is not put back: Join waits for its TaskDone.
type Queue[T any] struct{ *line } // the encoder copies what it encodes

var _ tristrand.JoinableQueue[int] = (*Queue[int])(nil)

// NewQueue returns an empty queue that holds up to capacity items; 0 is no bound.
// In any case it holds up to 1 GiB; memory is taken as it is used and given back
// after a rush. It panics if capacity is below 0. The error says what of T cannot be
// sent, or is ErrUnsupported. The name, of which 40 bytes are kept, is shown in
// errors; "" shows a number.
func NewQueue[T any](name string, capacity int) (*Queue[T], error) {
	if capacity < 0 {
		panic(fmt.Sprintf("shm: a queue with a capacity of %d: it cannot be below 0, which is none", capacity))
	}
	if err := queueable[T](); err != nil {
		return nil, err
	}
	l, err := newLine(name, capacity, maxRing)
	if err != nil {
		return nil, err
	}
	return &Queue[T]{l}, nil
}

// queueable returns an error if a T cannot be an item.
func queueable[T any]() error {
	t := reflect.TypeFor[T]()
	if err := portable.Check(t); err != nil {
		return fmt.Errorf("shm: a queue of %v: an item cannot be sent: %w", t, err)
	}
	return nil
}

// Put waits for room and puts v in. It returns ErrShutdown after Shutdown, and
// another error for what cannot be sent or is larger than 1 GiB.
func (q *Queue[T]) Put(ctx context.Context, v T) error {
	s := strand.Enter(ctx, strand.Op{Verb: "put", On: q, Write: true})
	if ctx.Err() != nil {
		return strand.Err(ctx)
	}
	return encoded(&v, func(item []byte) error {
		err := q.tryPut(ctx, q.lock, item)
		if !errors.Is(err, errNoRoom) {
			return err
		}
		return q.putWaiting(ctx, q, s, item)
	})
}

// TryPut is Put that returns ErrFull instead of waiting.
func (q *Queue[T]) TryPut(ctx context.Context, v T) error {
	strand.Enter(ctx, strand.Op{Verb: "tryput", On: q, Write: true})
	return encoded(&v, func(item []byte) error {
		err := q.tryPut(over(), q.lockAnyway, item)
		if errors.Is(err, errNoRoom) {
			return fmt.Errorf("%w: %v", tristrand.ErrFull, q)
		}
		return err
	})
}

// Get waits for an item and takes it. It returns ErrShutdown once the queue is
// shut down and empty.
func (q *Queue[T]) Get(ctx context.Context) (T, error) {
	s := strand.Enter(ctx, strand.Op{Verb: "get", On: q, Write: true})
	if ctx.Err() != nil {
		var none T
		return none, strand.Err(ctx)
	}
	return decoded[T](func(buf []byte) ([]byte, error) {
		item, err := q.tryGet(ctx, q.lock, buf)
		if !errors.Is(err, errNothing) {
			return item, err
		}
		return q.getWaiting(ctx, q, s, buf)
	})
}

// TryGet is Get that returns ErrEmpty instead of waiting.
func (q *Queue[T]) TryGet(ctx context.Context) (T, error) {
	strand.Enter(ctx, strand.Op{Verb: "tryget", On: q, Write: true})
	return decoded[T](func(buf []byte) ([]byte, error) {
		item, err := q.tryGet(over(), q.lockAnyway, buf)
		if errors.Is(err, errNothing) {
			return nil, fmt.Errorf("%w: %v", tristrand.ErrEmpty, q)
		}
		return item, err
	})
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
	return q.taskDone(ctx)
}

// Join waits until the work on every item that was put is done.
func (q *Queue[T]) Join(ctx context.Context) error {
	s := strand.Enter(ctx, strand.Op{Verb: "join", On: q})
	if ctx.Err() != nil {
		return strand.Err(ctx)
	}
	return q.join(ctx, q, s)
}

// Shutdown refuses further Puts and wakes all who wait; with Discard it drops
// the items, which count as done. Again is harmless; Discard may follow Drain.
func (q *Queue[T]) Shutdown(ctx context.Context, how tristrand.Shutdown) error {
	strand.Enter(ctx, strand.Op{Verb: "shutdown", On: q, Write: true})
	return q.shutdown(ctx, how == tristrand.Discard)
}

// State returns what the queue looks like. It does not wait.
func (q *Queue[T]) State(context.Context) (tristrand.QueueState, error) { return q.state() }

// Close gives the queue up in this process; see the package's comment. What is in
// it stays for the other processes.
func (q *Queue[T]) Close() error { return q.close() }

// String names the queue for errors.
func (q *Queue[T]) String() string { return q.lineName() }

// Releasers says that anyone could put or get.
func (q *Queue[T]) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) { return buf, false }

// Carry makes the queue's memory go along with a job; engines call it.
func (q *Queue[T]) Carry(p *parcel.Parcel) error { return q.carry(p) }

func queueTag[T any]() string { return "Queue[" + typeName(reflect.TypeFor[T]()) + "]" }

// MarshalCBOR encodes where the queue is.
func (q *Queue[T]) MarshalCBOR() ([]byte, error) { return q.encode(queueTag[T]()) }

// UnmarshalCBOR makes q the queue that was encoded.
func (q *Queue[T]) UnmarshalCBOR(data []byte) error {
	if err := queueable[T](); err != nil {
		return err
	}
	l, err := decodeLine(data, queueTag[T]())
	if err == nil {
		err = q.Close()
		q.line = l
	}
	return err
}
