package conformance

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// stateRules are about futures: their states and who is told.
func stateRules() []executorRule {
	return []executorRule{
		{"a future is pending, running, then done", "State: Pending Running Succeeded Failed Cancelled", ofAll, anyWorld, statePhases},
		{"Result's ctx bounds that wait alone", "ctx bounds this wait only: the job goes on", ofAll, anyWorld, stateResultContext},
		{"all who wait get the result", "Result may be called from anywhere, any number of times", ofAll, anyWorld, stateManyWaiters},
		{"Done is closed when the job is done", "Done", ofAll, anyWorld, stateDone},
		{"OnDone is called in order, and at once if it is done", "on the finishing goroutine, in order added; at once if done", ofAll, anyWorld, stateOnDone},
		{"OnDone is called however the job ends", "OnDone: success, failure and cancellation", ofAll, anyWorld, stateOnDoneOutcomes},
		{"OnDone that panics is reported, and the others are called", "a callback's panic goes to OnReport", ofAll, anyWorld, stateOnDonePanics},
		{"OnDone that ends its goroutine uses no worker up", "a callback's Goexit goes to OnReport", ofAll, openWorld, stateOnDoneGoexit},
		{"OnDone may add functions and submit jobs", "OnDone", ofAll, anyWorld, stateOnDoneAdds},
		{"a future shared by many is settled once", "first call wins", ofAll, anyWorld, stateRace},
	}
}

func statePhases(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	running := x.hold(ctx, ex, "one")
	x.untilBegan(ctx, "one")
	pending := x.hold(ctx, ex, "two")
	state(x, running, tristrand.Running)
	state(x, pending, tristrand.Pending)
	for _, f := range []*tristrand.Future[string]{running, pending} {
		if _, err := f.TryResult(); !errors.Is(err, tristrand.ErrNotDone) {
			x.Errorf("TryResult of a job that is %v returns %v", f.State(), err)
		}
		if f.Failed() {
			x.Errorf("a job that is %v has failed", f.State())
		}
	}
	x.release("one")
	if got := result(ctx, x, running); got != "one" {
		x.Errorf("Result is %q", got)
	}
	state(x, running, tristrand.Succeeded)
	x.untilBegan(ctx, "two")
	state(x, pending, tristrand.Running)
	if pending.Cancel() {
		x.Errorf("Cancel of a job that runs is true")
	}
	fails(ctx, x, pending, tristrand.ErrCancelled)
	if !pending.Failed() {
		x.Errorf("a job that was cancelled has not failed")
	}
	for s, want := range map[tristrand.FutureState]string{
		tristrand.Pending: "pending", tristrand.Running: "running", tristrand.Succeeded: "succeeded",
		tristrand.Failed: "failed", tristrand.Cancelled: "cancelled",
	} {
		if s.String() != want {
			x.Errorf("state %d is called %q, want %q", s, s, want)
		}
	}
}

func stateResultContext(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	f, queued := x.hold(ctx, ex, "one"), x.hold(ctx, ex, "two")
	x.untilBegan(ctx, "one")
	for _, f := range []*tristrand.Future[string]{f, queued} {
		if _, err := f.Result(x.ended(ctx)); !errors.Is(err, context.Canceled) || !errors.Is(err, errGaveUp) {
			x.Errorf("Result under a ctx that has ended returns %v", err)
		}
		began := x.now(ctx)
		short, cancel := strand.WithTimeout(ctx, rest)
		_, err := f.Result(short)
		cancel()
		x.is(err, "Result whose time is up", context.DeadlineExceeded)
		x.took(ctx, began, rest, "Result")
		if errors.Is(err, tristrand.ErrTimeout) {
			x.Errorf("Result's time is up, not the job's, but its error is %v", err)
		}
	}
	x.release("one", "two")
	if got := result(ctx, x, f) + result(ctx, x, queued); got != "onetwo" {
		x.Errorf("the results are %q", got)
	}
}

