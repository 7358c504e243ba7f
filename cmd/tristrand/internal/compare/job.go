package compare

import (
	"context"
	"fmt"
	"iter"
	"os"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/cmd/tristrand/internal/builtin"
	"github.com/tristrand/tristrand/strand"
)

// call is the input of the task that is really submitted: a built-in task's
// name and its input.
type call struct{ Task, Input string }

// observation is what a worker saw of a call. Its own error is a field, not
// the task's error, so that it comes home beside the times on any engine.
type observation struct {
	PID        int
	Strand     uint64
	Name       string // of the strand
	Start, End time.Time
	Outcome    builtin.Outcome
	Error      string
}

// observed wraps a built-in task, on whichever worker it runs, with what the
// timeline needs to know.
var observed = tristrand.Define("tristrand.compare", observe)

func observe(ctx context.Context, c call) (observation, error) {
	spec, ok := builtin.Lookup(c.Task)
	if !ok {
		return observation{}, tristrand.Permanent(fmt.Errorf("this worker has no task %q", c.Task))
	}
	handler, ok := tristrand.Lookup(spec.Task.Name())
	if !ok {
		return observation{}, tristrand.Permanent(fmt.Errorf("task %q is not defined here", spec.Task.Name()))
	}
	s := strand.Current(ctx)
	o := observation{PID: os.Getpid(), Strand: uint64(s.ID()), Name: s.Name(), Start: time.Now()}
	out, err := handler.Call(ctx, &c.Input)
	o.End = time.Now()
	if found, ok := out.(*builtin.Outcome); ok && found != nil {
		o.Outcome = *found
	}
	if err != nil {
		o.Error = err.Error()
	}
	return o, ctx.Err()
}

func calls(task string, list []string) iter.Seq[call] {
	return func(yield func(call) bool) {
		for _, input := range list {
			if !yield(call{task, input}) {
				return
			}
		}
	}
}

// newJob turns what came back of a call into its record. err is the engine's:
// a panic, a crash; then nothing was observed.
func newJob(input string, began time.Time, o observation, err error) Job {
	j := Job{Input: input, Error: o.Error}
	if err != nil {
		j.Error = err.Error()
	}
	if o.Start.IsZero() {
		return j
	}
	j.Worker = worker(o)
	j.Start = max(0, o.Start.Sub(began).Seconds())
	j.End = max(j.Start, o.End.Sub(began).Seconds())
	j.Bytes = o.Outcome.Bytes
	if j.Error == "" {
		j.Result = o.Outcome.Text
	}
	return j
}

// worker names the strand that ran a call, and its process when that is not
// this one.
func worker(o observation) string {
	name := o.Name
	if name == "" {
		name = fmt.Sprintf("strand %d", o.Strand)
	}
	if o.PID != os.Getpid() {
		name = fmt.Sprintf("%s in %d", name, o.PID)
	}
	return name
}
