package strand_test

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/strand"
)

// A shifting gate changes the world when a walk looks at it: look is called
// with how often that was so far.
type shifting struct {
	gate
	looks atomic.Int32
	look  atomic.Pointer[func(n int) []strand.Releaser]
	now   atomic.Pointer[[]strand.Releaser] // after the first look
}

func (s *shifting) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) {
	look := s.look.Load()
	if look == nil {
		return s.gate.Releasers(buf)
	}
	return append(buf, (*look)(int(s.looks.Add(1)))...), true
}

// wait is gate's, for the whole of it.
func (s *shifting) wait(ctx context.Context) error {
	w := strand.Current(ctx).NewWait()
	s.mu.Lock()
	s.waits = append(s.waits, w)
	s.mu.Unlock()
	return w.Park(ctx, s)
}

// waitsFor starts a strand that waits for begin and then for what on is.
func waitsFor(ctx context.Context, name string, begin <-chan struct{}, wait func(context.Context) error, done chan<- error) *strand.Strand {
	return strand.Go(ctx, strand.Options{Kind: strand.Thread, Name: name}, func(ctx context.Context) {
		<-begin
		done <- wait(ctx)
	})
}

// The main strand waits for b, b waits for c, and, once the walk has seen that,
// b is let go and only then c begins to wait for main: each edge of the cycle has
// been there, and never all of them at once.
func TestInvariant4EdgesOfDifferentMomentsAreNoDeadlock(t *testing.T) {
	for _, tt := range []struct {
		name string
		// move happens between two looks; what it returns is who holds the
		// gate that b waits for afterwards.
		move func(middle *shifting, c, d *strand.Strand) *strand.Strand
	}{
		{"the waiter was granted", func(middle *shifting, c, _ *strand.Strand) *strand.Strand {
			middle.set()
			return c
		}},
		{"the holder is another one", func(_ *shifting, _, d *strand.Strand) *strand.Strand { return d }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx := adopt(t)
			main := strand.Current(ctx)
			first, middle, last := new(gate), new(shifting), &gate{of: []strand.Releaser{{Ref: main.Ref()}}}
			done := make(chan error, 3)
			beginB, beginC, never := make(chan struct{}), make(chan struct{}), make(chan struct{})
			d := waitsFor(ctx, "d", never, func(context.Context) error { return nil }, done) // runs
			c := waitsFor(ctx, "c", beginC, last.wait, done)
			middle.of = []strand.Releaser{{Ref: c.Ref()}}
			b := waitsFor(ctx, "b", beginB, middle.wait, done)
			first.of = []strand.Releaser{{Ref: b.Ref()}}
			close(beginB)
			until(t, "b waits", func() bool { return b.State() == strand.Waiting })
			look := func(n int) []strand.Releaser {
				if n == 1 { // the walk has seen that b waits
					after := []strand.Releaser{{Ref: tt.move(middle, c, d).Ref()}}
					middle.now.Store(&after)
					close(beginC)
					until(t, "c waits", func() bool { return c.State() == strand.Waiting })
					return []strand.Releaser{{Ref: c.Ref()}}
				}
				return *middle.now.Load()
			}
			middle.look.Store(&look)
			helper := make(chan struct{})
			go func() {
				defer close(helper)
				for first.waiting() == 0 || main.State() != strand.Waiting || middle.looks.Load() < 1 || c.State() != strand.Waiting {
					runtime.Gosched()
				}
				time.Sleep(20 * time.Millisecond) // for the walk to come to its wrong end
				first.set()
			}()
			if err := first.wait(ctx); err != nil {
				t.Errorf("a phantom: %v", err)
			}
			<-helper
			middle.look.Store(nil)
			middle.set()
			last.set()
			close(never)
			for range 3 {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// The pattern that shows phantoms on real threads, again and again: it keeps to
// an order of locks, and only a strand that looks at one edge too early sees a
// cycle.
func TestInvariant4NoPhantomsOfAMovingCycle(t *testing.T) {
	ctx := adopt(t)
	rounds := many(100_000)
	x, y, z := new(local.Lock), new(local.Lock), new(local.Lock)
	take := func(groups ...[]*local.Lock) func(context.Context) error {
		return func(ctx context.Context) error {
			for range rounds {
				for _, locks := range groups {
					for _, l := range locks {
						if err := l.Acquire(ctx); err != nil {
							return err
						}
					}
					for _, l := range locks {
						if err := l.Release(ctx); err != nil {
							return err
						}
					}
				}
			}
			return nil
		}
	}
	if err := threads(ctx,
		take([]*local.Lock{x, y}),
		take([]*local.Lock{y, z}),
		take([]*local.Lock{z}, []*local.Lock{x}),
	); err != nil {
		t.Error(err)
	}
}
