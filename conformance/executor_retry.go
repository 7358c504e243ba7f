package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tristrand/tristrand"
)

// timeoutRules are about Timeout.
func timeoutRules() []executorRule {
	return []executorRule{
		{"a job whose time is up is ErrTimeout at once", "the Future is ErrTimeout at once", ofAll, anyWorld, timeoutAtOnce},
		{"a function that runs on loses its worker, not the executor's room", "its worker counted in Stats().Abandoned; or it is killed", ofAll, anyWorld, timeoutAbandoned},
		{"what a function returns after its time is ignored", "first call wins", ofAll, anyWorld, timeoutLate},
		{"the time runs from the start of the job", "Timeout: per try, from its start", ofAll, anyWorld, timeoutFromStart},
		{"a job that is in time is not disturbed", "Timeout", ofAll, anyWorld, timeoutInTime},
		{"Close does not wait for what was given up", "a function whose time was up is counted, not waited for", ofAll, anyWorld, timeoutClose},
	}
}

// retryRules are about Retries, Backoff and Permanent.
func retryRules() []executorRule {
	return []executorRule{
		{"a job is tried again until it succeeds", "Retries(n): up to n more tries after an error", ofAll, anyWorld, retryUntil},
		{"a job that fails every time has all its errors", "the final error joins the tries", ofAll, anyWorld, retryErrors},
		{"a job is tried again after a panic", "after an error, panic, crash or time-out", ofAll, anyWorld, retryPanic},
		{"a job is tried again after a time-out", "after an error, panic, crash or time-out", ofAll, anyWorld, retryTimeout},
		{"a Permanent error is not tried again", "never after Permanent(err)", ofAll, anyWorld, retryPermanent},
		{"a cancelled job is not tried again", "never after cancel", ofAll, anyWorld, retryCancel},
		{"a job whose ctx has ended is not tried again", "never after cancel", ofAll, anyWorld, retryContext},
		{"a job that waits for its next try holds no worker", "Backoff holds no worker", ofAll, anyWorld, retryHoldsNothing},
		{"a job that waits for its next try can be cancelled", "Cancel of a pending job; it has run, so Cancel is false", ofAll, anyWorld, retryCancelWaiting},
		{"the end of ctx is told while a job waits for its next try", "its cancellation is the job's; at once", ofAll, openWorld, retryContextWaiting},
		{"the pauses double, up to the greatest, less up to half", "Backoff(min, max): doubling, half jitter", ofAll, fakeTime, retryBackoff},
	}
}

func timeoutAtOnce(ctx context.Context, x *trial) {
	ex := x.open(ctx, 2, 4)
	began := x.now(ctx)
	deaf := x.deaf(ctx, ex, "deaf", tristrand.Timeout(rest))
	polite := x.hold(ctx, ex, "polite", tristrand.Timeout(rest))
	for _, f := range []*tristrand.Future[string]{deaf, polite} {
		err := failure(ctx, x, f, tristrand.ErrTimeout, context.DeadlineExceeded)
		x.took(ctx, began, rest, "the job")
		state(x, f, tristrand.Failed)
		if errors.Is(err, tristrand.ErrCancelled) || errors.Is(err, context.Canceled) {
			x.Errorf("the error is also a cancellation: %v", err)
		}
	}
	if !x.CanKill {
		x.untilLine(ctx, "stop polite") // its ctx has ended
	}
}

func timeoutAbandoned(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	f := x.deaf(ctx, ex, "deaf", tristrand.Timeout(rest))
	next := taskEcho.Submit(ctx, ex, 5)
	fails(ctx, x, f, tristrand.ErrTimeout)
	if got := result(ctx, x, next); got != 5 { // on the only worker
		x.Errorf("the next job gives %d", got)
	}
	if x.CanKill {
		if st := ex.Stats(); st.Abandoned != 0 {
			x.Errorf("the function was killed, but the executor counts %+v", st)
		}
		return
	}
	if st := ex.Stats(); st.Abandoned != 1 || st.Busy > 1 || st.Workers > 1 {
		x.Errorf("with one function that runs on the executor counts %+v", st)
	}
	x.release("deaf")
	x.until(ctx, "the end of what was given up", func() bool { return ex.Stats().Abandoned == 0 })
	x.must(ex.Close(ctx), "Close")
	if st := ex.Stats(); st.Submitted != 2 || st.Succeeded != 1 || st.Failed != 1 {
		x.Errorf("after a success and a time-out the executor counts %+v", st)
	}
}

