package conformance

import (
	"context"
	"errors"
	"fmt"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// cancelRules are about Cancel and the ctx of Submit, which is the job's.
func cancelRules() []executorRule {
	return []executorRule{
		{"a queued job that is cancelled never runs", "Cancel, pending: true, never runs, ErrCancelled", ofAll, anyWorld, cancelJobPending},
		{"Cancel wakes who waits for the result", "Cancel, pending", ofAll, anyWorld, cancelJobWakes},
		{"a running job that is cancelled is asked to stop", "Cancel, running: false; the job's ctx ends with cause ErrCancelled", ofAll, anyWorld, cancelJobRunning},
		{"a running job that ignores Cancel", "the outcome is the function's, or the job is killed", ofAll, anyWorld, cancelJobDeaf},
		{"a job that is done is not cancelled", "true ⇔ it has not run and never will", ofAll, anyWorld, cancelJobDone},
		{"Cancel is true for those jobs alone that never run", "true ⇔ it has not run and never will", ofAll, anyWorld, cancelJobStorm},
		{"submit, cancel, close", "Close waits for what was accepted; a cancelled job is done", ofAll, anyWorld, cancelJobClose},
	}
}

// contextRules are about the ctx of Submit, which is the job's.
func contextRules() []executorRule {
	return []executorRule{
		{"a job under a ctx that has ended is refused", "Submit's ctx is the job's", ofAll, anyWorld, contextEnded},
		{"the end of the ctx of a queued job is its end, at once", "its cancellation is the job's; who waits under another ctx is told", ofAll, openWorld, contextEndsPending},
		{"the end of the ctx of a running job is passed on", "its cancellation is the job's, with its cause", ofAll, anyWorld, contextEndsRunning},
		{"the deadline of ctx is the job's", "its cancellation and deadline are the job's", ofAll, anyWorld, contextDeadline},
		{"WithoutCancel detaches a job", "context.WithoutCancel detaches", ofAll, anyWorld, contextDetached},
	}
}

func cancelJobPending(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	names := x.occupy(ctx, ex, 1)
	f := x.hold(ctx, ex, "cancelled")
	for range 3 {
		if !f.Cancel() {
			x.Errorf("Cancel of a queued job is false")
		}
	}
	state(x, f, tristrand.Cancelled)
	for range 2 {
		err := failure(ctx, x, f, tristrand.ErrCancelled, context.Canceled)
		if errors.Is(err, tristrand.ErrTimeout) || errors.Is(err, context.DeadlineExceeded) {
			x.Errorf("the error is also a time-out: %v", err)
		}
	}
	x.release(names...)
	x.must(ex.Close(ctx), "Close")
	if x.wrote("begin cancelled") {
		x.Errorf("a job ran after it had been cancelled")
	}
}

func cancelJobWakes(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	x.occupy(ctx, ex, 1)
	f := x.hold(ctx, ex, "cancelled")
	p := x.start(ctx, "waiter", func(ctx context.Context) error {
		fails(ctx, x, f, tristrand.ErrCancelled)
		return nil
	})
	x.untilParked(ctx, p)
	f.Cancel()
	x.joinAll(ctx, p) // the worker is taken still
}

func cancelJobRunning(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	f := x.hold(ctx, ex, "cancelled")
	x.untilBegan(ctx, "cancelled")
	if f.Cancel() {
		x.Errorf("Cancel of a running job is true")
	}
	fails(ctx, x, f, tristrand.ErrCancelled, context.Canceled)
	if f.Cancel() {
		x.Errorf("Cancel of a job that has run is true")
	}
	if got := result(ctx, x, taskEcho.Submit(ctx, ex, 5)); got != 5 {
		x.Errorf("the next job gives %d", got)
	}
}

func cancelJobDeaf(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	f := x.deaf(ctx, ex, "deaf")
	x.untilBegan(ctx, "deaf")
	if f.Cancel() {
		x.Errorf("Cancel of a running job is true")
	}
	if x.CanKill {
		fails(ctx, x, f, tristrand.ErrCancelled)
		x.settle(ctx)
		if x.wrote("end deaf") {
			x.Errorf("a job went on that had been killed")
		}
		return
	}
	x.settle(ctx)
	state(x, f, tristrand.Running)
	x.release("deaf")
	if got := result(ctx, x, f); got != "deaf" {
		x.Errorf("Result is %q, want what the function returned", got)
	}
	state(x, f, tristrand.Succeeded)
}

func cancelJobDone(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	ok, bad := taskEcho.Submit(ctx, ex, 5), taskFail.Submit(ctx, ex, "no")
	refused := taskEcho.Submit(x.ended(ctx), ex, 5)
	result(ctx, x, ok)
	fails(ctx, x, bad)
	for _, f := range []*tristrand.Future[int]{ok, bad, refused} {
		before := f.State()
		if f.Cancel() {
			x.Errorf("Cancel of a job that has %v is true", before)
		}
		state(x, f, before)
	}
	if v, err := ok.Result(ctx); v != 5 || err != nil {
		x.Errorf("after Cancel the result is %v, %v", v, err)
	}
}

func cancelJobStorm(ctx context.Context, x *trial) {
	ex := x.open(ctx, 2, 128)
	n := x.many(60)
	x.releaseAll()
	never := map[string]bool{}
	var fs []*tristrand.Future[string]
	for i := range n {
		fs = append(fs, x.hold(ctx, ex, fmt.Sprint(i)))
	}
	rng := x.rand(0)
	for range n {
		i := rng.IntN(n)
		if fs[i].Cancel() {
			never[fmt.Sprint(i)] = true
		}
		if err := strand.Yield(ctx); err != nil {
			x.Fatalf("Yield: %v", err)
		}
	}
	x.must(ex.Close(ctx), "Close")
	for _, name := range x.starting("begin ") {
		if never[name] {
			x.Errorf("job %s ran although Cancel said that it never would", name)
		}
	}
	for i, f := range fs {
		if f.State() <= tristrand.Running {
			x.Errorf("job %d is %v after Close", i, f.State())
		}
		if never[fmt.Sprint(i)] != (f.State() == tristrand.Cancelled) {
			x.Errorf("job %d is %v, but Cancel said %v", i, f.State(), never[fmt.Sprint(i)])
		}
	}
}

func cancelJobClose(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	names := x.occupy(ctx, ex, 1)
	f := x.hold(ctx, ex, "cancelled")
	f.Cancel()
	x.release(names...)
	x.must(ex.Close(ctx), "Close")
	fails(ctx, x, f, tristrand.ErrCancelled)
}

func contextEnded(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	f := x.hold(x.ended(ctx), ex, "refused")
	fails(ctx, x, f, context.Canceled, errGaveUp)
	x.must(ex.Close(ctx), "Close")
	if lines := x.lines(); lines != nil {
		x.Errorf("a job ran under a ctx that had ended: %v", lines)
	}
}

func contextEndsPending(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 8)
	names := x.occupy(ctx, ex, 1)
	inner, cancel := x.withCancel(ctx)
	watched, unwatched := x.hold(inner, ex, "watched"), x.hold(inner, ex, "unwatched")
	var called tally
	onDone := x.hold(inner, ex, "on done")
	onDone.OnDone(func(*tristrand.Future[string]) { called.add("called") })
	p := x.start(ctx, "waiter", func(ctx context.Context) error {
		fails(ctx, x, watched, tristrand.ErrCancelled, context.Canceled, errGaveUp)
		return nil
	})
	q := x.start(ctx, "selector", func(ctx context.Context) error {
		_, _, err := tristrand.Wait(ctx, tristrand.AllCompleted, watched)
		return err
	})
	x.untilParked(ctx, p, q)
	cancel(errGaveUp)
	x.joinAll(ctx, p, q) // the worker is taken still
	x.until(ctx, "the call", func() bool { return len(called.all()) == 1 })
	state(x, watched, tristrand.Cancelled)
	x.release(names...)
	fails(ctx, x, unwatched, context.Canceled, errGaveUp)
	x.must(ex.Close(ctx), "Close")
	equal(x, "what ran", x.starting("begin "), names)
	if st := ex.Stats(); st.Submitted != 4 || st.Succeeded != 1 || st.Cancelled != 3 {
		x.Errorf("after one job and three cancelled the executor counts %+v", st)
	}
}

