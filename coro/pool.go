package coro

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/backlog"
	"github.com/tristrand/tristrand/strand"
)

// A Pool runs jobs as coroutines of one hub, so that one runs at a time and the
// others wait for something: it is for jobs that wait much and compute little,
// and share data without locks. The zero value is ready. The fields are read at
// first use. Whoever uses a pool closes it.
//
// A pool that is first used by a coroutine runs its jobs in that one's hub, any
// other in a hub of its own. A job that computes, or blocks outside the library
// and Await, keeps all others from running, and its own time-out from taking
// effect, until it hands over.
type Pool struct {
	// Workers is the most jobs that are under way at once; 0 is 100. Below 0
	// every Submit fails.
	Workers int

	// Queue is the most jobs that wait to begin; 0 is 1024. Below 0 every Submit
	// fails.
	Queue int

	// Name is shown in errors and begins the names of the coroutines, NAME-0 and
	// on; "" is coros-N.
	Name string

	// Grace is how long Close waits, when its ctx has ended, for jobs that it
	// has asked to stop; 0 is 5 s, below 0 is not at all.
	Grace time.Duration

	once   sync.Once
	ready  atomic.Bool
	err    error // what is wrong with the fields
	hub    *Hub
	mine   bool           // the hub is the pool's own
	base   strand.Context // of the workers; ends when what runs shall stop
	most   int
	bound  int
	nextID atomic.Uint64
	full   atomic.Bool // busy == most; written under mu

	mu        sync.Mutex // guards the rest
	queue     backlog.Queue[tristrand.Job]
	reserved  int // room for Submits that have been granted and have not run
	putters   []*putter
	workers   map[*worker]struct{}
	busy      int
	abandoned map[*worker]struct{}
	delayed   map[tristrand.Job]func() bool // to be tried again; the stop of their timers
	closing   bool
	stats     tristrand.Stats
	waits     []strand.Wait  // for the last worker to end
	closer    *strand.Strand // of the first Close
	closers   []strand.Wait  // of the others, until it has its answer
	closed    bool           // it has
	closeErr  error
}

var (
	_ tristrand.Executor = (*Pool)(nil)
	_ tristrand.Worker   = (*worker)(nil)
	_ strand.Resource    = (*Pool)(nil)
)

// The defaults of the fields.
const (
	defaultWorkers   = 100
	defaultQueue     = 1024
	defaultPoolGrace = 5 * time.Second
)

// A putter is a Submit that waits for room.
type putter struct {
	w  strand.Wait
	ok bool // there is room; otherwise the pool has been closed
}

var pools atomic.Uint64

// Start prepares the pool and says what is wrong with its fields, which Submit
// would otherwise tell each job. It is optional.
func (p *Pool) Start(ctx context.Context) error {
	p.init(ctx)
	return p.err
}

func (p *Pool) init(ctx context.Context) {
	p.once.Do(func() {
		if p.Name == "" {
			p.Name = fmt.Sprintf("coros-%d", pools.Add(1))
		}
		switch {
		case p.Workers < 0:
			p.err = fmt.Errorf("coro: %v: Workers is %d; it cannot be below 0, which is %d", p, p.Workers, defaultWorkers)
		case p.Queue < 0:
			p.err = fmt.Errorf("coro: %v: Queue is %d; it cannot be below 0, which is %d", p, p.Queue, defaultQueue)
		}
		if p.most = p.Workers; p.most == 0 {
			p.most = defaultWorkers
		}
		p.bound = p.queueCap()
		p.base.Init(context.Background())
		p.base.Bind(strand.Named(context.Background()), time.Time{})
		p.workers = make(map[*worker]struct{})
		p.abandoned = make(map[*worker]struct{})
		p.delayed = make(map[tristrand.Job]func() bool)
		if h, _ := caller(ctx); h != nil {
			p.hub = h
		} else {
			p.hub = &Hub{Name: p.Name + "-hub", serving: true}
			p.mine = true
		}
		p.ready.Store(true)
	})
}

// begin starts the pool's own hub, at the first job. The caller holds mu.
func (p *Pool) begin(ctx context.Context) {
	if !p.mine || p.hub.ran.Swap(true) {
		return
	}
	root := new(strand.Context) // has the caller's scheduler, and neither its values nor its end
	root.Init(context.Background())
	root.Bind(strand.Named(ctx), time.Time{})
	p.hub.begin(root, func() {})
}

