package tristrand

import (
	"context"
	"iter"
	"time"

	"github.com/tristrand/tristrand/strand"
)

// Map calls the task for every input and yields the outcomes in the order of
// the inputs. Nothing starts until it is ranged over, and no more inputs are
// read ahead than Buffer says. An input's error is yielded and the rest go on.
// Stopping early cancels what has not started, ends the ctx of what has, and
// waits for it. The end of ctx ends what is not done with its error, and no more
// inputs are read: the last one that was has that error in any case.
func (t *Task[In, Out]) Map(ctx context.Context, ex Executor, in iter.Seq[In], opts ...CallOption) iter.Seq2[Out, error] {
	return func(yield func(Out, error) bool) {
		m := t.newMapping(ctx, ex, opts)
		defer m.end()
		window := make([]*batch[In, Out], m.ahead) // a ring: submitted and not yet yielded
		first, n := 0, 0
		next := func() bool {
			b := window[first]
			window[first] = nil
			first, n = (first+1)%len(window), n-1
			return m.yield(b, yield)
		}
		for b := range m.batches(in) {
			window[(first+n)%len(window)] = b
			if n++; n == len(window) && !next() {
				return
			}
		}
		for n > 0 {
			if !next() {
				return
			}
		}
	}
}

// MapUnordered is Map that yields each outcome when it is there.
func (t *Task[In, Out]) MapUnordered(ctx context.Context, ex Executor, in iter.Seq[In], opts ...CallOption) iter.Seq2[Out, error] {
	return func(yield func(Out, error) bool) {
		m := t.newMapping(ctx, ex, opts)
		defer m.end()
		var done arrivals
		next := func() bool {
			x, err := done.next(m.ctx)
			if err != nil && m.ctx.Err() != nil {
				m.cancelFlying()
				x, err = done.next(m.detached)
			}
			if err != nil { // a deadlock: each job that is left says so itself
				for b := range m.flying {
					if !m.yield(b, yield) {
						return false
					}
				}
				return true
			}
			b := x.(*batch[In, Out]) //nolint:forcetypeassert // only batches arrive
			if _, ok := m.flying[b]; !ok {
				return true // it has been yielded as part of a deadlock
			}
			return m.yield(b, yield)
		}
		for b := range m.batches(in) {
			done.expect(m.ctx, b)
			for len(m.flying) >= m.ahead || done.any() {
				if !next() {
					return
				}
			}
		}
		for len(m.flying) > 0 {
			if !next() {
				return
			}
		}
	}
}

// A mapping is one run of Map.
type mapping[In, Out any] struct {
	task     *Task[In, Out]
	chunked  *Task[any, any] // takes []In, gives []chunkOutcome[Out]
	ex       Executor
	opts     *settings
	chunk    int
	ahead    int             // batches submitted and not yet yielded, at most
	ctx      *strand.Context // of the jobs
	detached context.Context //nolint:containedctx // to wait under; the jobs end by ctx
	flying   map[*batch[In, Out]]struct{}
	over     bool // ctx has ended, and flying was told
}

const maxAhead = 1024

func (t *Task[In, Out]) newMapping(ctx context.Context, ex Executor, opts []CallOption) *mapping[In, Out] {
	m := &mapping[In, Out]{task: t, ex: ex, opts: apply(opts), chunk: 1,
		detached: context.WithoutCancel(ctx), flying: make(map[*batch[In, Out]]struct{})}
	m.ctx = cancellable(ctx)
	buffer := 0
	if m.opts != nil {
		buffer = m.opts.buffer
		if m.opts.limits.Timeout == 0 {
			m.chunk = max(m.opts.chunks, 1)
		}
	}
	if buffer < 1 && ex != nil {
		buffer = min(ex.Stats().QueueCap, maxAhead)
	}
	buffer = max(buffer, 1)
	m.chunk = min(m.chunk, buffer)
	m.ahead = max(buffer/m.chunk, 1)
	if m.chunk > 1 {
		m.chunked = Func(m.callEach)
	}
	return m
}

// cancellable returns a child of ctx that whoever called ends. Unlike one of
// package context's it tells of its end on the goroutine that ends it, on the turn
// that a scheduler gave.
func cancellable(ctx context.Context) *strand.Context {
	c := new(strand.Context)
	c.Init(ctx)
	c.Bind(strand.Named(ctx), time.Time{})
	return c
}

// end cancels what is not done and waits for it.
func (m *mapping[In, Out]) end() {
	m.ctx.End(ErrCancelled)
	m.over = false
	m.cancelFlying()
	for b := range m.flying {
		b.wait(m.detached)
	}
}

