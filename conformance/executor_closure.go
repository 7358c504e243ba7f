package conformance

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"weak"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// closureRules are about closures: what only a job of this process can have, and
// that other executors refuse them.
func closureRules() []executorRule {
	return []executorRule{
		{"a closure is refused", "engines that cross a process border refuse it with ErrNotPortable at Submit", ofPortable, anyWorld, closureRefused},
		{"closures run as tasks do", "Func makes a nameless task of a closure; Go", ofClosures, anyWorld, closureRuns},
		{"an error is the very one that the function returned", "the task's own error", ofClosures, anyWorld, closureError},
		{"a panic with an error can be unwrapped", "PanicError: works with errors.Is and As", ofClosures, anyWorld, closurePanicError},
		{"a test's FailNow in a job is a Goexit", "ErrGoexit", ofClosures, openWorld, closureFailNow},
		{"a job is run by a strand of its own", "a job's ctx names its strand", ofClosures, anyWorld, closureStrand},
		{"the values of ctx are the job's", "its values too inside one process", ofClosures, anyWorld, closureValues},
		{"the job's ctx ends when the job does", "a job's ctx dies with it", ofClosures, anyWorld, closureContextEnds},
		{"the cause of the end is told in the job", "the job's ctx ends with cause ErrCancelled, or ErrTimeout", ofClosures, anyWorld, closureCause},
		{"a time-out and the end of the function at once count once", "the Future is ErrTimeout; Stats", ofClosures, anyWorld, closureTimeoutRace},
		{"a job may submit jobs", "Submit from a worker", ofClosures, anyWorld, closureSubmits},
		{"what is done is not kept", "no pinning of closures after completion", ofClosures, openWorld, closureForgotten},
		{"a Group ends at the first error", "errgroup's job on any engine", ofClosures, anyWorld, groupFirstError},
		{"a Group that keeps going joins all errors", "KeepGoing: do not cancel the rest; Wait joins all errors", ofClosures, anyWorld, groupKeepGoing},
		{"a Group's Wait does not miss an error", "Wait returns the first error", ofClosures, anyWorld, groupRace},
	}
}

func closureRefused(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	double := tristrand.Func(func(_ context.Context, n int) (int, error) { return 2 * n, nil })
	f := double.Submit(ctx, ex, 1, tristrand.Retries(3))
	fails(ctx, x, f, tristrand.ErrNotPortable)
	state(x, f, tristrand.Failed)
	if f, err := double.TrySubmit(ctx, ex, 1); f != nil || !errors.Is(err, tristrand.ErrNotPortable) {
		x.Errorf("TrySubmit returns %v, %v", f, err)
	}
	var g tristrand.Group
	g.Executor = ex
	g.Go(ctx, func(context.Context) error { return nil })
	x.is(g.Wait(ctx), "Group.Wait", tristrand.ErrNotPortable)
	if got := result(ctx, x, taskEcho.Submit(ctx, ex, 5)); got != 5 {
		x.Errorf("the next job gives %d", got)
	}
}

func closureRuns(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	by := 3
	times := tristrand.Func(func(_ context.Context, n int) (int, error) { return by * n, nil })
	if got := result(ctx, x, times.Submit(ctx, ex, 5)); got != 15 || times.Name() != "" {
		x.Errorf("a closure gives %d; its name is %q", got, times.Name())
	}
	f := tristrand.Go(ctx, ex, func(context.Context) (string, error) { return fmt.Sprint(by), nil })
	if got := result(ctx, x, f); got != "3" {
		x.Errorf("Go gives %q", got)
	}
	none := tristrand.Go(ctx, ex, func(context.Context) (error, error) { return nil, nil })
	if got := result(ctx, x, none); got != nil {
		x.Errorf("a nil value came back as %v", got)
	}
}

type ownError struct{ code int }

func (e *ownError) Error() string { return "" } // as if it were none

func closureError(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	own := &ownError{7}
	f := tristrand.Go(ctx, ex, func(context.Context) (int, error) { return 3, own })
	v, err := f.Result(ctx)
	if v != 3 || err != error(own) { //nolint:errorlint // the very same
		x.Errorf("Result is %v, %#v, want what the function returned", v, err)
	}
}

