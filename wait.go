package tristrand

import (
	"context"
	"fmt"
	"iter"

	"github.com/tristrand/tristrand/strand"
)

// A Waitable is something that will be done: a Future, a thread, a process. One
// that is also a strand.Resource takes part in the wait-for graph.
type Waitable interface {
	// Done returns a channel that is closed when it is done.
	Done() <-chan struct{}
	// Watch grants w when it is done, at once if it is; waits made with it go
	// through the waist. stop ends the watch.
	Watch(w strand.Wait) (stop func())
}

// When says what Wait waits for.
type When int

// The conditions of Wait.
const (
	AllCompleted   When = iota
	FirstCompleted      // one is done
	FirstError          // one has failed, or all are done
)

// Wait waits until when holds of fs, in which duplicates count once, and returns
// those that are done and those that are not, in the order given. When ctx ends
// first it returns its error beside them. What is waited for goes on.
func Wait[F Waitable](ctx context.Context, when When, fs ...F) (done, pending []F, err error) {
	fs = unique(fs)
	s := strand.Enter(ctx, strand.Op{Verb: "wait"})
	if when == AllCompleted { // one after another, and not all again at each end
		for i := 0; i < len(fs) && err == nil; i++ {
			if !isDone(fs[i]) {
				err = await(ctx, s, fs[i:i+1])
			}
		}
	}
	for {
		done, pending = nil, nil
		failed := false
		for _, f := range fs {
			if isDone(f) {
				done = append(done, f)
				failed = failed || hasFailed(f)
			} else {
				pending = append(pending, f)
			}
		}
		if len(pending) == 0 || len(done) > 0 && when == FirstCompleted || failed && when == FirstError {
			return done, pending, nil
		}
		if err != nil {
			return done, pending, err
		}
		err = await(ctx, s, pending)
	}
}

// await waits until one of fs is done.
func await[F Waitable](ctx context.Context, s *strand.Strand, fs []F) error {
	if err := strand.Err(ctx); err != nil {
		return err
	}
	on := make(anyOf, len(fs))
	w := s.NewWait()
	for i, f := range fs {
		on[i] = resourceOf(f)
		defer f.Watch(w)()
	}
	return w.Park(ctx, on)
}

// AsCompleted yields fs, duplicates once, in the order in which they are done.
// When ctx ends first it yields, last, an error that says how many were not.
// Stopping early leaves the rest to go on.
func AsCompleted[F Waitable](ctx context.Context, fs ...F) iter.Seq2[F, error] {
	return func(yield func(F, error) bool) {
		fs := unique(fs)
		next := nextByScan(fs)
		if allArrive(fs) {
			var done arrivals
			defer done.leave()
			next = nextByArrival(&done, fs)
		}
		for left := len(fs); left > 0; left-- {
			f, err := next(ctx)
			if err != nil {
				yield(f, fmt.Errorf("tristrand: %d of %d unfinished: %w", left, len(fs), err))
				return
			}
			if !yield(f, nil) {
				return
			}
		}
	}
}

func allArrive[F Waitable](fs []F) bool {
	for _, f := range fs {
		if _, ok := any(f).(arriving); !ok {
			return false
		}
	}
	return true
}

func nextByArrival[F Waitable](done *arrivals, fs []F) func(context.Context) (F, error) {
	return func(ctx context.Context) (f F, err error) {
		for _, f := range fs {
			done.expect(ctx, any(f).(arriving)) //nolint:forcetypeassert // allArrive
		}
		fs = nil
		a, err := done.next(ctx)
		if err != nil {
			return f, err
		}
		return any(a).(F), nil //nolint:forcetypeassert // it was an F
	}
}

// nextByScan looks at all that are left each time: for what can only be watched.
func nextByScan[F Waitable](fs []F) func(context.Context) (F, error) {
	left := fs
	var ready []F
	return func(ctx context.Context) (f F, err error) {
		if len(ready) == 0 {
			if ready, left, err = Wait(ctx, FirstCompleted, left...); err != nil {
				return f, err
			}
		}
		f, ready = ready[0], ready[1:]
		return f, nil
	}
}

func unique[F Waitable](fs []F) []F {
	seen := make(map[any]struct{}, len(fs))
	out := make([]F, 0, len(fs))
	for _, f := range fs {
		if _, dup := seen[f]; !dup {
			seen[f] = struct{}{}
			out = append(out, f)
		}
	}
	return out
}

func isDone(f Waitable) bool {
	if o, ok := f.(interface{ isDone() bool }); ok {
		return o.isDone()
	}
	select {
	case <-f.Done():
		return true
	default:
		return false
	}
}

// hasFailed is for Waitables that can say so: futures, threads, processes.
func hasFailed(f Waitable) bool {
	o, ok := f.(interface{ Failed() bool })
	return ok && o.Failed()
}
