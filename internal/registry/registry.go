// Package registry keeps what a program declares before its engines start, and
// closes the declarations when they do. The contract declares through it; the
// engines that cross the border of the process, which have to be sure that every
// process of a program declares the same, close it and read it.
package registry

import (
	"context"
	"sync"
	"sync/atomic"
)

var frozen atomic.Pointer[string]

// Freeze closes the declarations for good. by is what did it, in the words of
// the program, such as "process.Init": whoever is refused is told. The first call
// counts.
func Freeze(by string) { frozen.CompareAndSwap(nil, &by) }

// FrozenBy returns what has closed the declarations, "" while they are open.
func FrozenBy() string {
	if by := frozen.Load(); by != nil {
		return *by
	}
	return ""
}

// A Propagator is the contract's Propagator.
type Propagator interface {
	Inject(ctx context.Context, set func(k, v string))
	Extract(ctx context.Context, get func(k string) string) context.Context
}

var propagators struct {
	sync.Mutex
	all atomic.Pointer[[]Propagator] // replaced, never written to
}

// Propagate adds a propagator.
func Propagate(p Propagator) {
	propagators.Lock()
	defer propagators.Unlock()
	var all []Propagator
	if old := propagators.all.Load(); old != nil {
		all = append(all, *old...)
	}
	all = append(all, p)
	propagators.all.Store(&all)
}

// Inject has every propagator put what travels with ctx into set, in the order
// in which they were added. It costs a load when there are none.
func Inject(ctx context.Context, set func(k, v string)) {
	if all := propagators.all.Load(); all != nil {
		for _, p := range *all {
			p.Inject(ctx, set)
		}
	}
}

// Extract has every propagator put what came back into a child of ctx, in the
// order in which they were added. get returns "" for what was not set.
func Extract(ctx context.Context, get func(k string) string) context.Context {
	if all := propagators.all.Load(); all != nil {
		for _, p := range *all {
			if c := p.Extract(ctx, get); c != nil {
				ctx = c
			}
		}
	}
	return ctx
}

// Propagates reports whether there is a propagator, so that an engine can leave
// out the place for what travels.
func Propagates() bool { return propagators.all.Load() != nil }
