package conformance

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// waitRules are about Wait and AsCompleted.
func waitRules() []executorRule {
	return []executorRule{
		{"Wait until the first is done", "FirstCompleted", ofAll, anyWorld, waitFirst},
		{"Wait until the first error", "FirstError: one has failed, or all are done", ofAll, anyWorld, waitFirstError},
		{"Wait until all are done", "AllCompleted", ofAll, anyWorld, waitAll},
		{"Wait counts duplicates once", "duplicates count once", ofAll, anyWorld, waitDuplicates},
		{"Wait for nothing", "Wait", ofAll, anyWorld, waitNothing},
		{"Wait whose ctx ends returns what is done", "when ctx ends it returns its error beside them", ofAll, anyWorld, waitContext},
		{"Wait for futures of several executors", "Waitable", ofAll, anyWorld, waitMixed},
		{"Wait misses none of a hundred that end meanwhile", "Watch grants w when it is done, at once if it is", ofAll, anyWorld, waitRace},
		{"AsCompleted yields in the order of their end", "in the order in which they are done", ofAll, anyWorld, asCompletedOrder},
		{"AsCompleted yields duplicates once, and nothing of nothing", "duplicates once", ofAll, anyWorld, asCompletedDuplicates},
		{"AsCompleted whose ctx ends says how many are left", "error once, last: 2 of 4 unfinished", ofAll, anyWorld, asCompletedContext},
		{"AsCompleted can be left early", "stopping early leaves the rest to go on", ofAll, anyWorld, asCompletedStop},
	}
}

// several returns holding jobs on a worker each, and waits until all run.
func (x *trial) several(ctx context.Context, n int) []*tristrand.Future[string] {
	x.Helper()
	ex := x.open(ctx, n, 8)
	var fs []*tristrand.Future[string]
	var names []string
	for i := range n {
		names = append(names, fmt.Sprint(i))
		fs = append(fs, x.hold(ctx, ex, names[i]))
	}
	x.untilBegan(ctx, names...)
	return fs
}

// isWaiting starts a strand that calls Wait and checks what it returns.
func (x *trial) isWaiting(ctx context.Context, when tristrand.When, fs []*tristrand.Future[string], wantDone ...int) *party {
	x.Helper()
	p := x.start(ctx, "waiter", func(ctx context.Context) error {
		done, pending, err := tristrand.Wait(ctx, when, fs...)
		x.split(fs, done, pending, wantDone...)
		return err
	})
	x.untilParked(ctx, p)
	return p
}

// split checks that done and pending are those of fs, in their order.
func (x *trial) split(fs, done, pending []*tristrand.Future[string], wantDone ...int) {
	x.Helper()
	var wd, wp []*tristrand.Future[string]
	for i, f := range fs {
		if slices.Contains(wantDone, i) {
			wd = append(wd, f)
		} else {
			wp = append(wp, f)
		}
	}
	if !slices.Equal(done, wd) || !slices.Equal(pending, wp) {
		x.Errorf("Wait returns %d done and %d pending, want %v done of %d", len(done), len(pending), wantDone, len(fs))
	}
}

func waitFirst(ctx context.Context, x *trial) {
	fs := x.several(ctx, 3)
	p := x.isWaiting(ctx, tristrand.FirstCompleted, fs, 1)
	x.release("1")
	x.joinAll(ctx, p)
	done, pending, err := tristrand.Wait(ctx, tristrand.FirstCompleted, fs...) // at once
	x.must(err, "Wait")
	x.split(fs, done, pending, 1)
	// One that is cancelled is done.
	ex := x.open(ctx, 1, 4)
	x.occupy(ctx, ex, 1)
	queued := x.hold(ctx, ex, "queued")
	gs := []*tristrand.Future[string]{fs[0], queued}
	q := x.isWaiting(ctx, tristrand.FirstCompleted, gs, 1)
	queued.Cancel()
	x.joinAll(ctx, q)
}

func waitFirstError(ctx context.Context, x *trial) {
	fs := x.several(ctx, 3)
	p := x.isWaiting(ctx, tristrand.FirstError, fs, 0, 1)
	x.release("0")
	result(ctx, x, fs[0])
	x.settle(ctx)
	if p.ended() {
		x.Errorf("Wait for an error returned after a success")
	}
	fs[1].Cancel()
	x.joinAll(ctx, p)
	done, pending, err := tristrand.Wait(ctx, tristrand.FirstError, fs...) // at once
	x.must(err, "Wait")
	x.split(fs, done, pending, 0, 1)
	// Without an error it is as AllCompleted.
	gs := []*tristrand.Future[string]{fs[0], fs[2]}
	q := x.isWaiting(ctx, tristrand.FirstError, gs, 0, 1)
	x.release("2")
	x.joinAll(ctx, q)
}

func waitAll(ctx context.Context, x *trial) {
	fs := x.several(ctx, 3)
	p := x.isWaiting(ctx, tristrand.AllCompleted, fs, 0, 1, 2)
	for i, f := range slices.Backward(fs) {
		if x.settle(ctx); p.ended() {
			x.Errorf("Wait for all returned with %d pending", i+1)
		}
		if i == 1 {
			f.Cancel()
		} else {
			x.release(fmt.Sprint(i))
		}
		_, _ = f.Result(ctx)
	}
	x.joinAll(ctx, p)
}

func waitDuplicates(ctx context.Context, x *trial) {
	fs := x.several(ctx, 2)
	x.release("0")
	result(ctx, x, fs[0])
	done, pending, err := tristrand.Wait(ctx, tristrand.FirstCompleted, fs[0], fs[1], fs[0], fs[1], fs[0])
	x.must(err, "Wait")
	x.split(fs, done, pending, 0)
}

