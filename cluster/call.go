package cluster

import (
	"context"
	"fmt"
	"runtime/debug"
	"runtime/pprof"
	"strings"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/registry"
	"github.com/tristrand/tristrand/internal/wire"
)

// A callIn is a job as a worker gives it to its engine.
type callIn struct {
	Task   string
	Body   []byte
	Raw    bool
	Label  map[string]string
	Values map[string]string
}

// A callOut is what it comes to.
type callOut struct {
	Body     []byte
	Raw      bool
	Fault    *remoteFault
	Failures []itemFault
	Unfit    string // why it was not begun
}

// callTask is what a worker has its engine run in place of a job's task, whose types it
// does not know: so it runs on every engine, those of other processes included.
var callTask = tristrand.Define("tristrand.cluster.call", call)

func call(ctx context.Context, in callIn) (callOut, error) {
	h, ok := tristrand.Lookup(in.Task)
	if !ok {
		return callOut{Unfit: "it is not defined there"}, nil
	}
	v := h.NewInput()
	if err := unpack(in.Body, in.Raw, v); err != nil {
		return callOut{Unfit: fmt.Sprintf("its input cannot be decoded as %T: %v: another version of the program has submitted it", v, err)}, nil
	}
	if len(in.Values) > 0 {
		ctx = registry.Extract(ctx, func(k string) string { return in.Values[k] })
	}
	if part, ok := ctx.Value(partKey{}).(*part); ok {
		if _, chunk := strings.CutSuffix(in.Task, "[]"); chunk {
			part.here = true
			ctx = &watched{ctx, part}
		}
	}
	var out any
	var err error
	if len(in.Label) == 0 {
		out, err = guard(ctx, in.Task, h, v)
	} else {
		var kv []string
		for k, v := range in.Label {
			kv = append(kv, k, v)
		}
		pprof.Do(ctx, pprof.Labels(kv...), func(context.Context) { out, err = guard(ctx, in.Task, h, v) })
	}
	if err != nil {
		return callOut{Fault: faults.Of(err)}, nil //nolint:nilerr // it is in the fault
	}
	return packOutput(in.Task, out), nil
}

// A part is what a chunk has come to so far, for when its function ends its goroutine.
type part struct {
	here bool               // it runs in this process
	out  tristrand.Outcomes // nil before the first input is done
}

type partKey struct{}

// A watched is the ctx of a chunk, whose outcomes are to be known before its end.
type watched struct {
	context.Context //nolint:containedctx // it is one
	part            *part
}

// Progress is called after each input.
func (w *watched) Progress(out tristrand.Outcomes) { w.part.out = out }

var _ tristrand.Progress = (*watched)(nil)

// guard calls a task's function and turns a panic into an error.
func guard(ctx context.Context, task string, h tristrand.Handler, in any) (out any, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &tristrand.PanicError{Value: v, Stack: debug.Stack(), Task: task}
		}
	}()
	return h.Call(ctx, in)
}

// packOutput encodes what a function has returned.
func packOutput(task string, out any) callOut {
	var c callOut
	var err error
	if o, ok := out.(tristrand.Outcomes); ok {
		return packOutcomes(task, o)
	}
	if c.Body, c.Raw, err = pack("output", out); err != nil {
		return callOut{Fault: faults.Of(tristrand.Permanent(fmt.Errorf("cluster: task %q: %w", task, err)))}
	}
	return c
}

// packOutcomes encodes those of a chunk. If they cannot be encoded together, those are at
// fault that cannot be alone.
func packOutcomes(task string, o tristrand.Outcomes) callOut {
	body, _, err := pack("output", o.Values())
	if err != nil {
		for i := range o.Len() {
			if _, _, err := pack("output", o.At(i)); err != nil {
				o.Fail(i, tristrand.Permanent(fmt.Errorf("cluster: task %q: %w", task, err)))
			}
		}
		if body, _, err = pack("output", o.Values()); err != nil {
			return callOut{Fault: faults.Of(tristrand.Permanent(fmt.Errorf("cluster: task %q: %w", task, err)))}
		}
	}
	c := callOut{Body: body}
	if raw, ok := wire.Raw(o.Values()); ok { // a slice of bytes is one of outputs here
		c.Body = encode(raw)
	}
	for _, f := range o.Failures() {
		c.Failures = append(c.Failures, itemFault{f.Index, faults.Of(f.Err)})
	}
	return c
}
