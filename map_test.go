package tristrand_test

import (
	"context"
	"errors"
	"iter"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
	"github.com/tristrand/tristrand/thread"
)

func count(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

// TestMapMemory maps a long input and looks at the memory on the way.
func TestMapMemory(t *testing.T) {
	n := 1_000_000
	if testing.Short() || racing {
		n = 100_000
	}
	ctx := asStrand(t)
	pool := newPool(t, 2, 0)
	crossing := newCrossing(t, &crossing{workers: 2, plain: true, target: time.Millisecond, max: 4096})
	for _, tt := range []struct {
		name string
		do   intMapper
		ex   tristrand.Executor
		opts []tristrand.CallOption
	}{
		{"Map", square.Map, pool, nil},
		{"MapUnordered", square.MapUnordered, pool, nil},
		{"Map in chunks", square.Map, pool, []tristrand.CallOption{tristrand.Chunk(50)}},
		{"Map in chunks chosen by itself", square.Map, crossing, nil},
		{"MapUnordered in chunks chosen by itself", square.MapUnordered, crossing, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx := asStrand(t)
			goroutines := runtime.NumGoroutine()
			before, most, i, sum := heap(), uint64(0), 0, 0
			for v, err := range tt.do(ctx, tt.ex, count(n), tt.opts...) {
				if err != nil {
					t.Fatal(err)
				}
				sum += v
				if i++; i%(n/5) == 0 {
					most = max(most, heap())
				}
			}
			want := 0
			for k := range n {
				want += k * k
			}
			if i != n || sum != want {
				t.Errorf("%d items of %d, with the sum %d, want %d", i, n, sum, want)
			}
			const bound = 4 << 20 // what 1024 jobs under way may take, and more
			if most > before+bound {
				t.Errorf("%d bytes were in use on the way, %d before", most, before)
			}
			if after := heap(); after > before+bound/4 {
				t.Errorf("%d bytes are in use afterwards, %d before", after, before)
			}
			eventually(t, "the end of goroutines that Map started", func() bool { return runtime.NumGoroutine() <= goroutines+2 })
		})
	}
	if err := pool.Close(ctx); err != nil {
		t.Error(err)
	}
}

// heap returns the bytes that live objects take.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestMapStopsWithItsCaller(t *testing.T) {
	for _, end := range []struct {
		name string
		do   func()
	}{
		{"panic", func() { panic("out") }},
		{"Goexit", runtime.Goexit},
	} {
		t.Run(end.name, func(t *testing.T) {
			inBubble(t, 2, 8, func(ctx context.Context, t *testing.T, pool *thread.Pool) {
				var running atomic.Int32
				task := tristrand.Func(func(ctx context.Context, n int) (int, error) {
					if n == 0 {
						return 0, nil
					}
					running.Add(1)
					defer running.Add(-1)
					<-ctx.Done()
					return 0, context.Cause(ctx)
				})
				done := make(chan int32)
				strand.Go(ctx, strand.Options{Kind: strand.Thread}, func(ctx context.Context) {
					defer func() {
						_ = recover()
						done <- running.Load()
					}()
					for range task.Map(ctx, pool, count(1<<60)) {
						synctest.Wait()
						end.do()
					}
				})
				if n := <-done; n != 0 {
					t.Errorf("%d jobs run on after the loop", n)
				}
				synctest.Wait() // the pool counts a little later
				if st := pool.Stats(); st.Queued != 0 || st.Failed+st.Cancelled+1 != st.Submitted {
					t.Errorf("the pool counts %+v", st)
				}
			})
		})
	}
}

// TestMapTimeout looks that the time-out of one item fails that item.
func TestMapTimeout(t *testing.T) {
	inBubble(t, 2, 8, func(ctx context.Context, t *testing.T, pool *thread.Pool) {
		gate := make(chan struct{})
		task := tristrand.Func(func(_ context.Context, n int) (int, error) {
			if n == 1 {
				<-gate
			}
			return n, nil
		})
		began := time.Now()
		var good, late int
		for _, err := range task.Map(ctx, pool, count(5), tristrand.Timeout(time.Second), tristrand.Chunk(3)) {
			switch {
			case err == nil:
				good++
			case errors.Is(err, tristrand.ErrTimeout):
				late++
			default:
				t.Errorf("an item fails with %v", err)
			}
		}
		if d := time.Since(began); good != 4 || late != 1 || d != time.Second {
			t.Errorf("%d items and %d time-outs after %v", good, late, d)
		}
		close(gate)
	})
}

// TestMapDeadlock has a job map on its own pool, and go on after the refusal:
// what was refused must not run later, nor be yielded twice.
func TestMapDeadlock(t *testing.T) {
	inBubble(t, 1, 8, func(ctx context.Context, t *testing.T, pool *thread.Pool) {
		var ran atomic.Int32
		inner := tristrand.Func(func(_ context.Context, n int) (int, error) { ran.Add(1); return n, nil })
		for name, mapper := range map[string]func(context.Context, tristrand.Executor, iter.Seq[int], ...tristrand.CallOption) iter.Seq2[int, error]{
			"Map": inner.Map, "MapUnordered": inner.MapUnordered,
		} {
			f := tristrand.Go(ctx, pool, func(ctx context.Context) (int, error) {
				n := 0
				for _, err := range mapper(ctx, pool, count(5), tristrand.Buffer(2)) {
					var dead *tristrand.DeadlockError
					if n++; !errors.As(err, &dead) {
						t.Errorf("%s: item %d has the error %v", name, n, err)
					}
				}
				return n, nil
			})
			if n, err := f.Result(ctx); n != 5 || err != nil {
				t.Errorf("%s yields %d items of 5, %v", name, n, err)
			}
		}
		if got, err := square.Call(ctx, pool, 3); got != 9 || err != nil {
			t.Errorf("the next job gives %v, %v", got, err)
		}
		if n := ran.Load(); n != 0 {
			t.Errorf("%d jobs ran that had been refused", n)
		}
	})
}

func TestMapPanics(t *testing.T) {
	ctx := asStrand(t)
	pool := newPool(t, 2, 8)
	task := tristrand.Func(func(_ context.Context, n int) (int, error) {
		if n == 2 {
			panic(errOwn)
		}
		return n, nil
	})
	for _, opts := range [][]tristrand.CallOption{nil, {tristrand.Chunk(2)}} {
		var got []int
		for v, err := range task.Map(ctx, pool, count(4), opts...) {
			var p *tristrand.PanicError
			if err != nil {
				v = -1
				if !errors.As(err, &p) || !errors.Is(err, errOwn) || len(p.Stack) == 0 {
					t.Errorf("the error of a panic is %v", err)
				}
			}
			got = append(got, v)
		}
		if !slices.Equal(got, []int{0, 1, -1, 3}) {
			t.Errorf("Map yields %v", got)
		}
	}
}
