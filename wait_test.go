package tristrand_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
	"github.com/tristrand/tristrand/thread"
)

// TestWaitForMixed waits for a thread and a job with the same words.
func TestWaitForMixed(t *testing.T) {
	inBubble(t, 1, 8, func(ctx context.Context, t *testing.T, pool *thread.Pool) {
		one, two := make(chan struct{}), make(chan struct{})
		th := thread.Start(ctx, "one", func(context.Context) error { <-one; return nil })
		f := tristrand.Go(ctx, pool, func(context.Context) (int, error) { <-two; return 2, errOwn })
		all := []tristrand.Waitable{th, f}
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		done, pending, err := tristrand.Wait(short, tristrand.FirstCompleted, all...)
		if len(done) != 0 || len(pending) != 2 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait returns %v, %v, %v", done, pending, err)
		}
		close(two)
		done, pending, err = tristrand.Wait(ctx, tristrand.FirstError, all...)
		if len(done) != 1 || done[0] != f || len(pending) != 1 || err != nil {
			t.Errorf("Wait returns %v, %v, %v", done, pending, err)
		}
		go func() { time.Sleep(time.Second); close(one) }()
		var order []tristrand.Waitable
		for w, err := range tristrand.AsCompleted(ctx, all...) {
			if err != nil {
				t.Error(err)
			}
			order = append(order, w)
		}
		if len(order) != 2 || order[0] != f || order[1] != th {
			t.Errorf("AsCompleted yields %v", order)
		}
		if err := th.Join(ctx); err != nil {
			t.Error(err)
		}
	})
}

func TestAsCompletedMixedContext(t *testing.T) {
	inBubble(t, 1, 8, func(ctx context.Context, t *testing.T, pool *thread.Pool) {
		gate := make(chan struct{})
		th := thread.Start(ctx, "one", func(context.Context) error { <-gate; return nil })
		f := square.Submit(ctx, pool, 2)
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		var last error
		n := 0
		for _, err := range tristrand.AsCompleted[tristrand.Waitable](short, th, f) {
			if last = err; err == nil {
				n++
			}
		}
		if n != 1 || last == nil || !strings.Contains(last.Error(), "1 of 2 unfinished") || !errors.Is(last, context.DeadlineExceeded) {
			t.Errorf("%d are done, and then %v", n, last)
		}
		close(gate)
		if err := th.Join(ctx); err != nil {
			t.Error(err)
		}
	})
}

// Who looks again and again whether a job is done leaves nothing at it.
func TestAsCompletedLeavesNothing(t *testing.T) {
	ctx := t.Context()
	pool := &thread.Pool{Workers: 2}
	defer pool.Close(context.Background())
	gate := make(chan struct{})
	f := tristrand.Go(ctx, pool, func(context.Context) (int, error) { <-gate; return 1, nil })
	over := square.Submit(ctx, pool, 2)
	look := func(rounds int) (live uint64) {
		for range rounds {
			for got, err := range tristrand.AsCompleted(ctx, f, over) {
				if got != over || err != nil {
					t.Fatalf("got %v, %v", got, err)
				}
				break
			}
		}
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := look(100)
	const rounds = 20000
	if after := look(rounds); after > before+rounds*16 {
		t.Errorf("%d bytes are left of each look", (after-before)/rounds)
	}
	close(gate)
	if v, err := f.Result(ctx); v != 1 || err != nil {
		t.Errorf("got %v, %v", v, err)
	}
}

// A latch is a Waitable that can only be watched, and counts who looks at it.
type latch struct {
	done  chan struct{}
	looks *atomic.Int64

	mu sync.Mutex
	w  *strand.Wait
}

func (l *latch) Done() <-chan struct{} {
	l.looks.Add(1)
	return l.done
}

func (l *latch) Watch(w strand.Wait) (stop func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.w = &w
	return func() {}
}

func (l *latch) watched() *strand.Wait {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w
}

// TestWaitForManyLooksOnce ends one after another while Wait waits, which must
// not look at all of them each time.
func TestWaitForManyLooksOnce(t *testing.T) {
	inBubble(t, 1, 1, func(ctx context.Context, t *testing.T, _ *thread.Pool) {
		const n = 500
		var looks atomic.Int64
		var all []*latch
		for range n {
			all = append(all, &latch{done: make(chan struct{}), looks: &looks})
		}
		go func() {
			for i, l := range all {
				synctest.Wait()
				if l.watched() == nil {
					t.Errorf("nobody waits for %d", i)
					return
				}
				close(l.done)
				l.watched().Grant()
			}
		}()
		done, pending, err := tristrand.Wait(ctx, tristrand.AllCompleted, all...)
		if len(done) != n || len(pending) != 0 || err != nil {
			t.Errorf("Wait returns %d done, %d pending, %v", len(done), len(pending), err)
		}
		if got := looks.Load(); got > 4*n {
			t.Errorf("%d looks at %d that end one after another", got, n)
		}
	})
}

func TestWaitLeavesNothingBehind(t *testing.T) {
	inBubble(t, 1, 8, func(ctx context.Context, t *testing.T, pool *thread.Pool) {
		gate := make(chan struct{})
		f := tristrand.Go(ctx, pool, func(context.Context) (int, error) { <-gate; return 1, nil })
		synctest.Wait()
		before := heap()
		for range 10_000 {
			ended, cancel := context.WithTimeout(ctx, time.Nanosecond)
			_, _, err := tristrand.Wait(ended, tristrand.AllCompleted, f)
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("Wait gives %v", err)
			}
			cancel()
		}
		if after := heap(); after > before+256<<10 {
			t.Errorf("10,000 waits that ended left %d bytes", after-before)
		}
		close(gate)
	})
}
