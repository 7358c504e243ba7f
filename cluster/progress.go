package cluster

import (
	"context"
	"fmt"

	"github.com/tristrand/tristrand/internal/wire"
)

// A Progress is what a task says of itself on its way. Nothing of it is stored: what is
// said while the submitter is away is lost.
type Progress struct {
	Job    string // the job's ID in the submitter's process
	Worker string
	data   []byte
}

// Decode sets what v points at to what was said.
func (p Progress) Decode(v any) error {
	if err := wire.Decode(p.data, v); err != nil {
		return fmt.Errorf("cluster: the progress of %s: %w", p.Job, err)
	}
	return nil
}

type progressKey struct{}

// WithProgress returns a ctx for Submit and Map: fn gets what the jobs say with Report. It
// is called on the goroutine that takes results, in order for each job, and must not block.
func WithProgress(ctx context.Context, fn func(Progress)) context.Context {
	return context.WithValue(ctx, progressKey{}, fn)
}

func progressOf(ctx context.Context) func(Progress) {
	fn, _ := ctx.Value(progressKey{}).(func(Progress))
	return fn
}

type reporterKey struct{}

// A reporter sends what a task says.
type reporter func(data []byte) error

// Report is for tasks: it tells whoever submitted the job how far it has come. v may be
// anything that can be encoded. It does not block. Where there is nobody to tell, on an
// engine of another kind or on a worker whose engine are processes, it does nothing.
func Report(ctx context.Context, v any) error {
	send, ok := ctx.Value(reporterKey{}).(reporter)
	if !ok {
		return nil
	}
	body, _, err := pack("progress", &v)
	if err != nil {
		return fmt.Errorf("cluster: Report: %w", err)
	}
	return send(body)
}

// progressed passes on what a task says.
func (p *Pool) progressed(n *note) {
	for _, j := range n.Jobs {
		p.mu.Lock()
		it := p.items[j.N]
		p.mu.Unlock()
		if it != nil && it.said != nil {
			it.said(Progress{Job: it.job.ID(), Worker: n.Worker, data: n.Data})
		}
	}
}
