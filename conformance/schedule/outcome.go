package schedule

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
)

// An Outcome is what became of one schedule.
type Outcome struct {
	Seed  uint64
	Hash  uint64 // of the sequence of (strand, verb, object)
	Steps int

	// Err is nil if the body returned nil and nothing else was wrong. It joins
	// a *StuckError, an *OutsideError and the body's own error.
	Err error

	log *log
}

// Trace prints who did what to which object, a line for each operation. Objects
// are numbered as they appeared.
func (o Outcome) Trace() string { return o.log.String() }

// Find searches with the seeds from 1 to most until one fails, and returns the
// outcome of that or of the last one.
func Find(ctx context.Context, most int, body func(ctx context.Context) error) (o Outcome, found bool) {
	for seed := range uint64(most) {
		if o = Search(ctx, seed+1, body); o.Err != nil || ctx.Err() != nil {
			break
		}
	}
	return o, o.Err != nil
}

func (x *search) outcome(err error) Outcome {
	if end := (*endError)(nil); errors.As(err, &end) {
		err = nil // the fault itself is joined below
	}
	errs := []error{x.fault, err}
	if x.outside != nil {
		errs = append(errs, x.outside)
	}
	return Outcome{Seed: x.seed, Hash: x.log.hash.Sum64(), Steps: x.steps, Err: errors.Join(errs...), log: x.log}
}

// A StuckError says that every strand waits, for nothing that will come.
type StuckError struct {
	Seed    uint64
	Waiting []string // each strand and what it waits for
}

func (e *StuckError) Error() string {
	return fmt.Sprintf("schedule: seed %d: nothing can run: %s", e.Seed, strings.Join(e.Waiting, "; "))
}

func (x *search) newStuckError() *StuckError {
	x.mu.Lock()
	defer x.mu.Unlock()
	e := &StuckError{Seed: x.seed, Waiting: make([]string, 0, len(x.turns))}
	for n := range x.started {
		for s, t := range x.turns {
			if t.number != n {
				continue
			}
			on := "nothing that is known"
			if r := s.Waiting(); r != nil {
				on = r.String()
			}
			e.Waiting = append(e.Waiting, fmt.Sprintf("%q waits for %s", s.Name(), on))
		}
	}
	return e
}

// An OutsideError says that somebody who had not the turn acted on a strand of
// a search.
type OutsideError struct {
	Seed   uint64
	Verb   string // what was called: Ready or Spawn
	Strand string // for which strand
	Caller string // the goroutine's function, and the line that it was at
}

func (e *OutsideError) Error() string {
	return fmt.Sprintf("schedule: seed %d: %s(%q) from outside the search, by %s", e.Seed, e.Verb, e.Strand, e.Caller)
}

// caller names the calling goroutine by its outermost function.
func caller() string {
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	name := "an unknown goroutine"
	for {
		f, more := frames.Next()
		if f.Function != "" && !strings.HasPrefix(f.Function, "runtime.") {
			name = fmt.Sprintf("%s at %s:%d", f.Function, f.File, f.Line)
		}
		if !more {
			return name
		}
	}
}

// An endError is what the contexts of a search end with. It is a cancellation,
// with the fault as its reason.
type endError struct{ fault error }

func (e *endError) Error() string   { return context.Canceled.Error() + ": " + e.fault.Error() }
func (e *endError) Unwrap() []error { return []error{context.Canceled, e.fault} }