func stateManyWaiters(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	f := x.hold(ctx, ex, "one")
	x.untilBegan(ctx, "one")
	var ps []*party
	for range 10 {
		ps = append(ps, x.start(ctx, "waiter", func(ctx context.Context) error {
			v, err := f.Result(ctx)
			if err == nil && v != "one" {
				err = errors.New("the result is " + v)
			}
			return err
		}))
	}
	x.until(ctx, "all wait", func() bool {
		return !slices.ContainsFunc(ps, func(p *party) bool { return p.strand.Waiting() == nil })
	})
	x.release("one")
	x.joinAll(ctx, ps...)
}

// isClosed reports whether a channel is closed. Rules do not wait for channels, as
// nobody else could run meanwhile under a scheduler.
func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func stateDone(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	f := x.hold(ctx, ex, "one")
	x.untilBegan(ctx, "one")
	queued := x.hold(ctx, ex, "two")
	running, pending := f.Done(), queued.Done()
	if isClosed(running) || isClosed(pending) {
		x.Errorf("Done is closed although the job runs: %v, is queued: %v", isClosed(running), isClosed(pending))
	}
	queued.Cancel()
	x.until(ctx, "the end of a job that is cancelled", func() bool { return isClosed(pending) })
	x.release("one")
	x.until(ctx, "the end of a job", func() bool { return isClosed(running) })
	result(ctx, x, f)
	g := taskEcho.Submit(ctx, ex, 1)
	result(ctx, x, g)
	if !isClosed(g.Done()) {
		x.Errorf("Done of a job that is done is not closed")
	}
}

// A tally is a list that many may add to.
type tally struct {
	mu   sync.Mutex
	list []string
}

func (l *tally) add(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, s)
}

func (l *tally) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.list)
}

func stateOnDone(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	f := x.hold(ctx, ex, "one")
	x.untilBegan(ctx, "one")
	var calls tally
	for _, name := range []string{"a", "b", "c"} {
		f.OnDone(func(g *tristrand.Future[string]) {
			if v, err := g.TryResult(); g != f || v != "one" || err != nil {
				x.Errorf("a function given to OnDone got %v, %v", v, err)
			}
			calls.add(name)
		})
	}
	if got := calls.all(); got != nil {
		x.Errorf("OnDone called %v before the job was done", got)
	}
	x.release("one")
	x.until(ctx, "three calls", func() bool { return len(calls.all()) == 3 })
	result(ctx, x, f)
	f.OnDone(func(*tristrand.Future[string]) { calls.add("d") })
	equal(x, "the calls", calls.all(), []string{"a", "b", "c", "d"})
}

func stateOnDoneOutcomes(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 8)
	var calls tally
	on := func(f *tristrand.Future[int]) { calls.add(f.State().String()) }
	names := x.occupy(ctx, ex, 1) // first: after quick jobs an engine may begin one ahead of its turn
	dropped := taskEcho.Submit(ctx, ex, 1)
	dropped.OnDone(on)
	if !dropped.Cancel() {
		x.Errorf("Cancel of a queued job is false")
	}
	dropped.OnDone(on)
	x.release(names...)
	ok, bad := taskEcho.Submit(ctx, ex, 1), taskFail.Submit(ctx, ex, "no")
	result(ctx, x, ok)
	fails(ctx, x, bad)
	ok.OnDone(on)
	bad.OnDone(on)
	refused := taskEcho.Submit(x.ended(ctx), ex, 1)
	refused.OnDone(on)
	equal(x, "the states at the calls", calls.all(), []string{"cancelled", "cancelled", "succeeded", "failed", "failed"})
}

// reports collects what goes to OnReport until the rule is over.
func (x *trial) reports() *tally {
	var all tally
	tristrand.OnReport(func(_ context.Context, err error) { all.add(err.Error()) })
	x.Cleanup(func() { tristrand.OnReport(nil) })
	return &all
}

