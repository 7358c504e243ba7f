package local_test

import (
	"context"
	"sync"
	"testing"
	"time"

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

// Others come and give up while a lock is looked at: it is held all along, and a
// look that calls it anybody's would miss a deadlock for good.
func TestAHeldLockIsNeverAnybodys(t *testing.T) {
	ctx, end := strand.Adopt(t.Context(), "holder")
	defer end()
	var mu local.Lock
	if err := mu.Acquire(ctx); err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	comer := thread(ctx, func(ctx context.Context) error {
		for {
			select {
			case <-over:
				return nil
			default:
			}
			short, cancel := strand.WithTimeout(ctx, time.Microsecond)
			err := mu.Acquire(short)
			if cancel(); err == nil {
				return mu.Release(ctx)
			}
		}
	})
	self := strand.Current(ctx).Ref()
	for i := range 200_000 {
		rs, closed := mu.Releasers(nil)
		if !closed || len(rs) != 1 || rs[0].Ref != self {
			t.Errorf("look %d: %v, closed: %v", i, rs, closed)
			break
		}
	}
	close(over)
	if err := <-comer; err != nil {
		t.Error(err)
	}
}