func contextEndsRunning(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	inner, cancel := x.withCancel(ctx)
	f := x.hold(inner, ex, "ended")
	x.untilBegan(ctx, "ended")
	cancel(errGaveUp)
	err := failure(ctx, x, f, context.Canceled)
	if !x.Portable {
		x.is(err, "a job whose ctx has ended", errGaveUp)
	}
	if got := result(ctx, x, taskEcho.Submit(ctx, ex, 5)); got != 5 {
		x.Errorf("the next job gives %d", got)
	}
}

func contextDeadline(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	if got := result(ctx, x, taskLimits.Submit(ctx, ex, 0)); got != 0 {
		x.Errorf("a job without a bound has %v left", got)
	}
	bounded, cancel := strand.WithTimeout(ctx, patience)
	defer cancel()
	if got := result(ctx, x, taskLimits.Submit(bounded, ex, 0)); got <= 0 || got > patience {
		x.Errorf("a job with a deadline in %v has %v left", patience, got)
	}
	if got := result(ctx, x, taskLimits.Submit(bounded, ex, 0, tristrand.Timeout(patience/2))); got <= 0 || got > patience/2 {
		x.Errorf("a job with a time-out of %v has %v left", patience/2, got)
	}
	short, cancel := strand.WithTimeout(ctx, rest)
	defer cancel()
	f := x.hold(short, ex, "bounded")
	fails(ctx, x, f, context.DeadlineExceeded)
}

func contextDetached(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	inner, cancel := x.withCancel(ctx)
	f := x.hold(context.WithoutCancel(inner), ex, "running")
	x.untilBegan(ctx, "running")
	g := x.hold(context.WithoutCancel(inner), ex, "queued")
	cancel(errGaveUp)
	x.settle(ctx)
	x.releaseAll()
	if got := result(ctx, x, f) + result(ctx, x, g); got != "runningqueued" {
		x.Errorf("the results are %q", got)
	}
}
