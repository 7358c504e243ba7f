package conformance

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tristrand/tristrand"
)

// runRulesOfExecutors are about what becomes of a job that runs.
func runRulesOfExecutors() []executorRule {
	return []executorRule{
		{"a job's value is its Result", "Result returns the outcome, any number of times", ofAll, anyWorld, runValue},
		{"a job's error is its Result", "the task's own error; also one whose text is empty", ofAll, anyWorld, runError},
		{"values of every shape arrive", "the function's value is the Future's", ofAll, anyWorld, runParcel},
		{"a panic is a PanicError with value, stack and task", "a panic in a task becomes *PanicError on every engine alike", ofAll, anyWorld, runPanic},
		{"a Goexit is ErrGoexit", "the function ended its goroutine: an error, and the worker goes on", ofAll, anyWorld, runGoexit},
		{"failures do not use workers up", "a job's end, however bad, leaves the executor whole", ofAll, anyWorld, runManyFailures},
		{"errors of a megabyte arrive, and Close does not hang", "outcomes are not bounded", ofAll, anyWorld, runBigErrors},
		{"every job runs once, whoever submits", "its methods are safe for concurrent use", ofAll, anyWorld, runMany},
		{"TrySubmit runs a job as Submit does", "TrySubmit is Submit that returns ErrFull instead of waiting", ofAll, anyWorld, runTrySubmit},
		{"Call is Submit and Result", "Call", ofAll, anyWorld, runCall},
		{"a nil executor is an error", "a refused job is a failed Future", ofAll, anyWorld, runNil},
	}
}

func runValue(ctx context.Context, x *trial) {
	ex := x.open(ctx, 2, 10)
	var fs []*tristrand.Future[int]
	for i := range 10 {
		fs = append(fs, taskSquare.Submit(ctx, ex, i))
	}
	for i, f := range fs {
		for range 2 {
			if got := result(ctx, x, f); got != i*i {
				x.Errorf("the square of %d is %d", i, got)
			}
		}
		state(x, f, tristrand.Succeeded)
		if v, err := f.TryResult(); v != i*i || err != nil {
			x.Errorf("TryResult afterwards is %v, %v", v, err)
		}
		if v, err := f.Result(x.ended(ctx)); v != i*i || err != nil {
			x.Errorf("Result of a job that is done, under a ctx that has ended, is %v, %v", v, err)
		}
		if f.Cancel() {
			x.Errorf("Cancel of a job that is done is true")
		}
	}
}

func runError(ctx context.Context, x *trial) {
	ex := x.open(ctx, 2, 10)
	for _, text := range []string{"it went wrong", ""} {
		f := taskFail.Submit(ctx, ex, text)
		if err := failure(ctx, x, f); !strings.Contains(err.Error(), text) {
			x.Errorf("the error is %q, want %q", err, text)
		}
		state(x, f, tristrand.Failed)
		if _, err := f.TryResult(); err == nil {
			x.Errorf("TryResult afterwards has no error")
		}
	}
}

func runParcel(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 10)
	in := parcel{
		Text: "tschüß \x00 \xff", N: -1 << 62, F: 0.1, Yes: true, Bytes: slices.Repeat([]byte{0, 1, 255}, 400_000),
		List: []string{"", "a"}, Map: map[string]int{"": 0, "b": -1}, At: time.Unix(1234567890, 123456789).UTC(),
		Inner: &parcel{Text: "inner"},
	}
	out := result(ctx, x, taskParcel.Submit(ctx, ex, in))
	same := out.Text == in.Text && out.N == in.N && out.F == in.F && out.Yes && slices.Equal(out.Bytes, in.Bytes) &&
		slices.Equal(out.List, in.List) && maps.Equal(out.Map, in.Map) && out.At.Equal(in.At) &&
		out.Inner != nil && out.Inner.Text == "inner" && out.Inner.Inner == nil
	if !same {
		x.Errorf("a value came back changed: text %q, %d bytes, list %q, map %v, time %v, inner %v",
			out.Text, len(out.Bytes), out.List, out.Map, out.At, out.Inner)
	}
	if out := result(ctx, x, taskParcel.Submit(ctx, ex, parcel{})); out.Inner != nil || len(out.List) != 0 || !out.At.IsZero() {
		x.Errorf("the zero value came back as %+v", out)
	}
}

func runPanic(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 10)
	f := taskPanic.Submit(ctx, ex, "boom")
	err := failure(ctx, x, f)
	state(x, f, tristrand.Failed)
	var p *tristrand.PanicError
	switch {
	case !errors.As(err, &p):
		x.Errorf("the error is %T %v, want a *PanicError", err, err)
	case fmt.Sprint(p.Value) != "boom" || p.Task != taskPanic.Name():
		x.Errorf("the panic is of task %q with %v", p.Task, p.Value)
	case !strings.Contains(string(p.Stack), "executor_task.go"):
		x.Errorf("the stack does not name the file of the function that panicked:\n%s", p.Stack)
	}
	if got := result(ctx, x, taskEcho.Submit(ctx, ex, 5)); got != 5 {
		x.Errorf("the next job gives %d", got)
	}
}

