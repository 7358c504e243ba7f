package batch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/cmd/tristrand/internal/builtin"
	"github.com/tristrand/tristrand/cmd/tristrand/internal/spool"
	"github.com/tristrand/tristrand/cmd/tristrand/internal/template"
	"github.com/tristrand/tristrand/process"
)

// A WorkerTask is the Work of a built-in task, called in a worker process: one that
// does not stop is killed, and one that takes its process with it is a job that failed.
type WorkerTask struct {
	name    string
	task    *tristrand.Task[string, builtin.Outcome]
	pool    *process.Pool
	timeout time.Duration
}

// NewWorkerTask returns the Work of spec on the workers of a pool, which the caller
// closes. A job that goes on when its time-out, if above 0, has passed is killed after
// the pool's JobGrace.
func NewWorkerTask(spec builtin.Spec, pool *process.Pool, timeout time.Duration) *WorkerTask {
	return &WorkerTask{spec.Name, spec.Task, pool, timeout}
}

// Line is the task's name and its input.
func (w *WorkerTask) Line(input string) string { return template.Line([]string{w.name, input}) }

// Kill kills the workers.
func (w *WorkerTask) Kill() { _ = w.pool.Terminate() } // the pool's Close tells

// Do has a worker do it, and waits until that is over also when ctx ends before.
func (w *WorkerTask) Do(ctx context.Context, input string, out, errs *spool.Buffer) Outcome {
	found, err := w.task.Submit(ctx, w.pool, input, tristrand.Timeout(w.timeout)).Result(context.WithoutCancel(ctx))
	switch {
	case err == nil:
		return printed(&found, out)
	case ctx.Err() != nil:
		return Outcome{Exit: -1, Stopped: true}
	case errors.Is(err, tristrand.ErrClosed):
		return Outcome{Exit: 1, Err: err, Fatal: true} // no worker can be started
	}
	died, dead := errors.AsType[*process.ExitError](err)
	panicked, ok := errors.AsType[*tristrand.PanicError](err)
	switch {
	case errors.Is(err, tristrand.ErrTimeout) && dead:
		why := fmt.Errorf("its time of %v was up, and it did not stop: killed", w.timeout)
		return Outcome{Exit: -1, Signal: int(died.Signal), TimedOut: true, Err: why}
	case errors.Is(err, tristrand.ErrTimeout):
		return Outcome{Exit: -1, TimedOut: true, Err: timeUp(w.timeout)}
	case dead:
		return crashed(died, errs)
	case ok:
		return Outcome{Exit: 1, Err: fmt.Errorf("panic: %v\n%s", panicked.Value, panicked.Stack)}
	}
	return Outcome{Exit: 1, Err: err}
}

// crashed is the outcome of a job that took its process with it. What the process said
// last goes with what the job has printed.
func crashed(died *process.ExitError, errs *spool.Buffer) Outcome {
	o := Outcome{Exit: died.Code, Signal: int(died.Signal), Err: died}
	if o.Exit == 0 {
		o.Exit = 1 // it has ended well, but not done its job
	}
	words := died.Stderr
	if died.Crash != "" {
		words = died.Crash
	}
	if n := len(words); n > 0 && words[n-1] != '\n' {
		words += "\n"
	}
	if _, err := io.WriteString(errs, words); err != nil {
		o.Err, o.Fatal = err, true
	}
	return o
}
