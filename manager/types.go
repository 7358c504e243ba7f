package manager

import (
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/pickle"
	"github.com/tristrand/tristrand/manager/internal/host"
	"github.com/tristrand/tristrand/thread"
)

// A Type is a kind of object that a server has beside Python's own.
type Type struct {
	// Name is what clients create it by: Python's typeid.
	Name string

	// New makes an object, or returns one that is there already. It is any Go
	// function: its parameters are converted from what the client gave, after a
	// context if it takes one first; it returns the object and, perhaps, an
	// error.
	New any

	// Expose lists the methods that clients may call, by their names in Python:
	// the Go method is of the same name but for its first letter and underscores
	// ("get_total" is GetTotal). nil is all exported methods, by names in
	// lower case with underscores.
	Expose []string

	// Proxy is the class of Python's proxies for it, "module.name"; "" is
	// Python's AutoProxy.
	Proxy string
}

// A Function is what clients of a pool call by name. Arguments and result are as
// Value.Any describes them. ctx ends when the pool does.
type Function func(ctx context.Context, args []any, kwds map[string]any) (any, error)

// register makes the tables of types, functions and names.
func (s *Server) register() error {
	engine := &host.Engine{Open: s.openPool, Own: map[string]host.Function{}, Tasks: s.Tasks}
	cs := &host.Classes{Table: s.table, Names: map[string]bool{}}
	for name, f := range s.Functions {
		if !strings.Contains(name, ".") || f == nil {
			return fmt.Errorf("manager: function %q: its name must be module.name, as Python has it, and it must not be nil", name)
		}
		engine.Own[name] = wrapFunction(f)
		cs.Names[name] = true
	}
	for _, name := range s.Tasks {
		if _, err := host.TaskFunction(name); err != nil {
			return fmt.Errorf("manager: %w", err)
		}
		cs.Names[name] = true
	}
	for name := range host.Functions() {
		cs.Names[name] = true
	}
	s.types = map[string]*host.Type{}
	for _, ty := range host.Standard(&s.locks, engine) {
		s.types[ty.ID] = ty
	}
	for _, ty := range s.Types {
		ht, err := ty.hosted()
		if err != nil {
			return err
		}
		s.types[ty.Name] = ht
		if ty.Proxy != "" {
			cs.Names[ty.Proxy] = true
		}
	}
	s.read = pickle.Options{Find: cs.Find, MaxDepth: s.MaxDepth}
	return s.keep()
}

// openPool returns what a hosted pool runs on.
func (s *Server) openPool(workers int) (tristrand.Executor, bool) {
	if s.Executor != nil {
		return s.Executor, false
	}
	return &thread.Pool{Workers: workers}, true
}

// addressOf is a listener's address as Python has it.
func addressOf(at any) any {
	if a, ok := at.(net.Addr); ok {
		return pyAddress(a)
	}
	return fmt.Sprint(at)
}

func wrapFunction(f Function) host.Function {
	return func(ctx context.Context, args pickle.Tuple, kwds *pickle.Dict) (any, error) {
		in := make([]any, len(args))
		for i, a := range args {
			in[i] = pickle.ToGo(a)
		}
		named := map[string]any{}
		if kwds != nil {
			for k, v := range kwds.All() {
				if name, ok := k.(string); ok {
					named[name] = pickle.ToGo(v)
				}
			}
		}
		v, err := f(ctx, in, named)
		if err != nil {
			return nil, goError(err)
		}
		return pickle.FromGo(v)
	}
}