// cancelFlying cancels what is not done, once ctx has ended. Otherwise each job
// would have to watch ctx by itself to be told while it is queued.
func (m *mapping[In, Out]) cancelFlying() {
	if m.over {
		return
	}
	m.over = true
	for b := range m.flying {
		b.cancel(strand.Err(m.ctx))
	}
}

// batches submits the inputs and yields what it has submitted.
func (m *mapping[In, Out]) batches(in iter.Seq[In]) iter.Seq[*batch[In, Out]] {
	return func(yield func(*batch[In, Out]) bool) {
		var group []In
		for v := range in {
			over := m.ctx.Err() != nil // then v is refused, and says why
			if m.chunk == 1 {
				if !yield(m.submit(v)) || over {
					return
				}
				continue
			}
			if group = append(group, v); len(group) == m.chunk {
				if !yield(m.submitChunk(group)) {
					return
				}
				group = nil
			}
			if over {
				break
			}
		}
		if len(group) > 0 {
			yield(m.submitChunk(group))
		}
	}
}

// A batch is one job of a mapping: an input alone, or a chunk of them.
type batch[In, Out any] struct {
	one   *Future[Out]
	many  *Future[any]
	input []In // of many
}

type chunkOutcome[Out any] struct {
	out Out
	err error
}

func (m *mapping[In, Out]) submit(v In) *batch[In, Out] {
	b := &batch[In, Out]{one: m.task.submit(m.ctx, m.ex, v, m.opts)}
	m.flying[b] = struct{}{}
	return b
}

func (m *mapping[In, Out]) submitChunk(vs []In) *batch[In, Out] {
	limits := *m.opts
	limits.limits.Retries = 0
	b := &batch[In, Out]{many: m.chunked.submit(m.ctx, m.ex, vs, &limits), input: vs}
	m.flying[b] = struct{}{}
	return b
}

// callEach is the function of a chunk's job. Each input has an outcome of its
// own, as if it had been sent alone.
func (m *mapping[In, Out]) callEach(ctx context.Context, in any) (any, error) {
	vs := in.([]In) //nolint:forcetypeassert // submitChunk sent it
	outs := make([]chunkOutcome[Out], len(vs))
	for i, v := range vs {
		if err := strand.Err(ctx); err != nil {
			outs[i].err = err
			continue
		}
		outs[i].out, outs[i].err = m.task.guard(ctx, v)
	}
	return outs, nil
}

func (b *batch[In, Out]) cancel(cause error) {
	if b.one != nil {
		b.one.job.Cancel(cause)
	} else {
		b.many.job.Cancel(cause)
	}
}

func (b *batch[In, Out]) onDone(under context.Context, fn func()) {
	if b.one != nil {
		b.one.onDone(under, fn)
	} else {
		b.many.onDone(under, fn)
	}
}

func (b *batch[In, Out]) resource() strand.Resource {
	if b.one != nil {
		return &b.one.outcome
	}
	return &b.many.outcome
}

func (b *batch[In, Out]) wait(ctx context.Context) {
	if b.one != nil {
		_, _ = b.one.Result(ctx)
	} else {
		_, _ = b.many.Result(ctx)
	}
}

// yield waits for a batch and yields its outcomes, those of a chunk after
// trying again alone what failed.
func (m *mapping[In, Out]) yield(b *batch[In, Out], yield func(Out, error) bool) bool {
	if b.one != nil {
		out, err := b.one.Result(m.detached)
		delete(m.flying, b)
		if err != nil {
			b.cancel(ErrCancelled) // in a deadlock it is not done, and nobody will ask again
		}
		return yield(out, err)
	}
	all, err := b.many.Result(m.detached)
	delete(m.flying, b)
	if err != nil {
		b.cancel(ErrCancelled)
	}
	outs, _ := all.([]chunkOutcome[Out])
	if err != nil {
		outs = make([]chunkOutcome[Out], len(b.input))
		for i := range outs {
			outs[i].err = err
		}
	}
	for i, o := range outs {
		if o.err != nil && m.opts.limits.Retries > 0 && !final(o.err) && m.ctx.Err() == nil {
			o.out, o.err = m.retry(b.input[i], o.err)
		}
		if !yield(o.out, o.err) {
			return false
		}
	}
	return true
}

// retry tries an input of a chunk again, as often as is left.
func (m *mapping[In, Out]) retry(v In, failed error) (Out, error) {
	c := m.task.newCall(m.ctx, m.ex, v, m.opts)
	c.keep(failed)
	c.state.Store(word(2, Pending))
	if err := strand.Sleep(m.ctx, m.opts.pause(1)); err != nil {
		c.cancelPending(err)
	} else if err := c.handOver(m.ctx, Executor.Submit); err != nil {
		c.Finish(nil, Permanent(err))
	}
	return c.Result(m.detached)
}
