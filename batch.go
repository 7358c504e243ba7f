package tristrand

import (
	"context"
	"errors"
	"fmt"

	"github.com/tristrand/tristrand/strand"
)

// A batch is one job of a mapping: an input alone, or a chunk of them. It is a
// link of the list of those that fly.
type batch[In, Out any] struct {
	*outcome
	one   *Future[Out]
	many  *Future[outcomes[Out]]
	input []In // of many

	next, prev *batch[In, Out]
	flies      bool
}

func (b *batch[In, Out]) resource() strand.Resource { return b.outcome }

func (b *batch[In, Out]) cancel(cause error) { b.job.Cancel(cause) }

// land waits until a batch is done.
func (b *batch[In, Out]) land(ctx context.Context) {
	s := strand.Enter(ctx, strand.Op{Verb: "result", On: b.outcome})
	if !b.isDone() {
		_ = b.wait(ctx, s)
	}
}

// A flight is the batches of a mapping that have been submitted and whose
// outcomes have not been taken, in the order of submission.
type flight[In, Out any] struct {
	first, last *batch[In, Out]
	inputs      int // of all of them
}

func (l *flight[In, Out]) add(b *batch[In, Out]) {
	b.flies = true
	b.prev = l.last
	if l.last == nil {
		l.first = b
	} else {
		l.last.next = b
	}
	l.last = b
	l.inputs += max(len(b.input), 1)
}

func (l *flight[In, Out]) remove(b *batch[In, Out]) {
	if !b.flies {
		return
	}
	b.flies = false
	if b.prev == nil {
		l.first = b.next
	} else {
		b.prev.next = b.next
	}
	if b.next == nil {
		l.last = b.prev
	} else {
		b.next.prev = b.prev
	}
	b.next, b.prev = nil, nil
	l.inputs -= max(len(b.input), 1)
}

// submit sends an input alone.
func (m *mapping[In, Out]) submit(v In) *batch[In, Out] {
	c := m.task.newCall(m.ctx, m.ex, v, m.opts)
	if m.sizer != nil {
		c.measureBy(m.sizer, 1)
	}
	c.submit(m.ctx)
	return m.launched(&c.Future)
}

func (m *mapping[In, Out]) launched(f *Future[Out]) *batch[In, Out] {
	b := &batch[In, Out]{outcome: &f.outcome, one: f}
	m.flying.add(b)
	return b
}

// submitChunk sends inputs as one job.
func (m *mapping[In, Out]) submitChunk(vs []In) *batch[In, Out] {
	c := m.chunked.newCall(m.ctx, m.ex, vs, m.chunkOpts)
	if m.sizer != nil {
		c.measureBy(m.sizer, len(vs))
	}
	c.submit(m.ctx)
	b := &batch[In, Out]{outcome: &c.outcome, many: &c.Future, input: vs}
	m.flying.add(b)
	return b
}

// yield waits for a batch and yields its outcomes. What has to be sent again,
// alone, is left to later, or waited for if that is nil.
func (m *mapping[In, Out]) yield(b *batch[In, Out], later func(*batch[In, Out]), yield func(Out, error) bool) bool {
	if b.one != nil {
		out, err := b.one.Result(m.detached)
		m.flying.remove(b)
		if err != nil {
			b.cancel(ErrCancelled) // in a deadlock it is not done, and nobody will ask again
		}
		return yield(out, err)
	}
	o, err := b.many.Result(m.detached)
	m.flying.remove(b)
	if err != nil {
		b.cancel(ErrCancelled)
	}
	if err == nil && len(o.failures) == 0 && len(o.values) == len(b.input) {
		for _, v := range o.values {
			if !yield(v, nil) {
				return false
			}
		}
		return true
	}
	items := m.sortOut(b, &o, err)
	if later != nil {
		for _, x := range items {
			if x.again != nil {
				later(x.again)
			}
		}
	}
	for _, x := range items {
		switch {
		case x.again == nil:
			if !yield(x.out, x.err) {
				return false
			}
		case later == nil:
			if !m.yield(x.again, nil, yield) {
				return false
			}
		}
	}
	return true
}

// An item is what one input of a chunk has come to.
type item[In, Out any] struct {
	out   Out
	err   error
	again *batch[In, Out] // it has been sent again
}

// sortOut finds what has become of each input of a chunk, not all of which have a
// value, and sends again, alone, those that have not run and those that may be
// tried again.
func (m *mapping[In, Out]) sortOut(b *batch[In, Out], o *outcomes[Out], err error) []item[In, Out] {
	items := make([]item[In, Out], len(b.input))
	marks := b.marks.Load()
	known := o.Len()
	from := len(items) // of those that have not run
	switch {
	case known > len(items):
		known, err = 0, fmt.Errorf("tristrand: task %q: the engine gives %d outcomes for a chunk of %d inputs", m.task.name, known, len(items))
	case err == nil:
		err = fmt.Errorf("tristrand: task %q: the engine gives %d outcomes for a chunk of %d inputs", m.task.name, known, len(items))
	case !b.isDone() || m.ctx.Err() != nil || errors.Is(err, ErrCancelled) || errors.Is(err, ErrClosed):
	case marks&partial != 0:
		from = known + 1 // it was at work on the one before
	case marks&unstarted != 0:
		from = known
	}
	for i := range items {
		switch {
		case i >= from:
			items[i].again = m.submit(b.input[i])
		case i >= known:
			items[i].err = err
		case i < len(o.values):
			items[i].out = o.values[i]
		}
	}
	for _, f := range o.failures {
		if f.Index >= 0 && f.Index < known {
			items[f.Index].err = f.Err
		}
	}
	m.retry(b.input, items)
	return items
}

// retry tries again, alone, what has failed and may succeed yet.
func (m *mapping[In, Out]) retry(input []In, items []item[In, Out]) {
	if m.opts == nil || m.opts.limits.Retries == 0 || m.ctx.Err() != nil {
		return
	}
	var calls []*call[In, Out]
	for i := range items {
		x := &items[i]
		if x.err == nil || final(x.err) {
			continue
		}
		c := m.task.newCall(m.ctx, m.ex, input[i], m.opts)
		c.keep(x.err)
		c.state.Store(word(2, Pending))
		calls = append(calls, c)
		x.again = m.launched(&c.Future)
	}
	if len(calls) == 0 {
		return
	}
	err := strand.Sleep(m.ctx, m.opts.pause(1))
	for _, c := range calls {
		if err != nil {
			c.cancelPending(err)
		} else if err := c.handOver(m.ctx, Executor.Submit); err != nil {
			c.Finish(nil, Permanent(err))
		}
	}
}
