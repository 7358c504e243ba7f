package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/wire"
	"github.com/tristrand/tristrand/strand"
)

// A RemoteError is an error that a task returned in another process. It has the text
// of the original, and errors.Is finds in it what it found there: the errors of
// package tristrand, the contexts', and the well-known ones of packages io, io/fs, os
// and net. What errors.As would find does not cross the border, except for
// *tristrand.PanicError, *tristrand.DeadlockError and *ExitError.
type RemoteError struct {
	Text string // what Error returned there
	Type string // the Go type there, such as "*fs.PathError"

	is []error
	as error
}

func (e *RemoteError) Error() string { return e.Text }

// Is reports whether the original was target too.
func (e *RemoteError) Is(target error) bool {
	return slices.Contains(e.is, target)
}

// Unwrap returns the typed error that was in the original, if it is one that crosses.
func (e *RemoteError) Unwrap() error { return e.as }

// known are the errors that keep their identity, by their place: it is part of what
// crosses, so new ones go to the end.
func known() []error {
	return []error{
		tristrand.ErrBusy, tristrand.ErrNotHeld, tristrand.ErrOwnerDied, tristrand.ErrOverRelease,
		tristrand.ErrBroken, tristrand.ErrFull, tristrand.ErrEmpty, tristrand.ErrShutdown, tristrand.ErrLost,
		tristrand.ErrCancelled, tristrand.ErrTimeout, tristrand.ErrClosed, tristrand.ErrNotPortable,
		tristrand.ErrNotDone, tristrand.ErrOutcomeUnknown, tristrand.ErrGoexit,
		context.Canceled, context.DeadlineExceeded,
		io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, io.ErrShortWrite,
		fs.ErrInvalid, fs.ErrPermission, fs.ErrExist, fs.ErrNotExist, fs.ErrClosed,
		os.ErrDeadlineExceeded, os.ErrProcessDone, net.ErrClosed, errors.ErrUnsupported,
	}
}

// A fault is an error as it crosses.
type fault struct {
	Text      string        `cbor:"1,keyasint"`
	Type      string        `cbor:"2,keyasint"`
	Is        []int         `cbor:"3,keyasint,omitempty"`
	Permanent bool          `cbor:"4,keyasint,omitempty"`
	Panic     *panicFault   `cbor:"5,keyasint,omitempty"`
	Cycle     []strand.Link `cbor:"6,keyasint,omitempty"`
	Exit      *ExitError    `cbor:"7,keyasint,omitempty"`
	Traceback string        `cbor:"9,keyasint,omitempty"` // of a Python exception
}

type panicFault struct {
	Value string `cbor:"1,keyasint"`
	Error *fault `cbor:"2,keyasint,omitempty"` // of a value that is an error
	Stack []byte `cbor:"3,keyasint"`
	Task  string `cbor:"4,keyasint"`
}

// maxText bounds what crosses of a panic's value and stack.
const maxText = 1 << 14

func clip(s string) string {
	if len(s) <= maxText {
		return s
	}
	return s[:maxText] + fmt.Sprintf("… (%d bytes in all)", len(s))
}

// faultOf describes err. Its methods are the user's: one that panics is described as
// well as can be.
func faultOf(err error) (f *fault) {
	f = &fault{Type: fmt.Sprintf("%T", err)}
	defer func() {
		if v := recover(); v != nil {
			f.Text = clip(fmt.Sprintf("%s, whose methods panic: %v", f.Type, v))
		}
	}()
	if p, ok := err.(*tristrand.PanicError); ok { //nolint:errorlint // one that is wrapped keeps its wrapping's text
		f.Panic = &panicFault{Value: clip(fmt.Sprint(p.Value)), Stack: p.Stack, Task: p.Task}
		if len(f.Panic.Stack) > maxText {
			f.Panic.Stack = f.Panic.Stack[:maxText]
		}
		if cause, ok := p.Value.(error); ok {
			f.Panic.Error = faultOf(cause)
		}
		return f
	}
	f.Text = err.Error()
	for i, e := range known() {
		if errors.Is(err, e) {
			f.Is = append(f.Is, i)
		}
	}
	f.Permanent = tristrand.IsPermanent(err)
	if d, ok := errors.AsType[*tristrand.DeadlockError](err); ok {
		f.Cycle = d.Cycle
	}
	if p, ok := errors.AsType[*tristrand.PanicError](err); ok {
		f.Panic = faultOf(p).Panic
	}
	errors.As(err, &f.Exit)
	return f
}

// shrink makes the fault fit into a note.
func (f *fault) shrink() {
	f.Text = clip(f.Text)
	var buf bytes.Buffer
	if wire.Encode(&buf, f) != nil || buf.Len() > maxNote-1024 {
		text := f.Text
		if text == "" && f.Panic != nil {
			text = f.Panic.err().Error()
		}
		*f = fault{Text: clip(text), Type: f.Type, Is: f.Is, Permanent: f.Permanent}
	}
}

// err returns the error again.
func (f *fault) err() error {
	if f.Panic != nil && f.Text == "" {
		return f.Panic.err()
	}
	if f.Traceback != "" {
		return &PythonError{Type: f.Type, Text: f.Text, Traceback: f.Traceback}
	}
	e := &RemoteError{Text: f.Text, Type: f.Type}
	all := known()
	for _, i := range f.Is {
		if i >= 0 && i < len(all) {
			e.is = append(e.is, all[i])
		}
	}
	switch {
	case f.Cycle != nil:
		e.as = &tristrand.DeadlockError{Cycle: f.Cycle}
	case f.Exit != nil:
		e.as = f.Exit
	case f.Panic != nil:
		e.as = f.Panic.err()
	}
	if f.Permanent {
		return tristrand.Permanent(e)
	}
	return e
}

func (p *panicFault) err() error {
	var value any = p.Value
	if p.Error != nil {
		value = p.Error.err()
	}
	return &tristrand.PanicError{Value: value, Stack: p.Stack, Task: p.Task}
}

// encodeFault appends the description of err to buf.
func encodeFault(buf *bytes.Buffer, err error) {
	before := buf.Len()
	if wire.Encode(buf, faultOf(err)) != nil {
		buf.Truncate(before)
		_ = wire.Encode(buf, &fault{Text: "an error that cannot be described", Type: fmt.Sprintf("%T", err)})
	}
}

// decodeFault returns the error that b describes.
func decodeFault(b []byte) error {
	var f fault
	if err := wire.Decode(b, &f); err != nil {
		return fmt.Errorf("process: the description of a job's error: %w", err)
	}
	return f.err()
}
