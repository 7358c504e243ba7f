package crew

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// DefaultGrace is how long Close waits, when its ctx has ended, for jobs that it has
// asked to stop.
const DefaultGrace = 5 * time.Second

// An Ending is the Close of a pool. It is guarded by the pool's mutex.
type Ending struct {
	first  *strand.Strand // that called Close
	others []strand.Wait  // of the other Closes, until the first has its answer
	closed bool           // it has
	err    error
	waits  []strand.Wait // for the last worker to be gone
}

// Close ends the pool that is named by end, once: those who close it again wait for
// the first and get its answer. It is called without mu.
func (e *Ending) Close(ctx context.Context, mu *sync.Mutex, of fmt.Stringer, end func() error) error {
	mu.Lock()
	if e.first != nil {
		return e.again(ctx, mu, of) // unlocks
	}
	e.first = strand.Current(ctx)
	mu.Unlock()
	err := end()
	mu.Lock()
	e.closed, e.err = true, err
	others := e.others
	e.others = nil
	mu.Unlock()
	Grant(others)
	return err
}

func (e *Ending) again(ctx context.Context, mu *sync.Mutex, of fmt.Stringer) error {
	if !e.closed {
		w := strand.Current(ctx).NewWait()
		e.others = append(e.others, w)
		mu.Unlock()
		if err := w.Park(ctx, answer{e.first, of}); err != nil {
			return err
		}
		mu.Lock()
	}
	defer mu.Unlock()
	return e.err
}

// answer is what a second Close waits for: that the first one returns.
type answer struct {
	by *strand.Strand
	of fmt.Stringer
}

func (a answer) String() string { return "the close of " + a.of.String() }

func (a answer) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) {
	if a.by.ID() == 0 {
		return buf, false
	}
	return append(buf, strand.Releaser{Ref: a.by.Ref()}), true
}

// Await waits until those who are told by Over are: at once if finished, which is
// called with mu, says so. It is called without mu.
func (e *Ending) Await(ctx context.Context, mu *sync.Mutex, s *strand.Strand, finished func() bool, on strand.Resource) error {
	mu.Lock()
	if finished() {
		mu.Unlock()
		return nil
	}
	if err := strand.Err(ctx); err != nil {
		mu.Unlock()
		return err
	}
	w := s.NewWait()
	e.waits = append(e.waits, w)
	mu.Unlock()
	return w.Park(ctx, on)
}

// Over returns the waits of those in Await, to be granted without mu: the pool is
// finished. It is called with mu.
func (e *Ending) Over() []strand.Wait {
	waits := e.waits
	e.waits = nil
	return waits
}

// Waits returns the waits of those in Await, to be looked at again without mu: there
// is one less who could end them. It is called with mu.
func (e *Ending) Waits() []strand.Wait { return slices.Clone(e.waits) }

// A Drain says how a pool is emptied.
type Drain struct {
	Empty func(ctx context.Context) error   // waits until no worker is left
	Stop  func(cause error) (left []string) // drops what is queued, asks what runs to stop, and names the jobs
	Kill  func()                            // ends what has not stopped after Grace; nil: nothing can
	Grace time.Duration                     // 0 is DefaultGrace, below 0 is none
}

// Run waits until all is done or ctx ends. Then it stops what is left and returns a
// *tristrand.CloseError.
func (d Drain) Run(ctx context.Context) error {
	err := d.Empty(ctx)
	if err == nil || refused(err) {
		return err
	}
	left := d.Stop(tristrand.ErrCancelled)
	grace := d.Grace
	if grace == 0 {
		grace = DefaultGrace
	}
	if grace > 0 {
		bounded, cancel := strand.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		_ = d.Empty(bounded)
	}
	if d.Kill != nil {
		d.Kill()
		_ = d.Empty(context.WithoutCancel(ctx))
	}
	if len(left) == 0 {
		return nil
	}
	return &tristrand.CloseError{Left: left, Err: err}
}

// refused reports whether err is a deadlock that no deadline would have ended.
func refused(err error) bool {
	var d *tristrand.DeadlockError
	return errors.As(err, &d) && !errors.Is(err, context.DeadlineExceeded)
}

// A TerminatedError is the outcome of the jobs that Terminate dropped, of the pool of an
// engine.
type TerminatedError string

func (t TerminatedError) Error() string { return string(t) + ": the pool was terminated" }

// Unwrap says that the job was cancelled as its executor is closed.
func (TerminatedError) Unwrap() []error { return []error{tristrand.ErrCancelled, tristrand.ErrClosed} }