func runGoexit(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 10)
	for range 3 {
		f := taskGoexit.Submit(ctx, ex, 0)
		fails(ctx, x, f, tristrand.ErrGoexit)
		state(x, f, tristrand.Failed)
	}
	if got := result(ctx, x, taskEcho.Submit(ctx, ex, 5)); got != 5 {
		x.Errorf("the next job gives %d", got)
	}
}

func runManyFailures(ctx context.Context, x *trial) {
	ex := x.open(ctx, 2, 64)
	n := x.many(30)
	for i := range n {
		taskFail.Submit(ctx, ex, "no")
		taskPanic.Submit(ctx, ex, "no")
		if i%3 == 0 {
			taskGoexit.Submit(ctx, ex, 0)
		}
	}
	// Both workers must be there still: these two have to run at once.
	a, b := x.hold(ctx, ex, "a"), x.hold(ctx, ex, "b")
	x.untilBegan(ctx, "a", "b")
	x.release("a", "b")
	result(ctx, x, a)
	result(ctx, x, b)
	x.until(ctx, "the count of the failures", func() bool {
		return ex.Stats().Failed == uint64(2*n+(n+2)/3)
	})
}

func runBigErrors(ctx context.Context, x *trial) {
	ex := x.open(ctx, 2, 10)
	big := strings.Repeat("x", 1<<20)
	var fs []*tristrand.Future[int]
	for range 6 {
		fs = append(fs, taskFail.Submit(ctx, ex, big))
	}
	x.must(ex.Close(ctx), "Close")
	for _, f := range fs {
		if err := failure(ctx, x, f); !strings.Contains(err.Error(), big) {
			x.Errorf("the error has %d bytes", len(err.Error()))
		}
	}
}

func runMany(ctx context.Context, x *trial) {
	ex := x.open(ctx, 4, 16)
	each := x.many(50)
	var ps []*party
	for k := range 4 {
		ps = append(ps, x.start(ctx, fmt.Sprint("submitter ", k), func(ctx context.Context) error {
			var fs []*tristrand.Future[int]
			for i := range each {
				fs = append(fs, taskOdd.Submit(ctx, ex, k*each+i))
			}
			for i, f := range fs {
				n := k*each + i
				v, err := f.Result(ctx)
				if ok := n%2 == 1; ok != (err == nil) || ok && v != n {
					x.Errorf("job %d gives %d, %v", n, v, err)
				}
			}
			return nil
		}))
	}
	x.joinAll(ctx, ps...)
	x.must(ex.Close(ctx), "Close")
	st := ex.Stats()
	if n := uint64(4 * each); st.Submitted != n || st.Succeeded != n/2 || st.Failed != n/2 || st.Cancelled != 0 {
		x.Errorf("after %d jobs of which half fail the executor counts %+v", n, st)
	}
}

func runTrySubmit(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	f, err := taskEcho.TrySubmit(ctx, ex, 3)
	x.must(err, "TrySubmit")
	if got := result(ctx, x, f); got != 3 {
		x.Errorf("Result is %d", got)
	}
	if f, err := taskEcho.TrySubmit(x.ended(ctx), ex, 3); f != nil || !errors.Is(err, context.Canceled) || !errors.Is(err, errGaveUp) {
		x.Errorf("TrySubmit under a ctx that has ended returns %v, %v", f, err)
	}
}

func runCall(ctx context.Context, x *trial) {
	ex := x.open(ctx, 1, 4)
	if v, err := taskSquare.Call(ctx, ex, 3); v != 9 || err != nil {
		x.Errorf("Call returns %v, %v", v, err)
	}
	if _, err := taskFail.Call(ctx, ex, "no"); err == nil {
		x.Errorf("Call has no error")
	}
	// When ctx ends first, Call cancels the job.
	names := x.occupy(ctx, ex, 1)
	inner, cancel := x.withCancel(ctx)
	caller := x.start(inner, "caller", func(ctx context.Context) error {
		_, err := taskHold.Call(ctx, ex, holdIn{x.dir, "called", false})
		x.is(err, "Call whose ctx has ended", context.Canceled, errGaveUp)
		return nil
	})
	x.until(ctx, "the call", func() bool { return ex.Stats().Queued == 1 })
	cancel(errGaveUp)
	x.joinAll(ctx, caller)
	x.release(names...)
	x.must(ex.Close(ctx), "Close")
	if x.wrote("begin called") {
		x.Errorf("a job ran although its caller had given up before")
	}
}

func runNil(ctx context.Context, x *trial) {
	f := taskEcho.Submit(ctx, nil, 1)
	fails(ctx, x, f)
	state(x, f, tristrand.Failed)
	if f, err := taskEcho.TrySubmit(ctx, nil, 1); f != nil || err == nil {
		x.Errorf("TrySubmit to nil returns %v, %v", f, err)
	}
}