func waitNothing(ctx context.Context, x *trial) {
	for _, when := range []tristrand.When{tristrand.AllCompleted, tristrand.FirstCompleted, tristrand.FirstError} {
		done, pending, err := tristrand.Wait[*tristrand.Future[int]](ctx, when)
		if len(done)+len(pending) != 0 || err != nil {
			x.Errorf("Wait for nothing returns %v, %v, %v", done, pending, err)
		}
	}
}

func waitContext(ctx context.Context, x *trial) {
	fs := x.several(ctx, 3)
	x.release("1")
	result(ctx, x, fs[1])
	for _, when := range []tristrand.When{tristrand.AllCompleted, tristrand.FirstError} {
		began := x.now(ctx)
		short, cancel := strand.WithTimeout(ctx, rest)
		done, pending, err := tristrand.Wait(short, when, fs...)
		cancel()
		x.took(ctx, began, rest, "Wait")
		x.is(err, "Wait whose time is up", context.DeadlineExceeded)
		x.split(fs, done, pending, 1)
		done, pending, err = tristrand.Wait(x.ended(ctx), when, fs...)
		x.is(err, "Wait under a ctx that has ended", context.Canceled, errGaveUp)
		x.split(fs, done, pending, 1)
	}
	done, pending, err := tristrand.Wait(x.ended(ctx), tristrand.FirstCompleted, fs...)
	x.must(err, "Wait for what has come about, under a ctx that has ended")
	x.split(fs, done, pending, 1)
	for _, i := range []int{0, 2} {
		state(x, fs[i], tristrand.Running)
	}
}

func waitMixed(ctx context.Context, x *trial) {
	fs := append(x.several(ctx, 1), x.several(ctx, 2)[1])
	p := x.isWaiting(ctx, tristrand.AllCompleted, fs, 0, 1)
	x.release("0", "1")
	x.joinAll(ctx, p)
}

func waitRace(ctx context.Context, x *trial) {
	ex := x.open(ctx, 4, 100)
	for range x.many(10) {
		var fs []*tristrand.Future[int]
		for i := range 100 {
			fs = append(fs, taskEcho.Submit(ctx, ex, i))
		}
		done, pending, err := tristrand.Wait(ctx, tristrand.AllCompleted, fs...)
		if len(done) != 100 || len(pending) != 0 || err != nil {
			x.Errorf("Wait returns %d done, %d pending, %v", len(done), len(pending), err)
		}
		fs = nil
		for i := range 100 {
			fs = append(fs, taskEcho.Submit(ctx, ex, i))
		}
		n := 0
		for f, err := range tristrand.AsCompleted(ctx, fs...) {
			x.must(err, "AsCompleted")
			if _, err := f.TryResult(); err != nil {
				x.Errorf("AsCompleted yields a job that is %v", f.State())
			}
			n++
		}
		if n != 100 {
			x.Errorf("AsCompleted yields %d of 100", n)
		}
	}
}

func asCompletedOrder(ctx context.Context, x *trial) {
	fs := x.several(ctx, 4)
	x.release("2")
	result(ctx, x, fs[2])
	next := map[string]string{"2": "0", "0": "3", "3": "1"}
	var got []string
	for f, err := range tristrand.AsCompleted(ctx, fs...) {
		x.must(err, "AsCompleted")
		v := result(ctx, x, f)
		got = append(got, v)
		x.release(next[v])
	}
	equal(x, "the order", got, []string{"2", "0", "3", "1"})
}

func asCompletedDuplicates(ctx context.Context, x *trial) {
	fs := x.several(ctx, 2)
	x.release("0", "1")
	var got []string
	for f, err := range tristrand.AsCompleted(ctx, fs[0], fs[1], fs[0], fs[0], fs[1]) {
		x.must(err, "AsCompleted")
		got = append(got, result(ctx, x, f))
	}
	slices.Sort(got)
	equal(x, "what AsCompleted yields", got, []string{"0", "1"})
	for f, err := range tristrand.AsCompleted[*tristrand.Future[int]](ctx) {
		x.Errorf("AsCompleted of nothing yields %v, %v", f, err)
	}
}

func asCompletedContext(ctx context.Context, x *trial) {
	fs := x.several(ctx, 4)
	x.release("0", "3")
	result(ctx, x, fs[0])
	result(ctx, x, fs[3])
	short, cancel := strand.WithTimeout(ctx, rest)
	defer cancel()
	ended := x.ended(ctx)
	for i, bounded := range []context.Context{short, ended} {
		var got []string
		var last error
		for f, err := range tristrand.AsCompleted(bounded, fs...) {
			if last != nil {
				x.Errorf("AsCompleted goes on after its error, with %v, %v", f, err)
			}
			if last = err; err == nil {
				got = append(got, result(ctx, x, f))
			} else if f != nil {
				x.Errorf("AsCompleted yields a future with its error")
			}
		}
		slices.Sort(got)
		equal(x, "those that were done", got, []string{"0", "3"})
		if last == nil || !strings.Contains(last.Error(), "2 of 4 unfinished") {
			x.Errorf("the error is %v, want it to say: 2 of 4 unfinished", last)
		}
		x.is(last, "AsCompleted", []error{context.DeadlineExceeded, errGaveUp}[i])
	}
}

func asCompletedStop(ctx context.Context, x *trial) {
	fs := x.several(ctx, 3)
	x.release("1")
	for f, err := range tristrand.AsCompleted(ctx, fs...) {
		x.must(err, "AsCompleted")
		if got := result(ctx, x, f); got != "1" {
			x.Errorf("the first is %q", got)
		}
		break
	}
	state(x, fs[0], tristrand.Running)
	x.release("0", "2")
	result(ctx, x, fs[0])
	result(ctx, x, fs[2])
}
