package thread

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/crew"
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

	once  sync.Once
	ready atomic.Bool
	err   error // what is wrong with the fields
	sched strand.Scheduler
	crew  crew.Crew

	// Guarded by the crew's Mu.
	idle    []*worker
	looking bool // a worker looks for a job before it waits
	reaper  *time.Timer
	reaping bool
	period  uint64 // how often reaper has fired
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
)

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
		p.sched = strand.Inherited(ctx, strand.Worker)
		c := &p.crew
		c.Name, c.On, c.Grace = p.Name, p, p.Grace
		if c.Most = p.Workers; c.Most == 0 {
			c.Most = runtime.GOMAXPROCS(0)
		}
		c.Placed, c.Changed, c.After = p.placed, p.changed, p.after
		c.Init(p.queueCap())
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

// Stats returns the counts at one moment.
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
var errTerminated error = crew.TerminatedError("thread")

// String names the pool for errors.
func (p *Pool) String() string { return fmt.Sprintf("pool %q", p.Name) }

// Releasers returns the workers, when all of them are busy: only they can make
// room, or start a job that is queued.
func (p *Pool) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) {
	return p.crew.Releasers(buf)
}
