package conformance

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// The tasks of the executors' rules. They are defined, so that every process
// that runs the suite has them.
var (
	taskEcho   = tristrand.Define("conformance.echo", func(_ context.Context, n int) (int, error) { return n, nil })
	taskSquare = tristrand.Define("conformance.square", func(_ context.Context, n int) (int, error) { return n * n, nil })
	taskOdd    = tristrand.Define("conformance.odd", odd)
	taskFail   = tristrand.Define("conformance.fail", func(_ context.Context, text string) (int, error) { return 0, errors.New(text) })
	taskPanic  = tristrand.Define("conformance.panic", func(_ context.Context, text string) (int, error) { panic(text) })
	taskGoexit = tristrand.Define("conformance.goexit", func(context.Context, int) (int, error) { runtime.Goexit(); return 0, nil })
	taskParcel = tristrand.Define("conformance.parcel", func(_ context.Context, p parcel) (parcel, error) { return p, nil })
	taskHold   = tristrand.Define("conformance.hold", hold)
	taskFlaky  = tristrand.Define("conformance.flaky", flaky)
	taskMixed  = tristrand.Define("conformance.mixed", mixed)
	taskLimits = tristrand.Define("conformance.limits", limits)
)

// odd returns odd numbers and fails with the others.
func odd(_ context.Context, n int) (int, error) {
	if n%2 == 0 {
		return 0, fmt.Errorf("%d is even", n)
	}
	return n, nil
}

// A parcel is a value with something of everything in it.
type parcel struct {
	Text  string
	N     int64
	F     float64
	Yes   bool
	Bytes []byte
	List  []string
	Map   map[string]int
	At    time.Time
	Inner *parcel
}

// A holdIn tells hold where the journal is and under which name to hold.
type holdIn struct {
	Dir, Name string
	Deaf      bool // do not look at ctx
}

// hold says that it has begun and waits to be released.
func hold(ctx context.Context, in holdIn) (string, error) {
	j := journal{in.Dir}
	if err := j.note("begin " + in.Name); err != nil {
		return "", err
	}
	wait := ctx
	if in.Deaf {
		wait = context.WithoutCancel(ctx)
	}
	for !j.released(in.Name) {
		if err := strand.Sleep(wait, tick); err != nil {
			return "", errors.Join(err, j.note("stop "+in.Name))
		}
	}
	return in.Name, j.note("end " + in.Name)
}

// hold submits a job that runs until x.release(name), or until its ctx ends.
func (x *trial) hold(ctx context.Context, ex tristrand.Executor, name string, opts ...tristrand.CallOption) *tristrand.Future[string] {
	return taskHold.Submit(ctx, ex, holdIn{x.dir, name, false}, opts...)
}

// deaf submits a job that runs until x.release(name), whatever its ctx says.
func (x *trial) deaf(ctx context.Context, ex tristrand.Executor, name string, opts ...tristrand.CallOption) *tristrand.Future[string] {
	return taskHold.Submit(ctx, ex, holdIn{x.dir, name, true}, opts...)
}

// occupy submits deaf jobs until n workers are taken. The rule releases them
// under the names that it returns.
func (x *trial) occupy(ctx context.Context, ex tristrand.Executor, n int) []string {
	x.Helper()
	var names []string
	for i := range n {
		names = append(names, fmt.Sprint("occupant ", i))
		x.deaf(context.WithoutCancel(ctx), ex, names[i])
	}
	x.untilBegan(ctx, names...)
	return names
}

// A flakyIn tells flaky how often to fail, and how.
type flakyIn struct {
	Dir, Name string
	Fails     int
	How       string // "error", "panic", "permanent", "hang"
}

// flaky fails the first times it is called.
func flaky(ctx context.Context, in flakyIn) (int, error) {
	j := journal{in.Dir}
	if err := j.note("try " + in.Name); err != nil {
		return 0, err
	}
	n := 0
	for _, name := range j.starting("try ") {
		if name == in.Name {
			n++
		}
	}
	if n > in.Fails {
		return n, nil
	}
	err := fmt.Errorf("try %d of %s failed", n, in.Name)
	switch in.How {
	case "panic":
		panic(err.Error())
	case "permanent":
		return 0, tristrand.Permanent(err)
	case "hang":
		for err := error(nil); err == nil && !j.released(in.Name); {
			err = strand.Sleep(context.WithoutCancel(ctx), tick)
		}
		return 0, err
	default:
		return 0, err
	}
}

func (x *trial) flaky(ctx context.Context, ex tristrand.Executor, name string, fails int, how string, opts ...tristrand.CallOption) *tristrand.Future[int] {
	return taskFlaky.Submit(ctx, ex, flakyIn{x.dir, name, fails, how}, opts...)
}

// tries returns how often the flaky job of that name has begun.
func (x *trial) tries(name string) int {
	n := 0
	for _, s := range x.starting("try ") {
		if s == name {
			n++
		}
	}
	return n
}

// limits returns the time that the job's ctx leaves it, 0 if there is no bound.
func limits(ctx context.Context, _ int) (time.Duration, error) {
	d, ok := ctx.Deadline()
	if !ok {
		return 0, nil
	}
	return time.Until(d), nil
}
