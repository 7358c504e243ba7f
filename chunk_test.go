package tristrand_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

type intMapper = func(context.Context, tristrand.Executor, iter.Seq[int], ...tristrand.CallOption) iter.Seq2[int, error]

// mappersOf are the two ways to map a task.
func mappersOf(t *tristrand.Task[int, int]) map[string]intMapper {
	return map[string]intMapper{"Map": t.Map, "MapUnordered": t.MapUnordered}
}

// TestChunkHandler looks at a chunk as the worker of an engine does.
func TestChunkHandler(t *testing.T) {
	ctx := t.Context()
	h, ok := tristrand.Lookup("test.tricky[]")
	if !ok {
		t.Fatal("the chunks of a defined task are not found")
	}
	in, ok := h.NewInput().(*[]int)
	if !ok {
		t.Fatalf("NewInput gives %T", h.NewInput())
	}
	*in = []int{1, failing, 2, panicking, 3}
	out, err := h.Call(ctx, in)
	o, ok := out.(tristrand.Outcomes)
	if err != nil || !ok {
		t.Fatalf("Call gives %T, %v", out, err)
	}
	if v, ok := o.Values().(*[]int); !ok || !slices.Equal(*v, []int{1, 0, 2, 0, 3}) || o.Len() != 5 {
		t.Errorf("the values are %v, of %d inputs", o.Values(), o.Len())
	}
	var p *tristrand.PanicError
	if fs := o.Failures(); len(fs) != 2 || fs[0].Index != 1 || !errors.Is(fs[0].Err, errOwn) || fs[1].Index != 3 ||
		!errors.As(fs[1].Err, &p) || p.Task != "test.tricky" || len(p.Stack) == 0 {
		t.Errorf("the failures are %v", fs)
	}
	if p, ok := o.At(2).(*int); !ok || *p != 2 {
		t.Errorf("the third value is %v", o.At(2))
	}
	o.Fail(2, errOwn)
	o.Fail(6, nil)
	if p := o.At(2).(*int); *p != 0 || o.Len() != 7 || len(o.Failures()) != 4 || o.Failures()[3].Err == nil {
		t.Errorf("after Fail the third value is %d, of %d inputs, the failures %v", *p, o.Len(), o.Failures())
	}
	if _, err := h.Call(ctx, &[]string{"x"}); err == nil || !strings.Contains(err.Error(), "test.tricky") {
		t.Errorf("Call with a wrong type gives %v", err)
	}

	ended, cancel := context.WithCancelCause(ctx)
	*in = []int{1, -1, 2}
	stop.Store(&cancel)
	out, err = h.Call(ended, in)
	o, _ = out.(tristrand.Outcomes)
	if fs := o.Failures(); err != nil || o.Len() != 3 || len(fs) != 1 || fs[0].Index != 2 || !errors.Is(fs[0].Err, errOwn) {
		t.Errorf("when its ctx ends after the second of three, Call gives %v, %v", fs, err)
	}

	fn := func(context.Context, int) (int, error) { return 0, nil }
	if text, _ := panics(func() { tristrand.Define("test.other[]", fn) }).(string); !strings.Contains(text, "chunks") {
		t.Errorf("Define of a chunk's name panics with %q", text)
	}
}

// What tricky does for some inputs.
const (
	failing = 1000 + iota
	panicking
	dying
)

var stop atomic.Pointer[context.CancelCauseFunc]

// runs counts the calls of tricky by input.
var runs [dying + 1]atomic.Int32

var tricky = tristrand.Define("test.tricky", func(_ context.Context, n int) (int, error) {
	if n < 0 {
		(*stop.Load())(errOwn)
		return n, nil
	}
	runs[n].Add(1)
	switch n {
	case failing:
		return 0, errOwn
	case panicking:
		panic(errOwn)
	case dying:
		die()
	}
	return n, nil
})

// mapped is what Map yields for inputs of tricky, "x" for an error.
func mapped(t *testing.T, ctx context.Context, m intMapper, ex tristrand.Executor, in []int, opts ...tristrand.CallOption) (text string, errs []error) {
	t.Helper()
	for i := range runs {
		runs[i].Store(0)
	}
	var got []string
	for v, err := range m(ctx, ex, slices.Values(in), opts...) {
		if err != nil {
			got = append(got, "x")
			errs = append(errs, err)
		} else {
			got = append(got, fmt.Sprint(v))
		}
	}
	return strings.Join(got, ""), errs
}

