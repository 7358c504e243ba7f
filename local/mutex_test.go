package local_test

import (
	"context"
	"sync"
	"testing"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/strand"
)

// TestStrandsThatEndSoonLeaveNothing has so many strands that their slots are
// given again while others still look at what the last one left in the lock's
// word: none of them died with the lock.
func TestStrandsThatEndSoonLeaveNothing(t *testing.T) {
	const strands = 20_000
	for range 5 {
		var mu local.Lock
		var wg sync.WaitGroup
		n := 0
		wg.Add(strands)
		for range strands {
			strand.Go(t.Context(), strand.Options{Kind: strand.Thread, Name: "short"}, func(ctx context.Context) {
				defer wg.Done()
				if err := tristrand.With(ctx, &mu, func(context.Context) error { n++; return nil }); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n != strands {
			t.Errorf("counted %d of %d", n, strands)
		}
	}
}
