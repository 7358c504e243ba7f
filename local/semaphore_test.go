package local_test

import (
	"runtime"
	"sync"
	"testing"

	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/strand"
)

// Whoever is handed a unit may give it back at once, before the release that handed it
// over has returned.
func TestWhatWasHandedOverCanBeReleasedAtOnce(t *testing.T) {
	const strands, rounds = 4, 2000
	m := local.NewBoundedSemaphore(1)
	var wg sync.WaitGroup
	for range strands {
		wg.Go(func() {
			ctx, end := strand.Adopt(t.Context(), "")
			defer end()
			for range rounds {
				if err := m.Acquire(ctx); err != nil {
					t.Errorf("Acquire: %v", err)
					return
				}
				runtime.Gosched()
				if err := m.Release(ctx, 1); err != nil {
					t.Errorf("Release of what was acquired: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
}
