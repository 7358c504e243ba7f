// Package kinds keeps what a child process can be besides a worker of a pool: what
// process.Init does in one. A package that starts children of its own registers a
// kind in a package variable, and starts them with [Args].
package kinds

import (
	"os"
	"sync"
)

// flag is the first argument of a child that has a kind.
const flag = "tristrand-kind"

var registered struct {
	sync.Mutex
	kinds map[string]func(files []*os.File)
}

// A Kind is one that was registered.
type Kind string

// Register makes serve the life of the children of a kind. serve gets the files
// that the parent has named, and does not return. It panics if the name is taken.
func Register(name string, serve func(files []*os.File)) Kind {
	registered.Lock()
	defer registered.Unlock()
	if registered.kinds[name] != nil {
		panic("tristrand: bug: two kinds of children are named " + name)
	}
	if registered.kinds == nil {
		registered.kinds = make(map[string]func([]*os.File))
	}
	registered.kinds[name] = serve
	return Kind(name)
}

// Args returns the arguments to start a child of the kind with.
func (k Kind) Args() []string { return []string{flag, string(k)} }

// Lookup returns what a child that was started with args has to do: false if it
// has no kind.
func Lookup(args []string) (serve func(files []*os.File), ok bool) {
	if len(args) != 2 || args[0] != flag {
		return nil, false
	}
	registered.Lock()
	defer registered.Unlock()
	serve, ok = registered.kinds[args[1]]
	return serve, ok
}
