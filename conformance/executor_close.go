package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// closeRules are about Close and Terminate.
func closeRules() []executorRule {
	return []executorRule{
		{"Close runs everything that was accepted", "refuse, drain", ofAll, anyWorld, closeDrains},
		{"Close of an executor that nobody used", "Close", ofAll, anyWorld, closeUnused},
		{"after Close jobs are refused", "ErrClosed", ofAll, anyWorld, closeRefuses},
		{"while Close waits jobs are refused", "refuse, drain", ofAll, anyWorld, closeRefusesMeanwhile},
		{"Close again waits for the first and says the same", "again: waits for the first, same answer", ofAll, anyWorld, closeAgain},
		{"Close again says what was left", "again: same answer", ofAll, anyWorld, closeAgainLate},
		{"Close again while the first gives up", "again: waits for the first, same answer", ofAll, fakeTime, closeAgainDeaf},
		{"the ctx of a second Close bounds its own wait", "again: waits for the first", ofAll, anyWorld, closeAgainBounded},
		{"Close wakes those who wait for room", "ErrClosed", ofAll, anyWorld, closeWakes},
		{"Close waits for the tries to come", "refuse, drain", ofAll, anyWorld, closeRetries},
		{"Close whose ctx ends cancels and names what is left", "at ctx's end cancel, wait Grace, return *CloseError naming the jobs left", ofAll, anyWorld, closeLate},
		{"Close gives up on what does not stop", "wait Grace (5 s), return *CloseError", ofAll, fakeTime, closeDeaf},
		{"Close with an ended ctx and nothing to do", "*CloseError names the jobs left; there are none", ofAll, anyWorld, closeEndedIdle},
		{"Terminate drops the queue and cancels what runs", "drop the queue, cancel, return", ofAll, anyWorld, terminateRule},
		{"Terminate does not wait", "drop the queue, cancel, return", ofAll, anyWorld, terminateDeaf},
		{"Terminate of a thousand long jobs", "drop the queue, cancel, return", ofAll, anyWorld, terminateMany},
		{"Terminate ends the tries to come", "drop the queue", ofAll, anyWorld, terminateRetries},
		{"Terminate again, of an unused executor, and after Close", "Terminate", ofAll, anyWorld, terminateAgain},
		{"Terminate ends a Close that waits", "Terminate: drop, cancel; Close: drained then", ofAll, anyWorld, terminateDuringClose},
		{"Close at the same time as submits", "a job is accepted and done, or refused", ofAll, anyWorld, closeRace},
	}
}

func closeDrains(ctx context.Context, x *trial) {
	for range x.many(5) {
		ex := x.open(ctx, 2, 50)
		var fs []*tristrand.Future[int]
		for i := range 50 {
			fs = append(fs, taskSquare.Submit(ctx, ex, i))
		}
		x.must(ex.Close(ctx), "Close")
		for i, f := range fs {
			if v, err := f.TryResult(); v != i*i || err != nil {
				x.Errorf("after Close job %d is %v, %v", i, v, err)
			}
		}
	}
}

func closeUnused(ctx context.Context, x *trial) {
	ex := x.open(ctx, 2, 50)
	x.must(ex.Close(ctx), "Close")
	x.must(ex.Close(ctx), "Close again")
	fails(ctx, x, taskEcho.Submit(ctx, ex, 1), tristrand.ErrClosed)
}

// isRefused checks that ex is closed to new jobs.
func (x *trial) isRefused(ctx context.Context, ex tristrand.Executor) {
	x.Helper()
	f := x.hold(ctx, ex, "refused")
	fails(ctx, x, f, tristrand.ErrClosed)
	state(x, f, tristrand.Failed)
	f, err := taskHold.TrySubmit(ctx, ex, holdIn{x.dir, "refused", false})
	if f != nil {
		x.Errorf("TrySubmit returns a future, and %v", err)
	}
	x.is(err, "TrySubmit", tristrand.ErrClosed)
	fails(ctx, x, x.hold(ctx, ex, "refused", tristrand.Retries(3)), tristrand.ErrClosed)
}

