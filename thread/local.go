package thread

import (
	"context"

	"github.com/tristrand/tristrand/strand"
)

// A Local is a variable that each strand has for itself, for as long as it runs.
// The zero value is ready.
type Local[T any] struct {
	// New makes a strand's first value, on that strand; nil is the zero value.
	New func() T
}

// Get returns the caller's own variable. Nobody else may use it. A caller
// without a strand gets a new one each time. It costs about 20 ns.
func (l *Local[T]) Get(ctx context.Context) *T {
	p, _ := strand.Current(ctx).Local(l, func() any {
		p := new(T)
		if l.New != nil {
			*p = l.New()
		}
		return p
	}).(*T)
	return p
}
