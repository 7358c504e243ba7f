package manager

import (
	"fmt"
	"strings"

	"github.com/tristrand/tristrand/internal/pickle"
	"github.com/tristrand/tristrand/manager/internal/host"
)

// A PythonError is one of Python's: what a client's call raised, or what a method
// of a Type, or a Function, returns so that Python clients see it raised. Errors
// of other kinds are a RuntimeError to them.
type PythonError struct {
	Class string // "module.name"; a name alone is one of Python's built-in ones
	Args  []any  // see Proxy.Call for what values are

	// Traceback is the text of Python's traceback, where there was one.
	Traceback string

	err error // of package tristrand, or nil
}

func (e *PythonError) Error() string {
	name := e.Class[strings.LastIndexByte(e.Class, '.')+1:]
	switch {
	case e.Traceback != "":
		return name + ": " + strings.TrimRight(e.Traceback, "\n")
	case len(e.Args) == 0:
		return name
	case len(e.Args) == 1:
		return fmt.Sprintf("%s: %v", name, e.Args[0])
	default:
		return fmt.Sprintf("%s: %v", name, e.Args)
	}
}

// Unwrap returns the error of package tristrand that the exception stands for,
// nil if there is none.
func (e *PythonError) Unwrap() error { return e.err }

// hosted is the exception as the server sends it.
func (e *PythonError) hosted() error {
	module, name := "builtins", e.Class
	if i := strings.LastIndexByte(e.Class, '.'); i >= 0 {
		module, name = e.Class[:i], e.Class[i+1:]
	}
	args := make(pickle.Tuple, len(e.Args))
	for i, a := range e.Args {
		v, err := pickle.FromGo(a)
		if err != nil {
			v = fmt.Sprint(a)
		}
		args[i] = v
	}
	return &host.PythonError{Type: pickle.Global{Module: module, Name: name}, Args: args}
}
