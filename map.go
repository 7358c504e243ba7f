package tristrand

import (
	"context"
	"iter"
	"runtime"
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
		next := func() bool { return m.yield(m.flying.first, nil, yield) }
		for range m.batches(in) {
			for m.full() {
				if !next() {
					return
				}
			}
		}
		for m.flying.first != nil {
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
		expect := func(b *batch[In, Out]) { done.expect(m.ctx, b) }
		next := func() bool {
			x, err := done.next(m.ctx)
			if err != nil && m.ctx.Err() != nil {
				m.cancelFlying()
				x, err = done.next(m.detached)
			}
			if err != nil { // a deadlock: each job that is left says so itself
				for m.flying.first != nil {
					if !m.yield(m.flying.first, expect, yield) {
						return false
					}
				}
				return true
			}
			b := x.(*batch[In, Out]) //nolint:forcetypeassert // only batches arrive
			if !b.flies {
				return true // it has been yielded as part of a deadlock
			}
			return m.yield(b, expect, yield)
		}
		for b := range m.batches(in) {
			expect(b)
			for m.full() || done.any() {
				if !next() {
					return
				}
			}
		}
		for m.flying.first != nil {
			if !next() {
				return
			}
		}
	}
}

// A mapping is one run of Map.
type mapping[In, Out any] struct {
	task     *function[In, Out]
	ex       Executor
	opts     *settings
	ctx      *strand.Context // of the jobs
	detached context.Context //nolint:containedctx // to wait under; the jobs end by ctx
	flying   flight[In, Out]
	over     bool // ctx has ended, and flying was told

	chunk     int                            // how many inputs a batch has
	buffer    int                            // how many inputs fly at most; see size
	roomy     bool                           // Buffer was not given
	chunked   *function[[]In, outcomes[Out]] // nil if chunk is always 1
	chunkOpts *settings                      // of its jobs
	sizer     *sizer                         // chooses chunk; nil if it is given
	most      int                            // that the engine wants in a chunk
	base      int                            // what buffer is at least, if it was not given
	workers   int
	sent      uint // how often size was called
}

const (
	maxAhead = 1024    // inputs, by default
	maxChunk = 1 << 20 // inputs: who asks for more means all
)

func (t *Task[In, Out]) newMapping(ctx context.Context, ex Executor, opts []CallOption) *mapping[In, Out] {
	m := &mapping[In, Out]{task: &t.function, ex: ex, opts: apply(opts), chunk: 1, detached: context.WithoutCancel(ctx)}
	m.ctx = cancellable(ctx)
	chunk, timed := 0, false
	if m.opts != nil {
		m.buffer = m.opts.buffer
		chunk, timed = m.opts.chunks, m.opts.limits.Timeout > 0
		m.chunkOpts = new(settings)
		*m.chunkOpts = *m.opts
		m.chunkOpts.limits.Retries = 0
	}
	if m.roomy = m.buffer < 1; m.roomy && ex != nil {
		m.buffer = min(ex.Stats().QueueCap, maxAhead)
	}
	m.buffer = max(m.buffer, 1)
	switch c, chooses := ex.(Chunker); {
	case timed:
	case chunk > 0:
		if m.chunk = min(chunk, maxChunk); !m.roomy {
			m.chunk = min(chunk, m.buffer)
		}
	case chooses:
		if target, most := c.Chunking(); target > 0 && most > 1 {
			m.most = min(most, maxChunk)
			m.sizer = &sizer{target: target, size: 1, pace: 1, most: m.most}
		}
	}
	if m.chunk > 1 || m.sizer != nil {
		m.chunked = inChunks(m.task)
		m.base = m.buffer
		m.size()
	}
	return m
}

// full reports whether a result must be taken before another batch is read.
func (m *mapping[In, Out]) full() bool {
	return m.flying.inputs > 0 && m.flying.inputs+m.chunk > m.buffer
}

// size finds out how many inputs the next batch shall have, and makes the buffer
// fit if it was not given: each worker shall have a chunk to run and one to go on
// with. The number of workers is asked for now and then, as it may grow.
func (m *mapping[In, Out]) size() {
	if m.chunked == nil || m.ex == nil {
		return
	}
	if m.sent&(m.sent-1) == 0 {
		m.workers = m.ex.Stats().Workers
		if m.workers < 1 {
			m.workers = runtime.GOMAXPROCS(0)
		}
		if m.sizer != nil && !m.roomy {
			m.sizer.limit(min(m.most, m.buffer/(2*m.workers)))
		}
	}
	m.sent++
	if m.sizer != nil {
		m.chunk = m.sizer.next()
	}
	if m.roomy {
		m.buffer = max(m.base, m.chunk*(2*m.workers+2))
	}
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
	for b := m.flying.first; b != nil; b = b.next {
		b.land(m.detached)
	}
}

// cancelFlying cancels what is not done, once ctx has ended. Otherwise each job
// would have to watch ctx by itself to be told while it is queued.
func (m *mapping[In, Out]) cancelFlying() {
	if m.over {
		return
	}
	m.over = true
	for b := m.flying.first; b != nil; b = b.next {
		b.cancel(strand.Err(m.ctx))
	}
}

// A gatherer submits the inputs of a mapping and passes on what it has submitted.
type gatherer[In, Out any] struct {
	*mapping[In, Out]
	pass  func(*batch[In, Out]) bool
	group []In      // read and not yet submitted
	began time.Time // when the first of group was asked for, if there is a sizer
}

// batches submits the inputs and yields what it has submitted.
func (m *mapping[In, Out]) batches(in iter.Seq[In]) iter.Seq[*batch[In, Out]] {
	return func(yield func(*batch[In, Out]) bool) {
		g := gatherer[In, Out]{mapping: m, pass: yield}
		g.begin()
		for v := range in {
			over := m.ctx.Err() != nil // then v is refused, and says why
			if !g.take(v) || over {
				break
			}
		}
		if len(g.group) > 0 {
			g.send(m.submitChunk(g.group))
		}
	}
}

// take takes the next input, and reports whether there shall be more.
func (g *gatherer[In, Out]) take(v In) bool {
	if g.chunk == 1 {
		g.came(1)
		return g.send(g.submit(v))
	}
	if g.group == nil {
		room := g.chunk
		if g.sizer == nil {
			room = min(room, maxAhead) // it may be more than there will be
		}
		g.group = make([]In, 0, room)
	}
	g.group = append(g.group, v)
	if n := len(g.group); n < g.chunk && (n%16 != 0 || !g.slow()) {
		return true
	}
	vs := g.group
	g.group = nil
	g.came(len(vs))
	return g.send(g.submitChunk(vs))
}

func (g *gatherer[In, Out]) send(b *batch[In, Out]) bool {
	g.size()
	more := g.pass(b)
	g.begin()
	return more
}

func (g *gatherer[In, Out]) begin() {
	if g.sizer != nil {
		g.began = time.Now()
	}
}

func (g *gatherer[In, Out]) came(n int) {
	if g.sizer != nil {
		g.sizer.came(n, time.Since(g.began))
	}
}

// slow reports whether the inputs come so slowly that those there are had better
// be sent.
func (g *gatherer[In, Out]) slow() bool {
	return g.sizer != nil && time.Since(g.began) > g.sizer.target
}