func closeRefuses(ctx context.Context, x *trial) {
	ex := x.open(ctx, 2, 50)
	result(ctx, x, taskEcho.Submit(ctx, ex, 1))
	x.must(ex.Close(ctx), "Close")
	x.isRefused(ctx, ex)
	if x.wrote("begin refused") {
		x.Errorf("a job ran that had been refused")
	}
}

// closing starts a Close that cannot end yet.
func (x *trial) closing(ctx context.Context, ex tristrand.Executor) *party {
	x.Helper()
	p := x.start(ctx, "closer", func(ctx context.Context) error { return ex.Close(ctx) })
	x.untilParked(ctx, p)
	return p
}

func closeRefusesMeanwhile(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	x.fill(ctx, ex, 1, 2)
	p := x.closing(ctx, ex)
	x.isRefused(ctx, ex)
	x.releaseAll()
	x.joinAll(ctx, p)
	equal(x, "what ran", x.starting("begin "), []string{"occupant 0", "queued 0", "queued 1"})
}

func closeAgain(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	x.fill(ctx, ex, 1, 2)
	ps := []*party{x.closing(ctx, ex), x.closing(ctx, ex), x.closing(ctx, ex)}
	x.releaseAll()
	x.joinAll(ctx, ps...)
	x.must(ex.Close(ctx), "Close again")

}

func closeAgainLate(ctx context.Context, x *trial) {
	x.closedLate = true
	ex := x.open(ctx, 1, 4)
	x.hold(ctx, ex, "left")
	x.untilBegan(ctx, "left")
	first, second := ex.Close(x.ended(ctx)), ex.Close(ctx)
	if first == nil || fmt.Sprint(first) != fmt.Sprint(second) {
		x.Errorf("Close returns %v, and again %v", first, second)
	}
}

func closeAgainDeaf(ctx context.Context, x *trial) {
	x.closedLate = true
	ex := x.open(ctx, 1, 4)
	x.occupy(ctx, ex, 1)
	began := x.now(ctx)
	var errs [2]error
	first := x.start(ctx, "first", func(ctx context.Context) error { errs[0] = ex.Close(x.ended(ctx)); return nil })
	x.untilParked(ctx, first)
	second := x.start(ctx, "second", func(ctx context.Context) error { errs[1] = ex.Close(ctx); return nil })
	x.joinAll(ctx, first, second)
	var left *tristrand.CloseError
	if !errors.As(errs[1], &left) || fmt.Sprint(errs[0]) != fmt.Sprint(errs[1]) {
		x.Errorf("Close returns %v, and the second %v", errs[0], errs[1])
	}
	if d := x.now(ctx) - began; d > 6*time.Second {
		x.Errorf("the two took %v, want the grace", d)
	}
}

func closeAgainBounded(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	x.occupy(ctx, ex, 1)
	p := x.closing(ctx, ex)
	short, cancel := strand.WithTimeout(ctx, rest)
	defer cancel()
	x.is(ex.Close(short), "a second Close whose time is up", context.DeadlineExceeded)
	if p.ended() {
		x.Errorf("the second Close ended the first")
	}
	x.releaseAll()
	x.joinAll(ctx, p)
	x.must(ex.Close(ctx), "Close again")
}

func closeWakes(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 1)
	x.fill(ctx, ex, 1, 1)
	var ps []*party
	for range 3 {
		p := x.start(ctx, "submitter", func(ctx context.Context) error {
			fails(ctx, x, x.hold(ctx, ex, "refused"), tristrand.ErrClosed)
			return nil
		})
		x.untilParked(ctx, p)
		ps = append(ps, p)
	}
	closer := x.closing(ctx, ex)
	x.joinAll(ctx, ps...) // the worker is taken still
	x.releaseAll()
	x.joinAll(ctx, closer)
	if x.wrote("begin refused") {
		x.Errorf("a job ran that had been refused")
	}
}

