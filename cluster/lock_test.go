//go:build unix

package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

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

// What was stored, and not heard of until others had done much with the lock, is not done
// again, and is no error.
func TestUnheardChangesOfALock(t *testing.T) {
	t.Parallel()
	ctx := adopt(t)
	c := open(t, cluster.Options{Durability: cluster.Memory, Listen: "127.0.0.1:0", Lease: time.Minute})
	o := connect(t, c.URL())
	theirs, mine := cluster.NewRLock(c, "l"), cluster.NewRLock(o, "l")
	if err := mine.Acquire(ctx); err != nil {
		t.Fatal(err)
	}
	unheard := func(what string, change func(context.Context) error, depth int) {
		hear, err := cluster.Deafen(o)
		if err != nil {
			t.Fatal(err)
		}
		heard := make(chan error, 1)
		go func() {
			defer func() { heard <- hear() }()
			until(t, what, func() bool { st, err := theirs.State(ctx); return err == nil && st.Depth == depth })
			var wg sync.WaitGroup
			for range 10 { // each comes, and goes
				wg.Add(1)
				inner, cancel := context.WithCancel(context.Background())
				strand.Go(inner, strand.Options{Kind: strand.Thread, Name: "contender"}, func(ctx context.Context) {
					defer wg.Done()
					if theirs.Acquire(ctx) == nil {
						_ = theirs.Release(ctx)
					}
				})
				if depth > 0 {
					until(t, "the contender", func() bool { st, err := theirs.State(ctx); return err == nil && st.Waiting == 1 })
					cancel()
				}
				wg.Wait()
				cancel()
			}
		}()
		if err := change(ctx); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if err := <-heard; err != nil {
			t.Fatal(err)
		}
		if st, err := theirs.State(ctx); st.Depth != depth || err != nil {
			t.Errorf("%s: the depth is %d, %v, want %d", what, st.Depth, err, depth)
		}
	}
	unheard("the second acquisition", mine.Acquire, 2)
	unheard("the first release", mine.Release, 1)
	unheard("the last release", mine.Release, 0)
}
