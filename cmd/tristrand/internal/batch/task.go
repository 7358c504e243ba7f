package batch

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/cmd/tristrand/internal/builtin"
	"github.com/tristrand/tristrand/cmd/tristrand/internal/spool"
	"github.com/tristrand/tristrand/cmd/tristrand/internal/template"
	"github.com/tristrand/tristrand/strand"
)

// A Task is the Work of a built-in task, called in this process.
type Task struct {
	name    string
	call    func(ctx context.Context, in any) (any, error)
	timeout time.Duration
}

// NewTask returns the Work of spec. A job's ctx ends when its time-out, if above
// 0, has passed.
func NewTask(spec builtin.Spec, timeout time.Duration) (*Task, error) {
	h, ok := tristrand.Lookup(spec.Task.Name())
	if !ok {
		return nil, fmt.Errorf("bug: task %s is not defined", spec.Name)
	}
	return &Task{name: spec.Name, call: h.Call, timeout: timeout}, nil
}

// Line is the task's name and its input.
func (t *Task) Line(input string) string { return template.Line([]string{t.name, input}) }

// Kill has nothing to add to the end of the jobs' ctx.
func (t *Task) Kill() {}

// Do calls the task's function.
func (t *Task) Do(ctx context.Context, input string, out, _ *spool.Buffer) (o Outcome) {
	defer func() {
		if v := recover(); v != nil {
			o = Outcome{Exit: 1, Err: fmt.Errorf("panic: %v\n%s", v, debug.Stack())}
		}
	}()
	own := ctx
	if t.timeout > 0 {
		var cancel context.CancelFunc
		own, cancel = strand.WithTimeout(ctx, t.timeout)
		defer cancel()
	}
	result, err := t.call(own, &input)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return Outcome{Exit: -1, Stopped: true}
	case errors.Is(own.Err(), context.DeadlineExceeded):
		return Outcome{Exit: -1, TimedOut: true, Err: timeUp(t.timeout)}
	default:
		return Outcome{Exit: 1, Err: err}
	}
	found, ok := result.(*builtin.Outcome)
	if !ok {
		return Outcome{Exit: 1, Err: fmt.Errorf("bug: task %s gave %T", t.name, result)}
	}
	return printed(found, out)
}

// timeUp is why a job was stopped.
func timeUp(after time.Duration) error {
	return fmt.Errorf("stopped: its time of %v was up", after)
}

// printed is the outcome of a task that has found something, which it prints.
func printed(found *builtin.Outcome, out *spool.Buffer) Outcome {
	text := found.Text
	if n := len(text); n == 0 || text[n-1] != '\n' {
		text += "\n"
	}
	if _, err := out.Write([]byte(text)); err != nil {
		return Outcome{Exit: 1, Err: err, Fatal: true}
	}
	return Outcome{}
}
