package batch

import (
	"context"
	"errors"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/cmd/tristrand/internal/builtin"
	"github.com/tristrand/tristrand/cmd/tristrand/internal/remote"
	"github.com/tristrand/tristrand/cmd/tristrand/internal/spool"
	"github.com/tristrand/tristrand/cmd/tristrand/internal/template"
)

// A RemoteCommand is the Work of running a command for each input on the workers of a
// cluster.
type RemoteCommand struct {
	template *template.Template
	pool     tristrand.Executor
	timeout  time.Duration
	grace    time.Duration
	files    []remote.File
}

// NewRemoteCommand returns the Work of t on pool, which the caller closes. The files are
// sent along with each job.
func NewRemoteCommand(t *template.Template, pool tristrand.Executor, timeout, grace time.Duration, files []remote.File) *RemoteCommand {
	return &RemoteCommand{t, pool, timeout, grace, files}
}

// Line is the command as a shell would read it.
func (r *RemoteCommand) Line(input string) string { return template.Line(r.template.Expand(input)) }

// Kill asks the workers to stop.
func (r *RemoteCommand) Kill() { _ = r.pool.Terminate() } // the pool's Close tells

// Do has a worker run the command, and waits for its end.
func (r *RemoteCommand) Do(ctx context.Context, input string, out, errs *spool.Buffer) Outcome {
	c := remote.Command{Args: r.template.Expand(input), Grace: r.grace, Files: r.files}
	var opts []tristrand.CallOption
	if r.timeout > 0 {
		opts = append(opts, tristrand.Timeout(r.timeout))
	}
	rep, err := remote.Run.Submit(ctx, r.pool, c, opts...).Result(context.WithoutCancel(ctx))
	if err != nil {
		return remoteFailure(ctx, err, r.timeout)
	}
	o := Outcome{Exit: rep.Exit, Signal: rep.Signal}
	if rep.NotStarted != "" {
		o.Err = errors.New(rep.NotStarted)
	}
	if rep.Cut {
		o.Err = errors.New("its output was too long for a cluster; the rest is left out")
	}
	for _, s := range []struct {
		to   *spool.Buffer
		text []byte
	}{{out, rep.Stdout}, {errs, rep.Stderr}} {
		if _, err := s.to.Write(s.text); err != nil {
			o.Err, o.Fatal = err, true
		}
	}
	return o
}

// remoteFailure is the outcome of a job that came to nothing.
func remoteFailure(ctx context.Context, err error, timeout time.Duration) Outcome {
	switch {
	case ctx.Err() != nil:
		return Outcome{Exit: -1, Stopped: true}
	case errors.Is(err, tristrand.ErrTimeout):
		return Outcome{Exit: -1, TimedOut: true, Err: timeUp(timeout)}
	case errors.Is(err, tristrand.ErrClosed):
		return Outcome{Exit: 1, Err: err, Fatal: true}
	}
	return Outcome{Exit: 1, Err: err}
}

// A RemoteTask is the Work of a built-in task on the workers of a cluster.
type RemoteTask struct {
	name    string
	task    *tristrand.Task[string, builtin.Outcome]
	pool    tristrand.Executor
	timeout time.Duration
}

// NewRemoteTask returns the Work of spec on pool, which the caller closes.
func NewRemoteTask(spec builtin.Spec, pool tristrand.Executor, timeout time.Duration) *RemoteTask {
	return &RemoteTask{spec.Name, spec.Task, pool, timeout}
}

// Line is the task's name and its input.
func (r *RemoteTask) Line(input string) string { return template.Line([]string{r.name, input}) }

// Kill asks the workers to stop.
func (r *RemoteTask) Kill() { _ = r.pool.Terminate() }

// Do has a worker do it.
func (r *RemoteTask) Do(ctx context.Context, input string, out, _ *spool.Buffer) Outcome {
	found, err := r.task.Submit(ctx, r.pool, input, tristrand.Timeout(r.timeout)).Result(context.WithoutCancel(ctx))
	if err != nil {
		return remoteFailure(ctx, err, r.timeout)
	}
	return printed(&found, out)
}
