// Package compare runs the same task over the same inputs on every engine, one
// after another, and says what each cost.
//
// [Run] measures; [Task.Table] writes the figures for a reader, [Result] is
// their documented JSON form, [Page] their page with a timeline per engine.
// The engines are one table, [Engines].
//
// # What is measured
//
// A run is everything between opening the engine and having closed it: an
// engine that is slow to start is charged for it. Garbage is collected and the
// peak of memory reset before each, and one job is done ahead that counts
// nowhere, so that the first engine does not pay for what the others find
// prepared; where the inputs are files, all of them are read once ahead.
package compare

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/tristrand/tristrand/cmd/tristrand/internal/builtin"
	"github.com/tristrand/tristrand/cmd/tristrand/internal/measure"
)

// Options say what to compare. The zero value runs every task on every engine
// over inputs of its own making.
type Options struct {
	Tasks   []string // names of built-in tasks; none: all
	Inputs  []string // for every task; none: each makes its own
	Workers int      // of each engine; 0: DefaultWorkers
	Size    float64  // of the inputs made here, 1 or 0: a few seconds in all
	Command string   // what exec runs when it makes its own inputs; "": no such row
	Engines []Engine // none: Engines()

	// Progress, when set, is told how many jobs of a run are done, 0 first,
	// on the goroutine that called Run.
	Progress func(task, engine string, done, total int)
	// Done, when set, gets each task's figures as soon as they are complete.
	Done func(*Task)
}

// DefaultWorkers is how many workers an engine has when no number is asked for:
// enough to overlap waiting, however few processors there are.
func DefaultWorkers() int { return max(8, runtime.NumCPU()) }

// Run compares. When it stops early, because ctx ends or an input cannot be
// made, it returns what was complete until then beside the error.
func Run(ctx context.Context, o Options) (*Result, error) {
	o, specs, err := o.resolve()
	if err != nil {
		return nil, err
	}
	defer builtin.CloseIdle()
	res := newResult(o.Workers)
	for _, spec := range specs {
		task, err := o.compare(ctx, spec)
		if err != nil {
			return res, fmt.Errorf("%s: %w", spec.Name, err)
		}
		res.Tasks = append(res.Tasks, task)
		if o.Done != nil {
			o.Done(task)
		}
	}
	return res, nil
}

// resolve fills in what was left to the defaults and checks the rest.
func (o Options) resolve() (Options, []builtin.Spec, error) {
	switch {
	case o.Workers < 0:
		return o, nil, fmt.Errorf("%d workers: the number must be 1 or more, or 0 for the default", o.Workers)
	case o.Size < 0:
		return o, nil, fmt.Errorf("work size %g: it must be above 0; 1 is a few seconds", o.Size)
	case len(o.Inputs) > 0 && len(o.Tasks) != 1:
		return o, nil, fmt.Errorf("inputs are given, but not what to do with them: name one task of %s", strings.Join(builtin.Names(), ", "))
	}
	if o.Workers == 0 {
		o.Workers = DefaultWorkers()
	}
	if o.Size == 0 {
		o.Size = 1
	}
	if len(o.Engines) == 0 {
		o.Engines = Engines()
	}
	if len(o.Tasks) == 0 {
		o.Tasks = builtin.Names()
	}
	var specs []builtin.Spec
	for _, name := range o.Tasks {
		spec, ok := builtin.Lookup(name)
		if !ok {
			return o, nil, fmt.Errorf("there is no task %q: choose from %s", name, strings.Join(builtin.Names(), ", "))
		}
		specs = append(specs, spec)
	}
	return o, specs, nil
}

// compare runs one task on every engine.
func (o Options) compare(ctx context.Context, spec builtin.Spec) (_ *Task, err error) {
	in := inputs{list: o.Inputs, about: count(len(o.Inputs), spec.Input)}
	if len(o.Inputs) == 0 {
		if in, err = makeInputs(ctx, spec.Name, o); err != nil {
			return nil, fmt.Errorf("making its inputs: %w", err)
		}
		defer func() {
			if e := in.remove(); err == nil {
				err = e
			}
		}()
	}
	task := &Task{Name: spec.Name, About: in.about, Made: len(o.Inputs) == 0, Inputs: len(in.list)}
	if err := warm(ctx, spec, in.list); err != nil {
		return nil, err
	}
	for _, e := range o.Engines {
		run, err := o.measured(ctx, e, spec.Name, in.list)
		if err != nil {
			return nil, fmt.Errorf("on %s: %w", e.Name, err)
		}
		task.Runs = append(task.Runs, run)
	}
	task.compute()
	return task, nil
}

// warm does what the first run would pay for alone. What fails here fails in
// the runs again, where it is counted.
func warm(ctx context.Context, spec builtin.Spec, list []string) error {
	n := 1
	if spec.Name == "hash" {
		n = len(list)
	}
	for _, input := range list[:n] {
		_, _ = observe(ctx, call{Task: spec.Name, Input: input})
	}
	return context.Cause(ctx)
}

// measured runs the jobs on one engine.
func (o Options) measured(ctx context.Context, e Engine, task string, list []string) (*Measurement, error) {
	m := &Measurement{Engine: e.Name, About: e.About, Jobs: make([]Job, 0, len(list))}
	tell := func() {
		if o.Progress != nil {
			o.Progress(task, e.Name, len(m.Jobs), len(list))
		}
	}
	tell()
	meter, began := measure.Start(), time.Now()
	err := e.run(ctx, o.Workers, calls(task, list), func(out observation, err error) {
		m.Jobs = append(m.Jobs, newJob(list[len(m.Jobs)], began, out, err))
		tell()
	})
	m.cost(meter.Stop())
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("stopped after %d of %d jobs: %w", len(m.Jobs), len(list), context.Cause(ctx))
	case err != nil:
		return nil, err
	}
	return m, nil
}
