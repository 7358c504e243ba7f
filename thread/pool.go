package thread

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/backlog"
	"github.com/tristrand/tristrand/strand"
)

// A Pool runs jobs on threads. It starts one only when a job finds none idle,
// and lets go of those that stay idle. The zero value is ready. The fields are
// read at first use. Whoever uses a pool closes it.
type Pool struct {
	// Workers is the most jobs that run at once; 0 is runtime.GOMAXPROCS(0).
	// Below 0 every Submit fails.
	Workers int

	// Queue is the most jobs that wait for a worker; 0 is 1024. Below 0 every
	// Submit fails.
	Queue int

	// Name is shown in errors and begins the names of the workers, NAME-0 and
	// on; "" is pool-N.
	Name string

	// IdleTimeout is how long an idle worker is kept, at least, and at most
	// twice that; 0 is 10 s, below 0 is for ever.
	IdleTimeout time.Duration

	// Grace is how long Close waits, when its ctx has ended, for jobs that it
	// has asked to stop; 0 is 5 s, below 0 is not at all.
	Grace time.Duration

	// Init is called on each worker before its first job. When it fails the
	// pool is broken: jobs that wait and those submitted later fail with
	// tristrand.ErrClosed and the reason. nil does nothing.
	Init func(ctx context.Context) error

	once   sync.Once
	ready  atomic.Bool
	err    error // what is wrong with the fields
	sched  strand.Scheduler
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
	idle      []*worker
	busy      int
	looking   bool // a worker looks for a job before it waits
	abandoned map[*worker]struct{}
	delayed   map[tristrand.Job]func() bool // to be tried again; the stop of their timers
	closing   bool
	broken    error
	stats     tristrand.Stats
	reaper    *time.Timer
	reaping   bool
	period    uint64         // how often reaper has fired
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
	defaultQueue       = 1024
	defaultIdleTimeout = 10 * time.Second
	defaultGrace       = 5 * time.Second
)

// A putter is a Submit that waits for room.
type putter struct {
	w  strand.Wait
	ok bool // there is room; otherwise the pool has been closed
}

var pools atomic.Uint64

// Start prepares the pool and says what is wrong with its fields, which Submit
// would otherwise tell each job. It starts no threads and is optional.
func (p *Pool) Start(ctx context.Context) error {
	p.init(ctx)
	return p.err
}

func (p *Pool) init(ctx context.Context) {
	p.once.Do(func() {
		if p.Name == "" {
			p.Name = fmt.Sprintf("pool-%d", pools.Add(1))
		}
		switch {
		case p.Workers < 0:
			p.err = fmt.Errorf("thread: %v: Workers is %d; it cannot be below 0, which is one for each processor", p, p.Workers)
		case p.Queue < 0:
			p.err = fmt.Errorf("thread: %v: Queue is %d; it cannot be below 0, which is %d", p, p.Queue, defaultQueue)
		}
		if p.most = p.Workers; p.most == 0 {
			p.most = runtime.GOMAXPROCS(0)
		}
		p.bound = p.queueCap()
		p.sched = strand.Inherited(ctx, strand.Worker)
		p.base.Init(context.Background())
		p.base.Bind(strand.Named(context.Background()), time.Time{})
		p.workers = make(map[*worker]struct{})
		p.abandoned = make(map[*worker]struct{})
		p.delayed = make(map[tristrand.Job]func() bool)
		p.ready.Store(true)
	})
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
	return p.accept(j)
}

// room reports whether a job can be accepted or refused at once. The caller
// holds mu.
func (p *Pool) room() bool {
	return p.closing || p.broken != nil || p.queue.Len()+p.reserved < p.bound
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
	return p.accept(j)
}

// accept queues j and finds a worker for it. It unlocks mu.
func (p *Pool) accept(j tristrand.Job) error {
	if err := p.refusal(); err != nil {
		p.mu.Unlock()
		return err
	}
	p.stats.Submitted++
	p.enqueue(j)
	return nil
}

func (p *Pool) refusal() error {
	switch {
	case p.broken != nil:
		return p.broken
	case p.closing:
		return fmt.Errorf("%w: %v", tristrand.ErrClosed, p)
	default:
		return nil
	}
}

// enqueue queues j, wakes or starts a worker, and unlocks mu.
func (p *Pool) enqueue(j tristrand.Job) {
	p.queue.Push(j, j.Limits().Priority)
	if p.looking && p.queue.Len() == 1 {
		p.mu.Unlock()
		return
	}
	if n := len(p.idle); n > 0 {
		w := p.idle[n-1]
		p.idle[n-1] = nil
		if p.idle = p.idle[:n-1]; n == 1 {
			p.stopReaper()
		}
		p.mu.Unlock()
		w.wait.Grant()
		return
	}
	var w *worker
	if len(p.workers) < p.most {
		w = p.newWorker()
	}
	p.mu.Unlock()
	if w != nil {
		w.start()
	}
}

// Stats returns the counts at one moment.
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
	if p.broken != nil || len(p.delayed) > 0 {
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