func closurePanicError(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	own := &ownError{7}
	err := failure(ctx, x, tristrand.Go(ctx, ex, func(context.Context) (int, error) { panic(own) }), own)
	var p *tristrand.PanicError
	if !errors.As(err, &p) || p.Value != own || p.Task != "" {
		x.Errorf("the error is %#v, want a PanicError with what was given to panic", err)
	}
	err = failure(ctx, x, tristrand.Go(ctx, ex, func(context.Context) (int, error) { panic(nil) })) //nolint:govet // that is the case
	if !errors.As(err, &p) {
		x.Errorf("after panic(nil) the error is %v", err)
	}
	var m map[string]int
	err = failure(ctx, x, tristrand.Go(ctx, ex, func(context.Context) (int, error) { m["a"] = 1; return 0, nil }))
	if _, ok := errors.AsType[runtime.Error](err); !ok {
		x.Errorf("after a runtime error the error is %v", err)
	}
}

func closureFailNow(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	var other testing.T // one that may fail
	fails(ctx, x, tristrand.Go(ctx, ex, func(context.Context) (int, error) { other.SkipNow(); return 0, nil }), tristrand.ErrGoexit)
	if got := result(ctx, x, taskEcho.Submit(ctx, ex, 5)); got != 5 {
		x.Errorf("the next job gives %d", got)
	}
}

func closureStrand(ctx context.Context, x *trial) {
	ex := x.open(ctx, 2, 4)
	me := strand.Current(ctx).ID()
	f := tristrand.Go(ctx, ex, func(ctx context.Context) (strand.ID, error) {
		deep, cancel := context.WithCancel(context.WithValue(ctx, ownKey{}, 1))
		defer cancel()
		s := strand.Current(deep)
		if !s.Mine() || strand.Current(ctx) != s {
			return 0, errors.New("the ctx of the job does not name the strand that runs it")
		}
		return s.ID(), nil
	})
	if id := result(ctx, x, f); id == 0 || id == me {
		x.Errorf("the job was run by strand %d, and submitted by %d", id, me)
	}
}

type ownKey struct{}

func closureValues(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	with := context.WithValue(ctx, ownKey{}, "mine")
	get := func(ctx context.Context) (any, error) { return ctx.Value(ownKey{}), nil }
	if got := result(ctx, x, tristrand.Go(with, ex, get)); got != "mine" {
		x.Errorf("in the job ctx has the value %v", got)
	}
	if got := result(ctx, x, tristrand.Go(ctx, ex, get)); got != nil {
		x.Errorf("in the next job ctx has the value %v", got)
	}
}

func closureContextEnds(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	f := tristrand.Go(ctx, ex, func(ctx context.Context) (context.Context, error) { return ctx, ctx.Err() })
	inner := result(ctx, x, f)
	x.until(ctx, "the end of the job's ctx", func() bool { return isClosed(inner.Done()) })
	x.is(inner.Err(), "the ctx of a job that is done", context.Canceled)
}

func closureCause(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	var told atomic.Pointer[error]
	wait := func(ctx context.Context) (int, error) {
		err := strand.Sleep(ctx, patience)
		cause := context.Cause(ctx)
		told.Store(&cause)
		return 0, err
	}
	cause := func() error {
		x.until(ctx, "the end of the job", func() bool { return told.Load() != nil })
		return *told.Swap(nil)
	}
	f := tristrand.Go(ctx, ex, wait)
	x.until(ctx, "the job runs", func() bool { return f.State() == tristrand.Running })
	f.Cancel()
	fails(ctx, x, f, tristrand.ErrCancelled)
	x.is(cause(), "the cause in a job that was cancelled", tristrand.ErrCancelled)
	f = tristrand.Go(ctx, ex, wait, tristrand.Timeout(rest))
	fails(ctx, x, f, tristrand.ErrTimeout)
	x.is(cause(), "the cause in a job whose time is up", tristrand.ErrTimeout)
	inner, cancel := x.withCancel(ctx)
	f = tristrand.Go(inner, ex, wait)
	x.until(ctx, "the job runs", func() bool { return f.State() == tristrand.Running })
	cancel(errGaveUp)
	fails(ctx, x, f, errGaveUp)
	x.is(cause(), "the cause in a job whose ctx has ended", errGaveUp)
}

// closureTimeoutRace has functions return, fail or end their goroutine at about
// the time when it is up.
func closureTimeoutRace(ctx context.Context, x *trial) {
	ex := x.open(ctx, 2, 100)
	n := x.many(100)
	var fs []*tristrand.Future[int]
	for i := range n {
		fs = append(fs, tristrand.Go(ctx, ex, func(ctx context.Context) (int, error) {
			err := strand.Sleep(context.WithoutCancel(ctx), tick)
			if i%4 == 0 {
				x.goexit()
			}
			return i, err
		}, tristrand.Timeout(tick), tristrand.Retries(i%2), tristrand.Backoff(0, 0)))
	}
	for i, f := range fs {
		v, err := f.Result(ctx)
		if err == nil && v != i || err != nil && !errors.Is(err, tristrand.ErrTimeout) && !errors.Is(err, tristrand.ErrGoexit) {
			x.Errorf("job %d gives %d, %v", i, v, err)
		}
	}
	x.must(ex.Close(ctx), "Close")
	x.until(ctx, "the end of what was given up", func() bool { return ex.Stats().Abandoned == 0 })
	if st := ex.Stats(); st.Busy != 0 || st.Workers != 0 || st.Succeeded+st.Failed != uint64(n) || st.Submitted != uint64(n) {
		x.Errorf("after %d jobs the executor counts %+v", n, st)
	}
}