func closeRetries(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	f := x.flaky(ctx, ex, "a", 1, "error", tristrand.Retries(1), tristrand.Backoff(5*rest, 5*rest))
	x.until(ctx, "the first try", func() bool { return x.tries("a") == 1 })
	x.must(ex.Close(ctx), "Close")
	if v, err := f.TryResult(); v != 2 || err != nil {
		x.Errorf("after Close the job that was to be tried again is %v, %v", v, err)
	}
}

func closeLate(ctx context.Context, x *trial) {
	x.closedLate = true
	ex := x.open(ctx, 1, 8)
	running := x.hold(ctx, ex, "running")
	x.untilBegan(ctx, "running")
	queued, other := x.hold(ctx, ex, "queued"), taskEcho.Submit(ctx, ex, 1)
	retry := x.flaky(ctx, ex, "tried", 1, "error", tristrand.Retries(1))
	short, cancel := strand.WithTimeout(ctx, rest)
	defer cancel()
	err := ex.Close(short)
	x.is(err, "Close whose time is up", context.DeadlineExceeded)
	var left *tristrand.CloseError
	if !errors.As(err, &left) {
		x.Fatalf("Close returns %T %v, want a *CloseError", err, err)
	}
	names := strings.Join(left.Left, " ")
	for _, task := range []string{taskHold.Name(), taskEcho.Name(), taskFlaky.Name()} {
		if len(left.Left) != 4 || !strings.Contains(names, task) {
			x.Errorf("Close names %q as left, want two of %s, one of %s, one of %s", left.Left, taskHold.Name(), taskEcho.Name(), taskFlaky.Name())
			break
		}
	}
	for _, f := range []*tristrand.Future[string]{running, queued} {
		_, err := f.TryResult()
		x.is(err, "a job that Close left", tristrand.ErrCancelled)
	}
	_, err = other.TryResult()
	x.is(err, "a queued job that Close left", tristrand.ErrCancelled)
	_, err = retry.TryResult()
	x.is(err, "a queued job with tries that Close left", tristrand.ErrCancelled)
	state(x, queued, tristrand.Cancelled)
	if got := x.starting("begin "); len(got) != 1 || x.tries("tried") != 0 {
		x.Errorf("%v ran", x.lines())
	}
}

func closeDeaf(ctx context.Context, x *trial) {
	x.closedLate = true
	ex := x.open(ctx, 1, 8)
	f := x.deaf(ctx, ex, "deaf")
	x.untilBegan(ctx, "deaf")
	began := x.now(ctx)
	err := ex.Close(x.ended(ctx))
	var left *tristrand.CloseError
	if !errors.As(err, &left) || len(left.Left) != 1 || !strings.Contains(left.Left[0], taskHold.Name()) {
		x.Fatalf("Close returns %T %v, want a *CloseError with one job", err, err)
	}
	x.is(err, "Close whose ctx has ended", context.Canceled, errGaveUp)
	x.took(ctx, began, 5*time.Second, "the grace")
	if x.CanKill {
		fails(ctx, x, f, tristrand.ErrCancelled)
		return
	}
	x.release("deaf")
	if got := result(ctx, x, f); got != "deaf" {
		x.Errorf("the job that went on gives %q", got)
	}
}

func closeEndedIdle(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 8)
	result(ctx, x, taskEcho.Submit(ctx, ex, 1))
	err := ex.Close(x.ended(ctx))
	if _, ok := errors.AsType[*tristrand.CloseError](err); ok {
		x.Errorf("Close with nothing to do returns %v", err)
	}
	x.isRefused(ctx, ex)
}

func terminateRule(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 8)
	running := x.hold(ctx, ex, "running")
	x.untilBegan(ctx, "running")
	var queued []*tristrand.Future[string]
	for range 3 {
		queued = append(queued, x.hold(ctx, ex, "queued"))
	}
	x.must(ex.Terminate(), "Terminate")
	x.isRefused(ctx, ex)
	for _, f := range queued {
		fails(ctx, x, f, tristrand.ErrCancelled)
		state(x, f, tristrand.Cancelled)
	}
	fails(ctx, x, running, tristrand.ErrCancelled)
	x.must(ex.Close(ctx), "Close afterwards")
	equal(x, "what ran", x.starting("begin "), []string{"running"})
}