func TestMapCrosses(t *testing.T) {
	ctx := asStrand(t)
	tests := []struct {
		name  string
		in    []int
		blind bool
		want  string
		err   string
	}{
		{"values", []int{0, 1, 2, 3, 4, 5, 6}, false, "0123456", ""},
		{"errors", []int{0, failing, 2, failing, failing}, false, "0x2xx", errOwn.Error()},
		{"a panic", []int{panicking, 1, 2, 3}, false, "x123", errOwn.Error()},
		{"a death at first", []int{dying, 1, 2, 3, 4}, false, "x1234", errDied.Error()},
		{"a death in the middle", []int{0, 1, dying, 3, 4, 5}, false, "01x345", errDied.Error()},
		{"a death at last", []int{0, 1, 2, dying}, false, "012x", errDied.Error()},
		{"errors, then deaths", []int{failing, 1, dying, dying, 4}, false, "x1xx4", ""},
		{"a death of which nothing is known", []int{0, dying, 2, 3, 4}, true, "xxxx4", errDied.Error()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for name, m := range mappersOf(tricky) {
				ex := newCrossing(t, &crossing{workers: 2, blind: tt.blind})
				got, errs := mapped(t, ctx, m, ex, tt.in, tristrand.Chunk(4))
				want := tt.want
				if name == "MapUnordered" {
					got, want = sorted(got), sorted(want)
				}
				if got != want {
					t.Errorf("%s yields %q, want %q", name, got, want)
				}
				for _, err := range errs {
					if !strings.Contains(err.Error(), tt.err) {
						t.Errorf("%s: an item has the error %v", name, err)
					}
				}
				for _, n := range tt.in {
					if r := runs[n].Load(); n < failing && r > 1 {
						t.Errorf("%s: the input %d ran %d times", name, n, r)
					}
				}
			}
		})
	}
}

func sorted(s string) string {
	b := []byte(s)
	slices.Sort(b)
	return string(b)
}

// TestMapCrossesAgain looks at what is tried again alone.
func TestMapCrossesAgain(t *testing.T) {
	ctx := asStrand(t)
	for name, m := range mappersOf(tricky) {
		ex := newCrossing(t, &crossing{workers: 2})
		got, _ := mapped(t, ctx, m, ex, []int{0, failing, 2, dying, 4, panicking}, tristrand.Chunk(6),
			tristrand.Retries(2), tristrand.Backoff(time.Nanosecond, time.Nanosecond))
		if got = sorted(got); got != "024xxx" {
			t.Errorf("%s yields %q", name, got)
		}
		for n, want := range map[int]int32{0: 1, failing: 3, 2: 1, dying: 3, 4: 1, panicking: 3} {
			if r := runs[n].Load(); r != want {
				t.Errorf("%s: the input %d ran %d times, want %d", name, n, r, want)
			}
		}
		ex.mu.Lock()
		if ex.names["test.tricky[]"] != 1 {
			t.Errorf("%s: the jobs were %v", name, ex.names)
		}
		ex.mu.Unlock()
	}
}

// What another try would not cure is not tried again, in a chunk neither.
func TestMapPermanentInAChunk(t *testing.T) {
	ctx := asStrand(t)
	pool := newPool(t, 2, 8)
	var tries atomic.Int32
	task := tristrand.Func(func(_ context.Context, n int) (int, error) {
		if n != 1 {
			return n, nil
		}
		tries.Add(1)
		return 0, tristrand.Permanent(errOwn)
	})
	got, errs := mapped(t, ctx, task.Map, pool, []int{0, 1, 2}, tristrand.Chunk(3), tristrand.Retries(3))
	if got != "0x2" || !errors.Is(errs[0], errOwn) || tries.Load() != 1 {
		t.Errorf("Map yields %q, with the errors %v, after %d tries", got, errs, tries.Load())
	}
}

// TestMapGoexitInAChunk is about an engine of this process.
func TestMapGoexitInAChunk(t *testing.T) {
	ctx := asStrand(t)
	pool := newPool(t, 2, 8)
	got, errs := mapped(t, ctx, tricky.Map, pool, []int{0, 1, dying, 3, 4}, tristrand.Chunk(5))
	if got != "01x34" || len(errs) != 1 || !errors.Is(errs[0], tristrand.ErrGoexit) {
		t.Errorf("Map yields %q, with the errors %v", got, errs)
	}
	for _, n := range []int{0, 1, 3, 4} {
		if r := runs[n].Load(); r != 1 {
			t.Errorf("the input %d ran %d times", n, r)
		}
	}
}

