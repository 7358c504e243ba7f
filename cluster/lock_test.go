//go:build unix

package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/tristrand/tristrand/cluster"
	"github.com/tristrand/tristrand/strand"
)

// Strands of one process that each have a handle of their own of one lock see no deadlock in
// having held it one after the other.
func TestHandlesOfOneLockAreOneLock(t *testing.T) {
	t.Parallel()
	c := open(t, cluster.Options{Durability: cluster.Memory})
	var wg sync.WaitGroup
	count := 0
	for i := range 8 {
		wg.Add(1)
		strand.Go(t.Context(), strand.Options{Kind: strand.Thread, Name: fmt.Sprint("contender ", i)}, func(ctx context.Context) {
			defer wg.Done()
			l := cluster.NewLock(c, "l")
			for range 100 {
				if err := l.Acquire(ctx); err != nil {
					t.Errorf("Acquire: %v", err)
					return
				}
				count++
				if err := l.Release(ctx); err != nil {
					t.Errorf("Release: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if count != 800 {
		t.Errorf("%d acquisitions, want 800", count)
	}
	ctx := adopt(t)
	l := cluster.NewLock(c, "l")
	if err := errors.Join(l.Acquire(ctx), l.Release(ctx)); err != nil {
		t.Error(err)
	}
}
