// Package items is what the queues of all scopes have in common.
package items

import (
	"context"
	"errors"
	"iter"

	"github.com/tristrand/tristrand"
)

// All yields items as get gives them, until it says that the queue is shut down and
// empty. Another error is yielded, last.
func All[T any](ctx context.Context, get func(context.Context) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			v, err := get(ctx)
			if errors.Is(err, tristrand.ErrShutdown) {
				return
			}
			if !yield(v, err) || err != nil {
				return
			}
		}
	}
}
