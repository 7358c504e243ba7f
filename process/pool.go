package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/backlog"
	"github.com/tristrand/tristrand/internal/crew"
	"github.com/tristrand/tristrand/strand"
)

// A Pool runs jobs in worker processes of the same binary. They are started at the
// first job, all of them, and replaced when they die. The zero value is ready. The
// fields are read at first use. Whoever uses a pool closes it.
//
// A job is sent when a worker is free for it. Small ones (below 50 µs, as measured)
// are sent ahead, up to 64 to a worker: such a job counts as running, but is taken
// back if its worker dies, is slow, or the job is cancelled before the worker gets to
// it.
type Pool struct {
	// Workers is the number of processes; 0 is runtime.GOMAXPROCS(0). Below 0 every
	// Submit fails.
	Workers int

	// Queue is the most jobs that wait for a worker; 0 is 1024. Below 0 every Submit
	// fails.
	Queue int

	// Name is shown in errors, and begins the names of the workers, NAME-0 and on,
	// which ps shows; "" is pool-N.
	Name string

	// MaxTasks is how many jobs a worker runs before another takes its place; 0 is
	// no bound. Below 0 every Submit fails.
	MaxTasks int

	// MemoryLimitBytes bounds what a worker may take: its data (RLIMIT_DATA; one that
	// needs more dies, and its job fails with an *ExitError that says so), and what it
	// has resident, looked at every 250 ms. 0 is no bound; a Go program needs some
	// 64 MiB.
	MemoryLimitBytes int64

	// Init is a task that each worker runs before its first job. When it fails the
	// pool is broken: jobs that wait and those submitted later fail with
	// tristrand.ErrClosed and the reason. The zero value is none.
	Init tristrand.Bound

	// Grace is how long Close waits, when its ctx has ended, for jobs that it has asked
	// to stop; 0 is 5 s, below 0 is not at all. Then the workers are killed.
	Grace time.Duration

	// JobGrace is how long a job that was cancelled, or whose time is up, has to return
	// before its worker gets SIGTERM, and how long then until SIGKILL; 0 is 250 ms,
	// below 0 is SIGKILL at once.
	JobGrace time.Duration

	// Env is the environment of the workers; nil is that of this process.
	Env []string

	// Dir is the folder that workers run in; "" is that of this process.
	Dir string

	// Stdout and Stderr are where the workers write; nil is where this process does.
	// What is no *os.File gets whole lines, by one goroutine at a time.
	Stdout, Stderr io.Writer

	// CPUs are the processors that each worker may use, the first entry for the first
	// worker and so on, beginning again when there are more workers; nil is all.
	CPUs [][]int

	python *Python // whose pool this is, if it is one of interpreters

	once  sync.Once
	ready atomic.Bool
	err   error // what is wrong with the fields
	most  int
	first *load     // the input of Init
	items sync.Pool // of this pool alone, as its mu guards them

	mu       sync.Mutex // guards the rest
	queue    backlog.Queue[*item]
	room     crew.Room
	ending   crew.Ending
	workers  map[*worker]struct{}
	idle     []*worker // ready, and with no job
	held     int       // jobs that workers have
	seq      uint64    // of the call that was sent last
	nextID   int
	starts   int // that failed, one after another
	failures int // how much they weigh
	delayed  map[*item]*time.Timer
	restart  *time.Timer // of a worker, after a failure
	depth    int         // how many jobs a worker may have
	typical  time.Duration
	checking bool // the timer that takes back what was sent ahead is pending
	giving   bool // likewise, the one that tries full rings
	watches  map[context.Context]*watch
	closing  bool
	broken   error
	stats    tristrand.Stats
	tasks    sync.WaitGroup // what the pool has started and has to end
}

var (
	_ tristrand.Executor = (*Pool)(nil)
	_ strand.Resource    = (*Pool)(nil)
)

// The defaults of the fields.
const (
	defaultQueue    = 1024
	defaultJobGrace = 250 * time.Millisecond
	memorySample    = 250 * time.Millisecond
)

var pools atomic.Uint64

// Start starts the workers and says what is wrong with the pool's fields, or with the
// program, which Submit would otherwise tell each job. It returns when they are
// ready. It is optional.
func (p *Pool) Start(ctx context.Context) error {
	if err := p.init(); err != nil {
		return err
	}
	p.mu.Lock()
	p.staff()
	p.mu.Unlock()
	for {
		p.mu.Lock()
		up, err := 0, p.broken
		for w := range p.workers {
			if w.state == ready {
				up++
			}
		}
		p.mu.Unlock()
		switch {
		case err != nil:
			return err
		case up == p.most:
			return nil
		}
		if err := strand.Sleep(ctx, time.Millisecond); err != nil {
			return err
		}
	}
}