func stateOnDonePanics(ctx context.Context, x *trial) {
	reports := x.reports()
	ex := x.open(ctx, 1, 4)
	f := x.hold(ctx, ex, "one")
	x.untilBegan(ctx, "one")
	var calls tally
	f.OnDone(func(*tristrand.Future[string]) { panic("from OnDone") })
	f.OnDone(func(*tristrand.Future[string]) { calls.add("a") })
	f.OnDone(func(*tristrand.Future[string]) { panic("again") })
	f.OnDone(func(*tristrand.Future[string]) { calls.add("b") })
	x.release("one")
	result(ctx, x, f)
	x.until(ctx, "two calls", func() bool { return len(calls.all()) == 2 })
	f.OnDone(func(*tristrand.Future[string]) { panic("at once") })
	equal(x, "the calls", calls.all(), []string{"a", "b"})
	for i, text := range []string{"from OnDone", "again", "at once"} {
		if got := reports.all(); len(got) != 3 || !strings.Contains(got[i], text) || !strings.Contains(got[i], taskHold.Name()) {
			x.Fatalf("reported: %q, want three panics with the job's name", got)
		}
	}
	if got := result(ctx, x, taskEcho.Submit(ctx, ex, 5)); got != 5 {
		x.Errorf("the next job gives %d", got)
	}
}

func stateOnDoneGoexit(ctx context.Context, x *trial) {
	reports := x.reports()
	ex := x.open(ctx, 1, 8)
	var calls tally
	for range 3 {
		f := x.hold(ctx, ex, "one")
		f.OnDone(func(*tristrand.Future[string]) { x.goexit() })
		f.OnDone(func(*tristrand.Future[string]) { calls.add("a") })
	}
	x.release("one")
	if got := result(ctx, x, taskEcho.Submit(ctx, ex, 5)); got != 5 {
		x.Errorf("the next job gives %d", got)
	}
	x.until(ctx, "three calls", func() bool { return len(calls.all()) == 3 })
	if got := reports.all(); len(got) != 3 || !strings.Contains(got[0], tristrand.ErrGoexit.Error()) {
		x.Errorf("reported: %q", got)
	}
	x.must(ex.Close(ctx), "Close")
	if st := ex.Stats(); st.Succeeded != 4 || st.Failed != 0 {
		x.Errorf("after four jobs that succeeded, three with such a function, the executor counts %+v", st)
	}
}

func stateOnDoneAdds(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	f := x.hold(ctx, ex, "one")
	x.untilBegan(ctx, "one")
	var calls tally
	var next *tristrand.Future[int]
	f.OnDone(func(f *tristrand.Future[string]) {
		calls.add("outer")
		f.OnDone(func(*tristrand.Future[string]) { calls.add("inner") })
		var err error
		if next, err = taskEcho.TrySubmit(ctx, ex, 7); err != nil {
			x.Errorf("TrySubmit from OnDone: %v", err)
		}
		calls.add("end")
	})
	x.release("one")
	x.until(ctx, "three calls", func() bool { return len(calls.all()) == 3 })
	equal(x, "the calls", calls.all(), []string{"outer", "inner", "end"})
	if got := result(ctx, x, next); got != 7 {
		x.Errorf("the job of OnDone gives %d", got)
	}
}

// stateRace has jobs settled by their end and by Cancel at once.
func stateRace(ctx context.Context, x *trial) {
	ex := x.open(ctx, 2, 64)
	n := x.many(100)
	var fs []*tristrand.Future[int]
	var calls tally
	for i := range n {
		f := taskSquare.Submit(ctx, ex, i)
		f.OnDone(func(f *tristrand.Future[int]) { calls.add(f.State().String()) })
		fs = append(fs, f)
	}
	var ps []*party
	for range 2 {
		ps = append(ps, x.start(ctx, "canceller", func(context.Context) error {
			for i, f := range fs {
				if f.Cancel() && f.State() != tristrand.Cancelled {
					x.Errorf("Cancel of job %d is true and it is %v", i, f.State())
				}
			}
			return nil
		}))
	}
	x.joinAll(ctx, ps...)
	x.must(ex.Close(ctx), "Close")
	for i, f := range fs {
		v, err := f.TryResult()
		switch f.State() {
		case tristrand.Succeeded:
			if v != i*i || err != nil {
				x.Errorf("job %d succeeded with %v, %v", i, v, err)
			}
		case tristrand.Cancelled, tristrand.Failed: // failed: it was killed
			x.is(err, "a job that did not succeed", tristrand.ErrCancelled)
		default:
			x.Errorf("job %d is %v after Close", i, f.State())
		}
	}
	x.until(ctx, "a call for each job", func() bool { return len(calls.all()) == n })
}
