package strand_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/tristrand/tristrand/strand"
)

// TestAStrandIsToldWhenItsOwnContextEnds has strands that park under their own
// ctx again and again, which is watched from the second time on, while somebody
// grants and somebody cancels. A wait under another ctx is none of its business.
func TestAStrandIsToldWhenItsOwnContextEnds(t *testing.T) {
	errWhy := errors.New("why")
	for range many(500) {
		ctx, cancel := context.WithCancelCause(t.Context())
		var wg sync.WaitGroup
		wg.Add(1)
		strand.Go(ctx, strand.Options{Kind: strand.Thread}, func(ctx context.Context) {
			defer wg.Done()
			s := strand.Current(ctx)
			for range 3 {
				w := s.NewWait()
				wg.Go(func() { w.Grant() })
				if err := w.Park(ctx, new(gate)); err != nil {
					t.Errorf("a granted wait: %v", err)
				}
			}
			wg.Go(func() { cancel(errWhy) })
			for range 2 { // the second finds it ended
				if err := s.NewWait().Park(ctx, new(gate)); !errors.Is(err, context.Canceled) || !errors.Is(err, errWhy) {
					t.Errorf("a wait whose ctx ends: %v", err)
				}
			}
			w := s.NewWait()
			wg.Go(func() { w.Grant() })
			if err := w.Park(context.WithoutCancel(ctx), new(gate)); err != nil {
				t.Errorf("a wait under another ctx: %v", err)
			}
		})
		wg.Wait()
	}
}