func (p *Pool) init() error {
	p.once.Do(func() {
		if p.Name == "" {
			p.Name = fmt.Sprintf("pool-%d", pools.Add(1))
		}
		switch {
		case !entered():
			p.err = ErrNoInit
		case p.Workers < 0:
			p.err = fmt.Errorf("process: %v: Workers is %d; it cannot be below 0, which is one for each processor", p, p.Workers)
		case p.Queue < 0:
			p.err = fmt.Errorf("process: %v: Queue is %d; it cannot be below 0, which is %d", p, p.Queue, defaultQueue)
		case p.MaxTasks < 0:
			p.err = fmt.Errorf("process: %v: MaxTasks is %d; it cannot be below 0, which is no bound", p, p.MaxTasks)
		case p.MemoryLimitBytes < 0:
			p.err = fmt.Errorf("process: %v: MemoryLimitBytes is %d; it cannot be below 0, which is no bound", p, p.MemoryLimitBytes)
		case p.Init.Input() != nil && p.Init.Task() == "":
			p.err = fmt.Errorf("process: %v: Init: %w", p, tristrand.ErrNotPortable)
		}
		if p.err == nil && p.Init.Input() != nil {
			p.first = new(load)
			if err := p.first.pack("input", p.Init.Input()); err != nil {
				p.err = fmt.Errorf("process: %v: Init: %w", p, err)
			}
		}
		if p.most = p.Workers; p.most == 0 {
			p.most = runtime.GOMAXPROCS(0)
		}
		p.room.Bound = p.queueCap()
		p.depth = 1
		p.workers = make(map[*worker]struct{})
		p.delayed = make(map[*item]*time.Timer)
		p.watches = make(map[context.Context]*watch)
		if p.err == nil {
			list(p)
		}
		p.ready.Store(true)
	})
	return p.err
}

func (p *Pool) queueCap() int {
	if p.Queue == 0 {
		return defaultQueue
	}
	return p.Queue
}

func (p *Pool) jobGrace() time.Duration {
	if p.JobGrace == 0 {
		return defaultJobGrace
	}
	return max(p.JobGrace, 0)
}

// Submit encodes j's input, hands j over, and waits under ctx while the queue is
// full.
func (p *Pool) Submit(ctx context.Context, j tristrand.Job) error {
	return p.submit(ctx, j, func(s *strand.Strand) error {
		if p.answers() || isReader() {
			return nil
		}
		return p.room.Await(ctx, &p.mu, s, p)
	})
}

// TrySubmit is Submit that returns ErrFull instead of waiting.
func (p *Pool) TrySubmit(ctx context.Context, j tristrand.Job) error {
	return p.submit(ctx, j, func(*strand.Strand) error {
		if p.answers() {
			return nil
		}
		p.mu.Unlock()
		return fmt.Errorf("%w: %v: %d jobs wait", tristrand.ErrFull, p, p.room.Bound)
	})
}

// submit accepts j once admit, called with mu held, has returned nil with mu held
// still.
func (p *Pool) submit(ctx context.Context, j tristrand.Job, admit func(*strand.Strand) error) error {
	if err := p.init(); err != nil {
		return err
	}
	s := strand.Enter(ctx, strand.Op{Verb: "submit", On: p, Write: true})
	it, err := p.newItem(j)
	if err != nil {
		return err
	}
	p.mu.Lock()
	if err := admit(s); err != nil {
		it.drop()
		return err
	}
	if err := p.refusal(); err != nil {
		p.mu.Unlock()
		it.drop()
		return err
	}
	p.stats.Submitted++
	p.staff()
	w := p.enqueue(it)
	later := w != nil && w.held > 1 && w.held%wakeEvery != 0 && w.reading.lingers.Load()
	p.mu.Unlock()
	if w != nil && !later {
		w.wake()
	}
	return nil
}

// answers reports whether a job can be accepted or refused at once. The caller holds
// mu.
func (p *Pool) answers() bool {
	return p.closing || p.broken != nil || p.room.Free(p.queue.Len())
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

// Stats returns the counts at one moment.
func (p *Pool) Stats() tristrand.Stats {
	if !p.ready.Load() {
		return tristrand.Stats{QueueCap: max(p.queueCap(), 0)}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	st := p.stats
	st.Workers = len(p.workers)
	for w := range p.workers {
		if w.held > 0 {
			st.Busy++
			st.Queued += w.held - 1
		}
	}
	st.Queued += p.queue.Len()
	st.QueueCap = p.room.Bound
	return st
}

// String names the pool for errors.
func (p *Pool) String() string { return fmt.Sprintf("pool %q", p.Name) }

// Releasers returns nothing: who could make room is in other processes.
func (p *Pool) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) { return buf, false }

// ErrNoInit says that a program wants worker processes and does not begin as it has
// to, so that they would not know that they are workers.
var ErrNoInit = errors.New("process: the program does not begin with process.Init: put process.Main(run) or process.Init() first in main, and process.Init() first in TestMain; worker processes enter there")
