package conformance

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// backlogRules are about workers, the queue before them, and its order.
func backlogRules() []executorRule {
	return []executorRule{
		{"as many jobs run at once as there are workers, and no more", "Workers", ofAll, anyWorld, backlogSaturation},
		{"one worker runs one job at a time", "Workers", ofAll, anyWorld, backlogSerial},
		{"jobs start in the order of submission", "FIFO among equals", ofAll, anyWorld, backlogOrder},
		{"jobs of higher priority start first", "Priority: larger starts earlier, 0 default, FIFO among equals", ofAll, anyWorld, backlogPriority},
		{"TrySubmit to a full queue is ErrFull", "TrySubmit ErrFull; the job never runs", ofAll, anyWorld, backlogFull},
		{"Submit to a full queue waits for room", "Submit waits under ctx", ofAll, anyWorld, backlogWaits},
		{"Submit to a full queue ends with its ctx", "Submit waits under ctx", ofAll, anyWorld, backlogWaitEnds},
		{"submitters that gave up are passed over", "a false Grant changes nothing, and the waker passes on", ofAll, anyWorld, backlogPassOver},
		{"a hundred quick submits against one slow worker", "Submit waits; nothing is lost", ofAll, anyWorld, backlogQuick},
		{"Stats counts what is there", "Stats: counts at one moment", ofAll, anyWorld, backlogStats},
	}
}

func backlogSaturation(ctx context.Context, x *trial) {
	const workers = 3
	ex := x.open(ctx, workers, 100)
	var fs []*tristrand.Future[string]
	n := 15 * workers
	for i := range n {
		fs = append(fs, x.hold(ctx, ex, fmt.Sprint(i)))
	}
	x.untilBegan(ctx, "0", "1", "2") // all of them at once
	x.settle(ctx)
	if got := len(x.starting("begin ")); got != workers {
		x.Errorf("%d jobs have begun with %d workers", got, workers)
	}
	x.releaseAll()
	for _, f := range fs {
		result(ctx, x, f)
	}
	inside, most := 0, 0
	for _, l := range x.lines() {
		if strings.HasPrefix(l, "begin ") {
			inside++
			most = max(most, inside)
		} else {
			inside--
		}
	}
	if most > workers || inside != 0 {
		x.Errorf("up to %d jobs ran at once with %d workers", most, workers)
	}
}

func backlogSerial(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 100)
	x.releaseAll()
	var fs []*tristrand.Future[string]
	for i := range 10 {
		fs = append(fs, x.hold(ctx, ex, fmt.Sprint(i)))
	}
	var want []string
	for i, f := range fs {
		result(ctx, x, f)
		want = append(want, fmt.Sprint("begin ", i), fmt.Sprint("end ", i))
	}
	equal(x, "what the jobs did", x.lines(), want)
}

func backlogOrder(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 100)
	names := x.occupy(ctx, ex, 1)
	var want []string
	var last *tristrand.Future[string]
	for i := range 50 {
		want = append(want, fmt.Sprint(i))
		last = x.hold(ctx, ex, fmt.Sprint(i))
	}
	x.release(names...)
	x.releaseAll()
	result(ctx, x, last)
	equal(x, "the order", x.starting("begin ")[1:], want)
}

func backlogPriority(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 100)
	names := x.occupy(ctx, ex, 1)
	var fs []*tristrand.Future[string]
	for i, p := range []int{0, -1, 5, 0, 5, -1, 1 << 30, -1 << 30, 0} {
		opts := []tristrand.CallOption{tristrand.Priority(p)}
		if p == 0 && i > 0 {
			opts = nil // the default is the same
		}
		fs = append(fs, x.hold(ctx, ex, fmt.Sprintf("%d of %d", i, p), opts...))
	}
	x.release(names...)
	x.releaseAll()
	for _, f := range fs {
		result(ctx, x, f)
	}
	equal(x, "the order", x.starting("begin ")[1:], []string{
		"6 of 1073741824", "2 of 5", "4 of 5", "0 of 0", "3 of 0", "8 of 0", "1 of -1", "5 of -1", "7 of -1073741824"})
}

// fill takes the workers and fills the queue, and returns what is queued.
func (x *trial) fill(ctx context.Context, ex tristrand.Executor, workers, queue int) (occupants []string, queued []*tristrand.Future[string]) {
	x.Helper()
	occupants = x.occupy(ctx, ex, workers)
	for i := range queue {
		queued = append(queued, x.hold(ctx, ex, fmt.Sprint("queued ", i)))
	}
	return occupants, queued
}

func backlogFull(ctx context.Context, x *trial) {
	ex := x.open(ctx, 2, 3)
	x.fill(ctx, ex, 2, 3)
	for range 2 {
		f, err := taskHold.TrySubmit(ctx, ex, holdIn{x.dir, "too many", false})
		if f != nil {
			x.Errorf("TrySubmit returns a future and %v", err)
		}
		x.is(err, "TrySubmit", tristrand.ErrFull)
	}
	x.releaseAll()
	x.until(ctx, "room", func() bool {
		f, err := taskEcho.TrySubmit(ctx, ex, 1)
		if err != nil {
			x.is(err, "TrySubmit", tristrand.ErrFull)
			return false
		}
		result(ctx, x, f)
		return true
	})
	x.must(ex.Close(ctx), "Close")
	if x.wrote("begin too many") {
		x.Errorf("a job ran that had been refused")
	}
}