func terminateDeaf(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 8)
	f := x.deaf(ctx, ex, "deaf")
	x.untilBegan(ctx, "deaf")
	x.must(ex.Terminate(), "Terminate")
	if x.CanKill {
		fails(ctx, x, f, tristrand.ErrCancelled)
		return
	}
	state(x, f, tristrand.Running)
	p := x.closing(ctx, ex)
	x.release("deaf")
	if got := result(ctx, x, f); got != "deaf" {
		x.Errorf("the job that went on gives %q", got)
	}
	x.joinAll(ctx, p)
}

func terminateMany(ctx context.Context, x *trial) {
	ex := x.open(ctx, 2, 1000)
	x.hold(ctx, ex, "running")
	var fs []*tristrand.Future[string]
	for range x.many(1000) {
		fs = append(fs, x.hold(ctx, ex, "queued"))
	}
	x.untilBegan(ctx, "running", "queued")
	x.must(ex.Terminate(), "Terminate")
	for _, f := range fs {
		fails(ctx, x, f, tristrand.ErrCancelled)
	}
	if got := len(x.starting("begin ")); got != 2 {
		x.Errorf("%d jobs ran on two workers", got)
	}
}

func terminateRetries(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	f := x.flaky(ctx, ex, "a", 9, "error", tristrand.Retries(9), tristrand.Backoff(patience, patience))
	x.until(ctx, "the first try", func() bool { return x.tries("a") == 1 && f.State() == tristrand.Pending })
	x.must(ex.Terminate(), "Terminate")
	err := failure(ctx, x, f, tristrand.ErrCancelled)
	if !strings.Contains(err.Error(), "try 1 of a failed") {
		x.Errorf("the error does not tell of the try before: %v", err)
	}
}

func terminateAgain(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	x.must(ex.Terminate(), "Terminate of an unused executor")
	x.must(ex.Terminate(), "Terminate again")
	x.must(ex.Close(ctx), "Close afterwards")
	x.isRefused(ctx, ex)
	ex = x.open(ctx, 1, 4)
	f := taskEcho.Submit(ctx, ex, 5)
	x.must(ex.Close(ctx), "Close")
	x.must(ex.Terminate(), "Terminate after Close")
	if got := result(ctx, x, f); got != 5 {
		x.Errorf("Result is %d", got)
	}
}

func terminateDuringClose(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	running := x.hold(ctx, ex, "running")
	x.untilBegan(ctx, "running")
	queued := x.hold(ctx, ex, "queued")
	p := x.closing(ctx, ex)
	x.must(ex.Terminate(), "Terminate")
	x.joinAll(ctx, p)
	fails(ctx, x, running, tristrand.ErrCancelled)
	fails(ctx, x, queued, tristrand.ErrCancelled)
}

func closeRace(ctx context.Context, x *trial) {
	for range x.many(20) {
		ex := x.open(ctx, 2, 4)
		var ps []*party
		for range 3 {
			ps = append(ps, x.start(ctx, "submitter", func(ctx context.Context) error {
				var fs []*tristrand.Future[int]
				for i := range 20 {
					fs = append(fs, taskEcho.Submit(ctx, ex, i))
				}
				for i, f := range fs {
					if v, err := f.Result(ctx); err == nil && v != i {
						x.Errorf("job %d gives %d", i, v)
					} else if err != nil {
						x.is(err, "a job that Close refused", tristrand.ErrClosed)
					}
				}
				return nil
			}))
		}
		if err := strand.Yield(ctx); err != nil {
			x.Fatalf("Yield: %v", err)
		}
		x.must(ex.Close(ctx), "Close")
		st := ex.Stats()
		if st.Submitted != st.Succeeded || st.Failed+st.Cancelled != 0 || st.Queued != 0 {
			x.Errorf("after Close the executor counts %+v, want all that it accepted done", st)
		}
		x.joinAll(ctx, ps...)
	}
}
