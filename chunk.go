package tristrand

import (
	"context"
	"errors"

	"github.com/tristrand/tristrand/strand"
)

// chunkSuffix makes the name of a task's chunks of the task's name.
const chunkSuffix = "[]"

// Outcomes are what the job of a chunk of Map comes to: a value or an error for
// each of its inputs, in their order, as far as they are known. NewOutput of
// such a job, and the Call of its handler, give a pointer that is Outcomes, which
// an engine that crosses the border of the process encodes in two parts: Values,
// which its codec knows how to, as one slice of the task's output type, and
// Failures, whose errors it carries as it does a job's. The other side decodes
// into Values, and calls Fail for each failure.
//
// It is not for use by two goroutines at once.
type Outcomes interface {
	// Len is of how many inputs, from the first, the outcome is known.
	Len() int
	// Values returns a pointer to the slice of the values, of type *[]Out; what
	// failed has one, too. At returns a pointer to a single one, of type *Out.
	Values() any
	At(i int) any
	// Failures returns those that failed. Of two of one input the last counts.
	Failures() []Failure
	// Fail makes err the outcome of an input, for which it need not have had
	// one, and drops its value: one that cannot be encoded, say. Len is more
	// than i afterwards.
	Fail(i int, err error)

	sealed()
}

// A Failure is the error of one input of a chunk.
type Failure struct {
	Index int // of the input in its chunk, from 0
	Err   error
}

// A Progress is a ctx that an engine may give to the Call of a chunk's handler,
// the ctx itself and no parent of it, when it wants to know before the end what
// the inputs come to: if the worker dies then, what it knows goes to Job.Finish.
type Progress interface {
	context.Context
	// Progress is called after each input, by the goroutine that runs the chunk;
	// out must not be used after it returns.
	Progress(out Outcomes)
}

// outcomes are the Outcomes of a chunk.
type outcomes[Out any] struct {
	values   []Out
	failures []Failure
}

func (o *outcomes[Out]) sealed()             {}
func (o *outcomes[Out]) Values() any         { return &o.values }
func (o *outcomes[Out]) At(i int) any        { return &o.values[i] }
func (o *outcomes[Out]) Failures() []Failure { return o.failures }

// Len trusts the failures as far as they can be wrong: it may be more than the
// chunk has inputs, if a worker says so, and whoever reads it checks.
func (o *outcomes[Out]) Len() int {
	n := len(o.values)
	for _, f := range o.failures {
		n = max(n, f.Index+1)
	}
	return n
}

func (o *outcomes[Out]) Fail(i int, err error) {
	if err == nil {
		err = errNoError
	}
	if i >= 0 && i < len(o.values) {
		var none Out
		o.values[i] = none
	}
	o.failures = append(o.failures, Failure{i, err})
}

var errNoError = errors.New("tristrand: the engine says that it failed, and not why")

// add appends the outcome of the next input.
func (o *outcomes[Out]) add(out Out, err error) {
	if err != nil {
		o.failures = append(o.failures, Failure{len(o.values), err})
	}
	o.values = append(o.values, out)
}

// inChunks returns the function that calls f for each input of a chunk. Each has
// an outcome of its own, as if it had been sent alone, but that an input whose
// function ends the goroutine is the last. It fills in what it comes to on the
// way, so that this much is known then.
func inChunks[In, Out any](f *function[In, Out]) *function[[]In, outcomes[Out]] {
	name := ""
	if f.name != "" {
		name = f.name + chunkSuffix
	}
	return &function[[]In, outcomes[Out]]{name: name, fill: func(ctx context.Context, in []In, o *outcomes[Out]) error {
		p, _ := ctx.(Progress)
		o.values = make([]Out, 0, len(in))
		for _, v := range in {
			if err := strand.Err(ctx); err != nil {
				var none Out
				o.add(none, err)
				continue
			}
			o.add(f.guard(ctx, v))
			if p != nil {
				p.Progress(o)
			}
		}
		return nil
	}}
}