func timeoutLate(ctx context.Context, x *trial) {
	if x.CanKill {
		return // it cannot return
	}
	ex := x.open(ctx, 1, 4)
	f := x.deaf(ctx, ex, "deaf", tristrand.Timeout(rest))
	var calls tally
	f.OnDone(func(*tristrand.Future[string]) { calls.add("called") })
	fails(ctx, x, f, tristrand.ErrTimeout)
	x.release("deaf")
	x.untilLine(ctx, "end deaf")
	x.until(ctx, "the end of what was given up", func() bool { return ex.Stats().Abandoned == 0 })
	if v, err := f.TryResult(); v != "" || !errors.Is(err, tristrand.ErrTimeout) {
		x.Errorf("after the function has returned the outcome is %q, %v", v, err)
	}
	equal(x, "the calls", calls.all(), []string{"called"})
}

func timeoutFromStart(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	names := x.occupy(ctx, ex, 1)
	f := taskEcho.Submit(ctx, ex, 5, tristrand.Timeout(200*rest))
	began := x.now(ctx)
	if x.world.virtual() {
		x.until(ctx, "more time than the job has", func() bool { return x.now(ctx)-began > 300*rest })
	}
	state(x, f, tristrand.Pending)
	x.release(names...)
	if got := result(ctx, x, f); got != 5 {
		x.Errorf("Result is %d", got)
	}
}

func timeoutInTime(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	f := x.hold(ctx, ex, "in time", tristrand.Timeout(patience))
	x.untilBegan(ctx, "in time")
	x.release("in time")
	if got := result(ctx, x, f); got != "in time" {
		x.Errorf("Result is %q", got)
	}
	for _, none := range []time.Duration{0, -1} {
		if got := result(ctx, x, taskLimits.Submit(ctx, ex, 0, tristrand.Timeout(none))); got != 0 {
			x.Errorf("a job with Timeout(%v) has %v left", none, got)
		}
	}
}

func timeoutClose(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	f := x.deaf(ctx, ex, "deaf", tristrand.Timeout(rest))
	fails(ctx, x, f, tristrand.ErrTimeout)
	x.must(ex.Close(ctx), "Close")
	if !x.CanKill && x.wrote("end deaf") {
		x.Errorf("Close waited for the function")
	}
}

// soon makes the pauses short.
var soon = tristrand.Backoff(tick, tick)

func retryUntil(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	f := x.flaky(ctx, ex, "a", 2, "error", tristrand.Retries(5), soon)
	if got := result(ctx, x, f); got != 3 {
		x.Errorf("the job succeeded at try %d", got)
	}
	state(x, f, tristrand.Succeeded)
	x.must(ex.Close(ctx), "Close")
	if st := ex.Stats(); st.Retried != 2 || st.Submitted != 1 || st.Succeeded != 1 || st.Failed != 0 {
		x.Errorf("after a job with two more tries the executor counts %+v", st)
	}
	if got := x.tries("a"); got != 3 {
		x.Errorf("%d tries", got)
	}
}

func retryErrors(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	f := x.flaky(ctx, ex, "a", 9, "error", tristrand.Retries(2), soon)
	err := failure(ctx, x, f)
	for n := 1; n <= 3; n++ {
		if want := fmt.Sprintf("try %d of a failed", n); !strings.Contains(err.Error(), want) {
			x.Errorf("the error does not tell of %q: %v", want, err)
		}
	}
	state(x, f, tristrand.Failed)
	if got := x.tries("a"); got != 3 {
		x.Errorf("%d tries, want 3", got)
	}
	f = x.flaky(ctx, ex, "b", 9, "error", tristrand.Retries(-1))
	fails(ctx, x, f)
	if got := x.tries("b"); got != 1 {
		x.Errorf("%d tries with Retries(-1)", got)
	}
}

func retryPanic(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	if got := result(ctx, x, x.flaky(ctx, ex, "a", 1, "panic", tristrand.Retries(1), soon)); got != 2 {
		x.Errorf("the job succeeded at try %d", got)
	}
	err := failure(ctx, x, x.flaky(ctx, ex, "b", 9, "panic", tristrand.Retries(1), soon))
	if _, ok := errors.AsType[*tristrand.PanicError](err); !ok {
		x.Errorf("the error is %v, want one with a *PanicError", err)
	}
}

func retryTimeout(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	f := x.flaky(ctx, ex, "a", 1, "hang", tristrand.Retries(1), tristrand.Timeout(25*rest), soon)
	if got := result(ctx, x, f); got != 2 {
		x.Errorf("the job succeeded at try %d", got)
	}
	g := x.flaky(ctx, ex, "b", 9, "hang", tristrand.Retries(1), tristrand.Timeout(rest), soon)
	fails(ctx, x, g, tristrand.ErrTimeout)
	if got := x.tries("b"); got != 2 {
		x.Errorf("%d tries, want 2", got)
	}
	if got := result(ctx, x, taskEcho.Submit(ctx, ex, 5)); got != 5 {
		x.Errorf("the next job gives %d", got)
	}
}

