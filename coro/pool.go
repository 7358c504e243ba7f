package coro

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/crew"
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

	once  sync.Once
	ready atomic.Bool
	err   error // what is wrong with the fields
	hub   *Hub
	mine  bool // the hub is the pool's own
	crew  crew.Crew
}

var (
	_ tristrand.Executor = (*Pool)(nil)
	_ tristrand.Worker   = (*worker)(nil)
	_ strand.Resource    = (*Pool)(nil)
)

// The defaults of the fields.
const (
	defaultWorkers = 100
	defaultQueue   = 1024
)

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
		c := &p.crew
		c.Name, c.On, c.Grace = p.Name, p, p.Grace
		if c.Most = p.Workers; c.Most == 0 {
			c.Most = defaultWorkers
		}
		c.Accept, c.Placed, c.Changed, c.After = p.accept, p.placed, p.changed, p.after
		c.Init(p.queueCap())
		if h, _ := caller(ctx); h != nil {
			p.hub = h
		} else {
			p.hub = &Hub{Name: p.Name + "-hub", serving: true}
			p.mine = true
		}
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
	return p.crew.Submit(ctx, j)
}

// TrySubmit is Submit that returns ErrFull instead of waiting.
func (p *Pool) TrySubmit(ctx context.Context, j tristrand.Job) error {
	if p.init(ctx); p.err != nil {
		return p.err
	}
	return p.crew.TrySubmit(ctx, j)
}

// Stats returns the counts at one moment. Workers is the number of jobs under
// way: a coroutine is made for each.
func (p *Pool) Stats() tristrand.Stats {
	if !p.ready.Load() {
		return tristrand.Stats{QueueCap: max(p.queueCap(), 0)}
	}
	return p.crew.Counts()
}

// Close refuses new jobs and waits until those accepted are done, tries that are
// still to come included. When ctx ends first it drops what is queued, asks what
// runs to stop, waits for Grace, and returns a *tristrand.CloseError that names
// the jobs that were left when ctx ended. A function whose time was up is not
// waited for. Called again Close waits for the first call and returns the same.
func (p *Pool) Close(ctx context.Context) error {
	p.init(ctx)
	return p.crew.Close(ctx)
}

// Terminate refuses new jobs, drops what is queued, asks what runs to stop, and
// returns without waiting. A Close afterwards waits for what runs.
func (p *Pool) Terminate() error {
	p.init(context.Background())
	p.crew.Refuse()
	p.crew.Stop(errTerminated)
	return nil
}

// errTerminated is the outcome of the jobs that Terminate dropped.
var errTerminated error = crew.TerminatedError("coro")

// String names the pool for errors.
func (p *Pool) String() string { return fmt.Sprintf("pool %q", p.Name) }

// Releasers returns the workers, when all of them are busy: only they can make
// room, or start a job that is queued.
func (p *Pool) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) {
	return p.crew.Releasers(buf)
}
