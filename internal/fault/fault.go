// Package fault is how an error crosses to another process: what of it can be said
// there, and an error again that is made of that.
package fault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// A Fault is an error as it crosses. E is the error that says how a process ended.
type Fault[E Exit] struct {
	Text      string        `cbor:"1,keyasint"`
	Type      string        `cbor:"2,keyasint"`
	Is        []int         `cbor:"3,keyasint,omitempty"`
	Permanent bool          `cbor:"4,keyasint,omitempty"`
	Panic     *Panic[E]     `cbor:"5,keyasint,omitempty"`
	Cycle     []strand.Link `cbor:"6,keyasint,omitempty"`
	Exit      E             `cbor:"7,keyasint,omitempty"`
	Traceback string        `cbor:"9,keyasint,omitempty"` // of a Python exception
}

// A Panic is the *tristrand.PanicError in a fault.
type Panic[E Exit] struct {
	Value string    `cbor:"1,keyasint"`
	Error *Fault[E] `cbor:"2,keyasint,omitempty"` // of a value that is an error
	Stack []byte    `cbor:"3,keyasint"`
	Task  string    `cbor:"4,keyasint"`
}

// An Exit is a pointer to an error that crosses with its type.
type Exit interface {
	error
	comparable
}

// A Codec turns errors into faults and back. Bounds are in bytes.
type Codec[E Exit] struct {
	Known    []error // that keep their identity besides those that known lists; new ones go to the end
	MaxText  int     // of what Error returns
	MaxValue int     // of a panic's value
	MaxStack int
}

// known are the errors that keep their identity, by their place: it is part of what
// crosses, so new ones go to the end, after a release that knows no others.
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

// Clip returns s, or as much of it as max bytes and how long it was.
func Clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return s[:most] + fmt.Sprintf("… (%d bytes in all)", len(s))
}

// Of describes err. Its methods are the user's: one that panics is described as well
// as can be.
func (c Codec[E]) Of(err error) (f *Fault[E]) {
	f = &Fault[E]{Type: fmt.Sprintf("%T", err)}
	defer func() {
		if v := recover(); v != nil {
			f.Text = Clip(fmt.Sprintf("%s, whose methods panic: %v", f.Type, v), c.MaxText)
		}
	}()
	if p, ok := err.(*tristrand.PanicError); ok { //nolint:errorlint // one that is wrapped keeps its wrapping's text
		f.Panic = &Panic[E]{Value: Clip(fmt.Sprint(p.Value), c.MaxValue), Stack: p.Stack[:min(len(p.Stack), c.MaxStack)], Task: p.Task}
		if cause, ok := p.Value.(error); ok {
			f.Panic.Error = c.Of(cause)
		}
		return f
	}
	if e, ok := err.(*tristrand.RemoteError); ok { //nolint:errorlint // likewise
		f.Type = e.Type
	}
	f.Text = Clip(err.Error(), c.MaxText)
	for i, e := range append(known(), c.Known...) {
		if errors.Is(err, e) {
			f.Is = append(f.Is, i)
		}
	}
	f.Permanent = tristrand.IsPermanent(err)
	if d, ok := errors.AsType[*tristrand.DeadlockError](err); ok {
		f.Cycle = d.Cycle
	}
	if p, ok := errors.AsType[*tristrand.PanicError](err); ok {
		f.Panic = c.Of(p).Panic
	}
	if e, ok := errors.AsType[E](err); ok {
		f.Exit = e
	}
	return f
}

// Err returns the error again, as one of a worker; "" is not known.
func (c Codec[E]) Err(f *Fault[E], worker string) error {
	if f.Panic != nil && f.Text == "" {
		return c.panicked(f.Panic, worker)
	}
	e := &tristrand.RemoteError{Text: f.Text, Type: f.Type, Worker: worker}
	all := append(known(), c.Known...)
	for _, i := range f.Is {
		if i >= 0 && i < len(all) {
			e.Kinds = append(e.Kinds, all[i])
		}
	}
	var none E
	switch {
	case f.Cycle != nil:
		e.Cause = &tristrand.DeadlockError{Cycle: f.Cycle}
	case f.Exit != none:
		e.Cause = f.Exit
	case f.Panic != nil:
		e.Cause = c.panicked(f.Panic, worker)
	}
	if f.Permanent {
		return tristrand.Permanent(e)
	}
	return e
}

func (c Codec[E]) panicked(p *Panic[E], worker string) error {
	var value any = p.Value
	if p.Error != nil {
		value = c.Err(p.Error, worker)
	}
	return &tristrand.PanicError{Value: value, Stack: p.Stack, Task: p.Task}
}