func retryPermanent(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	err := failure(ctx, x, x.flaky(ctx, ex, "a", 9, "permanent", tristrand.Retries(3), soon))
	if got := x.tries("a"); got != 1 {
		x.Errorf("%d tries after a Permanent error", got)
	}
	if !strings.Contains(err.Error(), "try 1 of a failed") {
		x.Errorf("the error is %v", err)
	}
}

func retryCancel(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	f := x.hold(ctx, ex, "cancelled", tristrand.Retries(3), soon)
	x.untilBegan(ctx, "cancelled")
	f.Cancel()
	fails(ctx, x, f, tristrand.ErrCancelled)
	x.must(ex.Close(ctx), "Close")
	if got := x.starting("begin "); len(got) != 1 {
		x.Errorf("%d tries of a job that was cancelled", len(got))
	}
}

func retryContext(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	inner, cancel := x.withCancel(ctx)
	f := x.hold(inner, ex, "ended", tristrand.Retries(3), soon)
	x.untilBegan(ctx, "ended")
	cancel(errGaveUp)
	fails(ctx, x, f, context.Canceled)
	x.must(ex.Close(ctx), "Close")
	if got := x.starting("begin "); len(got) != 1 {
		x.Errorf("%d tries of a job whose ctx has ended", len(got))
	}
}

// untilWaitsToTry waits until f has failed once and waits for its next try.
func (x *trial) untilWaitsToTry(ctx context.Context, f *tristrand.Future[int], name string) {
	x.Helper()
	x.until(ctx, "the first failure", func() bool { return x.tries(name) == 1 && f.State() == tristrand.Pending })
}

func retryHoldsNothing(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 1)
	f := x.flaky(ctx, ex, "a", 1, "error", tristrand.Retries(1), tristrand.Backoff(patience, patience))
	x.untilWaitsToTry(ctx, f, "a")
	for range 3 {
		if got := result(ctx, x, taskEcho.Submit(ctx, ex, 5)); got != 5 {
			x.Errorf("the next job gives %d", got)
		}
	}
	state(x, f, tristrand.Pending)
	x.must(ex.Terminate(), "Terminate")
	fails(ctx, x, f, tristrand.ErrCancelled)
}

func retryCancelWaiting(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	f := x.flaky(ctx, ex, "a", 9, "error", tristrand.Retries(9), tristrand.Backoff(patience, patience))
	p := x.start(ctx, "waiter", func(ctx context.Context) error {
		err := failure(ctx, x, f, tristrand.ErrCancelled)
		if !strings.Contains(err.Error(), "try 1 of a failed") {
			x.Errorf("the error does not tell of the try before: %v", err)
		}
		return nil
	})
	x.untilWaitsToTry(ctx, f, "a")
	began := x.now(ctx)
	if f.Cancel() {
		x.Errorf("Cancel of a job that has run is true")
	}
	x.joinAll(ctx, p)
	x.must(ex.Close(ctx), "Close") // which has nothing left to wait for
	if d := x.now(ctx) - began; d > patience/4 {
		x.Errorf("Cancel and Close took %v", d)
	}
	if got := x.tries("a"); got != 1 {
		x.Errorf("%d tries of a job that was cancelled after the first", got)
	}
}

func retryContextWaiting(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	inner, cancel := x.withCancel(ctx)
	f := x.flaky(inner, ex, "a", 9, "error", tristrand.Retries(9), tristrand.Backoff(patience/2, patience/2))
	p := x.start(ctx, "waiter", func(ctx context.Context) error {
		fails(ctx, x, f, context.Canceled, errGaveUp)
		return nil
	})
	x.untilWaitsToTry(ctx, f, "a")
	began := x.now(ctx)
	cancel(errGaveUp)
	x.joinAll(ctx, p)
	if d := x.now(ctx) - began; d > patience/4 {
		x.Errorf("the waiter was told after %v", d)
	}
	x.must(ex.Terminate(), "Terminate")
}

func retryBackoff(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	var at []time.Duration
	f := x.flaky(ctx, ex, "a", 5, "error", tristrand.Retries(5), tristrand.Backoff(time.Second, 5*time.Second))
	for n := range 6 {
		x.until(ctx, "the next try", func() bool { return x.tries("a") > n })
		at = append(at, x.now(ctx))
	}
	result(ctx, x, f)
	for i, seconds := range []int{1, 2, 4, 5, 5} {
		most := time.Duration(seconds) * time.Second
		if d := at[i+1] - at[i]; d < most/2-2*tick || d > most+2*tick {
			x.Errorf("the pause after try %d was %v, want %v less up to half", i+1, d, most)
		}
	}
}
