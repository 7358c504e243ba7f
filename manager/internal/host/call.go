// Package host has the objects that a manager's server holds, and the table that
// they are found in.
//
// An Object is called by name with the arguments that came over the wire, and
// answers as its Python counterpart does: with a value of package pickle or with
// an *PythonError. An Owner says whose call it is: a session of a Python
// program, or a strand of a Go program. Locks belong to owners.
//
// An object that has to wait asks the call for a context first (Call.Wait);
// without that it must not block.
package host

import (
	"context"
	"errors"
	"fmt"

	"github.com/tristrand/tristrand/internal/pickle"
)

// An Object is what a server holds. Its methods are called by many at once.
type Object interface {
	// Call calls a method. ErrNoMethod says that there is none of that name.
	Call(c *Call, method string) (any, error)
	// Repr returns what str() of it prints in Python, up to most bytes.
	Repr(most int) string
	// Value returns a copy of it to send, or a *pickle.WriteError when it is
	// nothing that could be sent.
	Value() (any, error)
}

// ErrNoMethod says that an object has no method of that name.
var ErrNoMethod = errors.New("no such method")

// ErrWouldWait is returned by Call.Wait when the call must not wait here. The
// object has changed nothing, and the call is made again where it may wait.
var ErrWouldWait = errors.New("the call would have to wait")

// ErrLater is returned by an object that will answer through Call.Later.
var ErrLater = errors.New("the call is answered later")

// A Call is one call of a method.
type Call struct {
	Owner *Owner
	Args  pickle.Tuple
	Kwds  *pickle.Dict // nil is empty

	// Wait returns the context to wait under, which ends when the caller is
	// gone or gives up, and one that ends only when it is gone. It is called
	// before the object blocks, with no mutex held.
	Wait func() (ctx, gone context.Context, err error)

	// Later lets an object answer when it can, so that nothing has to wait but an
	// entry in its queue. It is called before the object enters the wait, with no
	// mutex held, and told how the caller gives up. It returns how to answer, which
	// may be done from anywhere, once, with no mutex held, and does not block; the
	// object must do so then, and return ErrLater. nil, and a nil answer, say that
	// the call has to Wait.
	Later func(giveUp func(cause error)) (answer func(v any, err error))

	// Place is where a Go program makes the call; Timed says that it has a
	// deadline, so that it can be in no deadlock.
	Place string
	Timed bool

	// Woke is set by an object that has let another call go on, which waited.
	Woke bool
}

// absent stands for an argument that was not given.
type absent struct{}

func given(v any) bool { return v != any(absent{}) }

// bind returns the arguments by name; the first required of them must have been
// given.
func (c *Call) bind(method string, required int, names ...string) ([]any, error) {
	kwds := 0
	if c.Kwds != nil {
		kwds = c.Kwds.Len()
	}
	if kwds == 0 && len(c.Args) == len(names) {
		return c.Args, nil
	}
	if len(c.Args) > len(names) {
		return nil, typeError("%s() takes at most %d arguments (%d given)", method, len(names), len(c.Args)+kwds)
	}
	out := make([]any, len(names))
	n := copy(out, c.Args)
	for i := n; i < len(names); i++ {
		out[i] = absent{}
		if kwds == 0 {
			continue
		}
		if v, ok, _ := c.Kwds.Get(names[i]); ok {
			out[i] = v
			kwds--
		}
	}
	if kwds > 0 {
		return nil, typeError("%s() got an unexpected keyword argument, or one twice", method)
	}
	for i := range required {
		if !given(out[i]) {
			return nil, typeError("%s() missing required argument: '%s'", method, names[i])
		}
	}
	return out, nil
}

// none checks that there are no arguments.
func (c *Call) none(method string) error {
	_, err := c.bind(method, 0)
	return err
}

// one returns the only argument.
func (c *Call) one(method, name string) (any, error) {
	args, err := c.bind(method, 1, name)
	if err != nil {
		return nil, err
	}
	return args[0], nil
}

// A PythonError is an instance of one of Python's exception classes.
type PythonError struct {
	Type pickle.Global
	Args pickle.Tuple
	Attr any // its __dict__, nil without

	Err error // what it is to a Go program: a sentinel of package tristrand, or nil
}

// Unwrap returns what it is to a Go program.
func (e *PythonError) Unwrap() error { return e.Err }

// as returns the exception with what it is to a Go program.
func (e *PythonError) as(err error) *PythonError {
	e.Err = err
	return e
}

func (e *PythonError) Error() string {
	switch len(e.Args) {
	case 0:
		return e.Type.Name
	case 1:
		if s, ok := e.Args[0].(string); ok {
			return e.Type.Name + ": " + s
		}
		return e.Type.Name + ": " + pickle.Repr(e.Args[0], 200)
	default:
		return e.Type.Name + ": " + pickle.Repr(e.Args, 200)
	}
}

// Reduce is how it is written.
func (e *PythonError) Reduce() *pickle.Object {
	return &pickle.Object{Class: e.Type, Args: e.Args, State: e.Attr, HasState: e.Attr != nil}
}

// Class returns its class.
func (e *PythonError) Class() pickle.Global { return e.Type }

// TypeName returns the name of its class.
func (e *PythonError) TypeName() string { return e.Type.Name }

// Repr returns what Python prints for it.
func (e *PythonError) Repr() string {
	return pickle.Repr(&pickle.Object{Class: e.Type, Args: e.Args}, 1000)
}

// Builtin returns an exception of one of Python's own classes.
func Builtin(class string, args ...any) *PythonError {
	return &PythonError{Type: pickle.Global{Module: "builtins", Name: class}, Args: args}
}

func exception(class, format string, args ...any) *PythonError {
	return Builtin(class, fmt.Sprintf(format, args...))
}

func typeError(format string, args ...any) error  { return exception("TypeError", format, args...) }
func valueError(format string, args ...any) error { return exception("ValueError", format, args...) }
func indexError(format string, args ...any) error { return exception("IndexError", format, args...) }
func runtimeError(format string, args ...any) *PythonError {
	return exception("RuntimeError", format, args...)
}
func keyError(key any) error { return Builtin("KeyError", key) }

// AsException returns the exception that a Python client shall see for err; ok
// is false if err is not for clients.
func AsException(err error) (e *PythonError, ok bool) {
	if errors.As(err, &e) {
		return e, true
	}
	if te, ok := errors.AsType[*pickle.TypeError](err); ok {
		return Builtin("TypeError", te.Text), true
	}
	if se, ok := errors.AsType[*pickle.SizeError](err); ok {
		return Builtin("ValueError", se.What), true
	}
	return nil, false
}