// untilParked waits until p waits in the library.
func (x *trial) untilParked(ctx context.Context, ps ...*party) {
	x.Helper()
	x.until(ctx, "somebody waits", func() bool {
		return !slices.ContainsFunc(ps, func(p *party) bool { return p.strand.Waiting() == nil })
	})
}

func backlogWaits(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 1)
	names, _ := x.fill(ctx, ex, 1, 1)
	var ps []*party
	for i := range 3 {
		p := x.start(ctx, "submitter", func(ctx context.Context) error {
			_, err := x.hold(ctx, ex, fmt.Sprint("waited ", i)).Result(ctx)
			return err
		})
		x.untilParked(ctx, p)
		ps = append(ps, p)
	}
	x.settle(ctx)
	if got := x.starting("begin "); len(got) != 1 {
		x.Errorf("%v have begun", got)
	}
	x.release(names...)
	x.releaseAll()
	x.joinAll(ctx, ps...)
	equal(x, "the order", x.starting("begin "), []string{"occupant 0", "queued 0", "waited 0", "waited 1", "waited 2"})
}

func backlogWaitEnds(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 1)
	x.fill(ctx, ex, 1, 1)
	began := x.now(ctx)
	short, cancel := strand.WithTimeout(ctx, rest)
	defer cancel()
	f := x.hold(short, ex, "too late")
	x.took(ctx, began, rest, "Submit")
	fails(ctx, x, f, context.DeadlineExceeded)
	inner, end := x.withCancel(ctx)
	p := x.start(inner, "submitter", func(ctx context.Context) error {
		_, err := x.hold(ctx, ex, "given up").Result(ctx)
		x.is(err, "Submit", context.Canceled, errGaveUp)
		return nil
	})
	x.untilParked(ctx, p)
	end(errGaveUp)
	x.joinAll(ctx, p)
	x.releaseAll()
	x.must(ex.Close(ctx), "Close")
	equal(x, "what ran", x.starting("begin "), []string{"occupant 0", "queued 0"})
	if st := ex.Stats(); st.Submitted != 2 || st.Succeeded != 2 {
		x.Errorf("of two jobs that were accepted the executor counts %+v", st)
	}
}

func backlogPassOver(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 1)
	x.fill(ctx, ex, 1, 1)
	var quit, stay []*party
	inner, end := x.withCancel(ctx)
	for i := range 3 {
		p := x.start(inner, "quitter", func(ctx context.Context) error {
			_, err := x.hold(ctx, ex, fmt.Sprint("quit ", i)).Result(ctx)
			x.is(err, "Submit", errGaveUp)
			return nil
		})
		x.untilParked(ctx, p)
		quit = append(quit, p)
		p = x.start(ctx, "stayer", func(ctx context.Context) error {
			_, err := x.hold(ctx, ex, fmt.Sprint("stay ", i)).Result(ctx)
			return err
		})
		x.untilParked(ctx, p)
		stay = append(stay, p)
	}
	end(errGaveUp)
	x.joinAll(ctx, quit...)
	x.releaseAll()
	x.joinAll(ctx, stay...)
	equal(x, "what ran", x.starting("begin "), []string{"occupant 0", "queued 0", "stay 0", "stay 1", "stay 2"})
}

func backlogQuick(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 2)
	var fs []*tristrand.Future[int]
	for i := range 100 {
		fs = append(fs, taskEcho.Submit(ctx, ex, i))
	}
	for i, f := range fs {
		if got := result(ctx, x, f); got != i {
			x.Errorf("job %d gives %d", i, got)
		}
	}
}

func backlogStats(ctx context.Context, x *trial) {
	ex := x.open(ctx, 2, 7)
	if st := ex.Stats(); st.QueueCap != 7 || st.Busy != 0 || st.Queued != 0 || st.Submitted != 0 {
		x.Errorf("at first the executor counts %+v", st)
	}
	_, queued := x.fill(ctx, ex, 2, 3)
	st := ex.Stats()
	if st.Workers != 2 || st.Busy != 2 || st.Queued != 3 || st.QueueCap != 7 || st.Submitted != 5 {
		x.Errorf("with two jobs running and three queued the executor counts %+v", st)
	}
	queued[1].Cancel()
	bad := taskFail.Submit(ctx, ex, "no")
	x.releaseAll()
	fails(ctx, x, bad)
	x.must(ex.Close(ctx), "Close")
	st = ex.Stats()
	if st.Busy != 0 || st.Queued != 0 || st.Submitted != 6 || st.Succeeded != 4 || st.Failed != 1 || st.Cancelled != 1 {
		x.Errorf("after four successes, a failure and a cancellation the executor counts %+v", st)
	}
}
