package tristrand

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tristrand/tristrand/strand"
)

// A sentinel is an error to compare with; one that is also another error says so.
type sentinel struct {
	text string
	also error
}

func (e *sentinel) Error() string        { return "tristrand: " + e.text }
func (e *sentinel) Is(target error) bool { return e.also != nil && target == e.also }

func newSentinel(text string, also error) error { return &sentinel{text, also} }

// What a caller may branch on, with errors.Is. Errors that are returned say
// more: which object, who holds it, what to do.
var (
	// Of primitives.

	ErrBusy        = newSentinel("it would have to wait", nil)
	ErrNotHeld     = newSentinel("the caller does not hold it", nil)
	ErrOwnerDied   = newSentinel("its holder ended without releasing it", nil)
	ErrOverRelease = newSentinel("released more often than acquired", nil)
	ErrBroken      = newSentinel("the barrier is broken", nil)
	ErrFull        = newSentinel("full", nil)
	ErrEmpty       = newSentinel("empty", nil)
	ErrShutdown    = newSentinel("the queue is shut down", nil)
	ErrLost        = newSentinel("the lease was lost", context.Canceled)

	// Of jobs and their executors.

	ErrCancelled      = newSentinel("cancelled", context.Canceled)
	ErrTimeout        = newSentinel("the job's time is up", context.DeadlineExceeded)
	ErrClosed         = newSentinel("the executor is closed", nil)
	ErrNotPortable    = newSentinel("a closure cannot leave this process; use a task made by Define", nil)
	ErrNotDone        = newSentinel("the job is not done", nil)
	ErrOutcomeUnknown = newSentinel("it is not known whether the job ran", nil)
	ErrGoexit         = newSentinel("the function ended its goroutine by runtime.Goexit", nil)
)

// A DeadlockError says that a wait cannot succeed, however long it lasts.
type DeadlockError = strand.DeadlockError

// A PanicError says that a task panicked. It is the outcome on every engine
// alike, because a panic cannot be raised again on the other side of a border.
type PanicError struct {
	Value any    // what panic was called with
	Stack []byte // of the goroutine that panicked
	Task  string // the task's name, "" for a closure
}

func (e *PanicError) Error() string {
	if e.Task == "" {
		return fmt.Sprintf("panic: %v", e.Value)
	}
	return fmt.Sprintf("task %q: panic: %v", e.Task, e.Value)
}

// Unwrap returns the value when it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// A RemoteError is an error that a task returned in another process. It has the text
// of the original, and errors.Is finds in it what it found there: the errors of this
// package and its engines, the contexts', and the well-known ones of packages io, io/fs,
// os and net. What errors.As would find does not cross the border, except for
// *PanicError, *DeadlockError and the error that says how a process ended.
type RemoteError struct {
	Text   string  // what Error returned there
	Type   string  // the Go type there, such as "*fs.PathError"
	Worker string  // the host and process id of a worker of a cluster
	Kinds  []error // what errors.Is finds
	Cause  error   // what errors.As finds, or nil
}

func (e *RemoteError) Error() string { return e.Text }

// Is reports whether the original was target too.
func (e *RemoteError) Is(target error) bool { return slices.Contains(e.Kinds, target) }

// Unwrap returns the typed error that was in the original, if it is one that crosses.
func (e *RemoteError) Unwrap() error { return e.Cause }

// A CloseError says that Close had to leave jobs behind when its time was up.
type CloseError struct {
	Left []string // the jobs that had been accepted and did not end by themselves
	Err  error    // why Close gave up: the error of its ctx
}

func (e *CloseError) Error() string {
	const most = 10
	left := e.Left
	more := ""
	if len(left) > most {
		left, more = left[:most], fmt.Sprintf(" and %d more", len(e.Left)-most)
	}
	return fmt.Sprintf("tristrand: closed with %d jobs left: %s%s: %v",
		len(e.Left), strings.Join(left, ", "), more, e.Err)
}

// Unwrap returns why Close gave up.
func (e *CloseError) Unwrap() error { return e.Err }

// Permanent marks err as one that another try would not cure: a job that fails
// with it is not tried again. It returns nil for nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

// IsPermanent reports whether err was marked by Permanent.
func IsPermanent(err error) bool {
	var p *permanentError
	return errors.As(err, &p)
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// final reports whether a job that failed with err is not to be tried again.
func final(err error) bool {
	return IsPermanent(err) || errors.Is(err, ErrCancelled) || errors.Is(err, ErrClosed) ||
		errors.Is(err, ErrNotPortable) || errors.Is(err, ErrGoexit)
}