// dismiss ends the pool's own hub once its coroutines have ended.
func (p *Pool) dismiss() {
	if p.mine && p.hub.ran.Load() && !p.hub.ending.Swap(true) {
		p.hub.post(entry{do: func() {}})
	}
}

func (p *Pool) queueCap() int {
	if p.Queue == 0 {
		return defaultQueue
	}
	return p.Queue
}

// Submit hands j over and waits under ctx while the queue is full.
func (p *Pool) Submit(ctx context.Context, j tristrand.Job) error {
	if p.init(ctx); p.err != nil {
		return p.err
	}
	s := strand.Enter(ctx, strand.Op{Verb: "submit", On: p, Write: true})
	p.mu.Lock()
	if !p.room() {
		if err := p.await(ctx, s); err != nil {
			return err
		}
	}
	return p.accept(ctx, j)
}

// room reports whether a job can be accepted or refused at once. The caller
// holds mu.
func (p *Pool) room() bool {
	return p.closing || p.queue.Len()+p.reserved < p.bound
}

// await waits for room, with mu held before and, if there is no error, after.
func (p *Pool) await(ctx context.Context, s *strand.Strand) error {
	n := &putter{w: s.NewWait()}
	p.putters = append(p.putters, n)
	p.mu.Unlock()
	err := n.w.Park(ctx, p)
	p.mu.Lock()
	if err == nil {
		if n.ok {
			p.reserved--
		}
		return nil
	}
	for i, x := range p.putters {
		if x == n {
			p.putters = append(p.putters[:i], p.putters[i+1:]...)
			break
		}
	}
	p.mu.Unlock()
	return err
}

// TrySubmit is Submit that returns ErrFull instead of waiting.
func (p *Pool) TrySubmit(ctx context.Context, j tristrand.Job) error {
	if p.init(ctx); p.err != nil {
		return p.err
	}
	strand.Enter(ctx, strand.Op{Verb: "trysubmit", On: p, Write: true})
	p.mu.Lock()
	if !p.room() {
		p.mu.Unlock()
		return fmt.Errorf("%w: %v: %d jobs wait", tristrand.ErrFull, p, p.bound)
	}
	return p.accept(ctx, j)
}

// accept queues j and finds a worker for it. It unlocks mu.
func (p *Pool) accept(ctx context.Context, j tristrand.Job) error {
	switch {
	case p.closing:
		p.mu.Unlock()
		return fmt.Errorf("%w: %v", tristrand.ErrClosed, p)
	case p.hub.over.Load():
		p.mu.Unlock()
		return fmt.Errorf("%w: %v: its hub", ErrHubEnded, p)
	}
	p.stats.Submitted++
	p.begin(ctx)
	p.enqueue(j)
	return nil
}

// enqueue queues j, starts a worker if there may be one more, and unlocks mu.
func (p *Pool) enqueue(j tristrand.Job) {
	p.queue.Push(j, j.Limits().Priority)
	var w *worker
	if len(p.workers) < p.most {
		w = p.newWorker()
	}
	p.mu.Unlock()
	if w != nil {
		w.start()
	}
}

// Stats returns the counts at one moment. Workers is the number of jobs under
// way: a coroutine is made for each.
func (p *Pool) Stats() tristrand.Stats {
	if !p.ready.Load() {
		return tristrand.Stats{QueueCap: max(p.queueCap(), 0)}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	st := p.stats
	st.Workers, st.Busy = len(p.workers), p.busy
	st.Queued, st.QueueCap = p.queue.Len(), p.bound
	st.Abandoned = len(p.abandoned)
	return st
}

// String names the pool for errors.
func (p *Pool) String() string { return fmt.Sprintf("pool %q", p.Name) }

// setBusy counts the workers that run a job. The caller holds mu.
func (p *Pool) setBusy(n int) {
	if p.busy == p.most || n == p.most {
		p.full.Store(n == p.most)
	}
	p.busy = n
}

// Releasers returns the workers, when all of them are busy: only they can make
// room, or start a job that is queued.
func (p *Pool) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) {
	if !p.full.Load() { // as is usual
		return buf, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.delayed) > 0 {
		return buf, false
	}
	for w := range p.workers {
		if w.job == nil {
			return buf, false
		}
		buf = append(buf, strand.Releaser{Ref: w.s.Ref()})
	}
	return buf, len(p.workers) > 0
}