// An input that cannot be encoded fails alone, before anything runs.
func TestMapUnencodable(t *testing.T) {
	ctx := asStrand(t)
	ex := newCrossing(t, &crossing{workers: 2})
	var got []string
	for v, err := range anything.Map(ctx, ex, slices.Values([]any{"a", make(chan int), "c", "d"}), tristrand.Chunk(3), tristrand.Retries(3)) {
		if err != nil {
			v = "x"
			if !strings.Contains(err.Error(), "chan int") {
				t.Errorf("an item has the error %v", err)
			}
		}
		got = append(got, fmt.Sprint(v))
	}
	if !slices.Equal(got, []string{"a", "x", "c", "d"}) {
		t.Errorf("Map yields %v", got)
	}
}

var anything = tristrand.Define("test.anything", func(_ context.Context, v any) (any, error) { return v, nil })

// TestChunkFinish gives a chunk's job what a worker must not say.
func TestChunkFinish(t *testing.T) {
	tests := []struct {
		name   string
		finish func(j tristrand.Job, out tristrand.Outcomes)
		want   string
		again  int // inputs that are submitted again
	}{
		{"nothing and no error", func(j tristrand.Job, out tristrand.Outcomes) { j.Finish(out, nil) }, "gives 0 outcomes", 0},
		{"too many", func(j tristrand.Job, out tristrand.Outcomes) {
			*out.Values().(*[]int) = make([]int, 4)
			j.Finish(out, nil)
		}, "gives 4 outcomes for a chunk of 3", 0},
		{"a failure beyond the end", func(j tristrand.Job, out tristrand.Outcomes) {
			out.Fail(1<<40, errOwn)
			j.Finish(out, nil)
		}, "outcomes for a chunk of 3", 0},
		{"a failure before the beginning", func(j tristrand.Job, out tristrand.Outcomes) {
			out.Fail(-1, errOwn)
			j.Finish(out, nil)
		}, "gives 0 outcomes", 0},
		{"an error alone", func(j tristrand.Job, _ tristrand.Outcomes) { j.Finish(nil, errOwn) }, errOwn.Error(), 0},
		{"a wrong type", func(j tristrand.Job, _ tristrand.Outcomes) { j.Finish(new(int), nil) }, "gives", 0},
		{"cancelled", func(j tristrand.Job, out tristrand.Outcomes) { j.Finish(out, tristrand.ErrCancelled) }, "cancelled", 0},
		{"the first was running", func(j tristrand.Job, out tristrand.Outcomes) { j.Finish(out, errOwn) }, errOwn.Error(), 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx := asStrand(t)
			engine := new(elsewhere)
			done := make(chan []error)
			strand.Go(ctx, strand.Options{Kind: strand.Thread}, func(ctx context.Context) {
				var errs []error
				for _, err := range square.Map(ctx, engine, count(3), tristrand.Chunk(3)) {
					errs = append(errs, err)
				}
				done <- errs
			})
			has := func(n int) func() bool {
				return func() bool { engine.mu.Lock(); defer engine.mu.Unlock(); return len(engine.jobs) >= n }
			}
			eventually(t, "a job", has(1))
			j := engine.take(t)
			j.Start(engine.interrupt)
			tt.finish(j, j.NewOutput().(tristrand.Outcomes))
			eventually(t, "jobs for what is sent again", has(tt.again))
			for range tt.again {
				j := engine.take(t)
				if j.Task() != "test.square" {
					t.Errorf("a job of %q is submitted", j.Task())
				}
				j.Start(engine.interrupt)
				j.Finish(new(int), nil)
			}
			errs := <-done
			for i, err := range errs {
				if again := tt.again > 0 && i > 0; again != (err == nil) || !again && !strings.Contains(err.Error(), tt.want) {
					t.Errorf("item %d has the error %v", i, err)
				}
			}
			if len(errs) != 3 {
				t.Errorf("Map yields %d items", len(errs))
			}
		})
	}
}

// TestMapStopsInAChunk stops taking while a chunk runs, and while what was sent
// again does.
func TestMapStopsInAChunk(t *testing.T) {
	ctx := asStrand(t)
	for name, m := range mappersOf(tricky) {
		ex := newCrossing(t, &crossing{workers: 2})
		before := runtime.NumGoroutine()
		for range m(ctx, ex, slices.Values([]int{0, dying, 2, dying, 4, 5, 6, 7}), tristrand.Chunk(4)) {
			break
		}
		if err := ex.Close(ctx); err != nil {
			t.Error(err)
		}
		eventually(t, name+": the end of goroutines", func() bool { return runtime.NumGoroutine() <= before })
	}
}