func closureSubmits(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 10)
	f := tristrand.Go(ctx, ex, func(ctx context.Context) ([]*tristrand.Future[int], error) {
		var fs []*tristrand.Future[int]
		for i := range 10 {
			fs = append(fs, taskSquare.Submit(context.WithoutCancel(ctx), ex, i))
		}
		return fs, nil
	})
	for i, g := range result(ctx, x, f) {
		if got := result(ctx, x, g); got != i*i {
			x.Errorf("the square of %d is %d", i, got)
		}
	}
}

// closureForgotten looks whether the garbage collector may have a job's closure
// and value while the executor lives on.
func closureForgotten(ctx context.Context, x *trial) {
	ex := x.open(ctx, 2, 10)
	var kept []weak.Pointer[[1 << 16]byte]
	for i := range 10 {
		big := new([1 << 16]byte)
		kept = append(kept, weak.Make(big))
		opts := []tristrand.CallOption{tristrand.Priority(i % 2)}
		f := tristrand.Go(ctx, ex, func(context.Context) (*[1 << 16]byte, error) { return big, nil }, opts...)
		result(ctx, x, f)
	}
	left := func() int {
		runtime.GC()
		return len(kept) - len(slices.DeleteFunc(slices.Clone(kept), func(p weak.Pointer[[1 << 16]byte]) bool { return p.Value() != nil }))
	}
	for tries := 0; left() > 0; tries++ {
		if tries == 100 {
			x.Fatalf("what %d of %d jobs held is not collected", left(), len(kept))
		}
		x.settle(ctx)
	}
	if got := result(ctx, x, taskEcho.Submit(ctx, ex, 5)); got != 5 {
		x.Errorf("the next job gives %d", got)
	}
}

func groupFirstError(ctx context.Context, x *trial) {
	g := tristrand.Group{Executor: x.open(ctx, 3, 10)}
	for range 2 { // a Group can be used again
		own := errors.New("the first")
		var others atomic.Int32
		var ready atomic.Int32
		for range 2 {
			g.Go(ctx, func(ctx context.Context) error {
				ready.Add(1)
				err := strand.Sleep(ctx, patience)
				if errors.Is(err, own) {
					others.Add(1)
				}
				return err
			})
		}
		g.Go(ctx, func(ctx context.Context) error {
			x.until(ctx, "the others run", func() bool { return ready.Load() == 2 })
			return own
		})
		if err := g.Wait(ctx); err != own || others.Load() != 2 { //nolint:errorlint // the very same
			x.Errorf("Wait returns %v, and %d others were told of it", err, others.Load())
		}
	}
	if err := g.Wait(ctx); err != nil {
		x.Errorf("Wait of an empty Group returns %v", err)
	}
}

func groupKeepGoing(ctx context.Context, x *trial) {
	g := tristrand.Group{Executor: x.open(ctx, 2, 10), KeepGoing: true}
	one, two := errors.New("one"), errors.New("two")
	var done atomic.Int32
	for i := range 9 {
		g.Go(ctx, func(ctx context.Context) error {
			if err := strand.Yield(ctx); err != nil {
				return err
			}
			done.Add(1)
			switch i {
			case 0:
				return one
			case 3:
				return two
			case 6:
				panic("three")
			}
			return nil
		})
	}
	err := g.Wait(ctx)
	x.is(err, "Wait", one, two)
	var p *tristrand.PanicError
	if !errors.As(err, &p) || done.Load() != 9 {
		x.Errorf("%d functions of 9 ran to their end; the error is %v", done.Load(), err)
	}
}

func groupRace(ctx context.Context, x *trial) {
	ex := x.open(ctx, 2, 10)
	own := errors.New("the only one")
	for range x.many(200) {
		g := tristrand.Group{Executor: ex}
		g.Go(ctx, func(context.Context) error { return nil })
		g.Go(ctx, func(context.Context) error { return own })
		if err := g.Wait(ctx); !errors.Is(err, own) {
			x.Fatalf("Wait returns %v", err)
		}
	}
}
