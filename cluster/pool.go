package cluster

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/crew"
	"github.com/tristrand/tristrand/strand"
)

// A Pool is an executor whose jobs run on the workers of a cluster: see Serve. Get it from
// Cluster.Pool; the fields are read at first use. Whoever uses a pool closes it.
//
// A job is stored before Submit returns. It runs at least once, also when its worker dies,
// and when the submitter does; its result is stored, is one for each job, and is pushed to
// the submitter. Before a job begins its worker asks the submitter, so that one that was
// cancelled never runs; a submitter that does not answer is taken for gone. While jobs are
// quick a worker asks for some ahead of their turn: they count as running, so that Cancel is
// false for them, for up to 20 ms, after which those that it has not come to wait again.
type Pool struct {
	// Name is the queue that the jobs go to and workers serve; "" is "default".
	Name string

	// Queue is the most jobs of this pool that wait for a worker; 0 is 1024. Below 0 every
	// Submit fails. The store has a bound of its own, for all pools: Options.MaxBytes.
	Queue int

	// Attempts is how often a job is begun whose workers die, before it is a dead letter;
	// 0 is 5.
	Attempts int

	// Grace is how long Close waits, when its ctx has ended, for jobs that it has asked to
	// stop; 0 is 5 s, below 0 is not at all.
	Grace time.Duration

	c    *Cluster
	id   string
	host string
	once sync.Once
	err  error
	box  *mailbox
	sub  *nats.Subscription
	news *nats.Subscription
	back func()

	mu        sync.Mutex // guards the rest
	next      uint64
	shard     int
	items     map[string]*item
	settling  int // jobs that are out of items and not yet counted
	erasing   int // jobs that are counted and may still be in the store
	pending   int // jobs that wait for a worker, and Submits that have room
	running   int
	room      crew.Room
	workers   map[string]*peer
	stats     tristrand.Stats
	tick      *time.Timer
	closing   bool
	gone      bool // the subscriptions are
	ending    crew.Ending
	rechecked time.Time
}

var (
	_ tristrand.Executor = (*Pool)(nil)
	_ tristrand.Chunker  = (*Pool)(nil)
	_ strand.Resource    = (*Pool)(nil)
)

// The defaults.
const (
	defaultQueue    = 1024
	defaultAttempts = 5
	defaultGrace    = 5 * time.Second
	defaultName     = "default"
)

// A peer is a worker that this pool has heard of.
type peer struct {
	slots, abandoned int
	seen             time.Time
}

// Pool returns an executor of the cluster's workers.
func (c *Cluster) Pool() *Pool { return &Pool{c: c} }

// Start prepares the pool and says what is wrong with its fields, which Submit would
// otherwise tell each job. It is optional.
func (p *Pool) Start(ctx context.Context) error {
	p.once.Do(func() { p.err = p.init(ctx) })
	return p.err
}

func (p *Pool) init(ctx context.Context) error {
	switch {
	case p.c == nil:
		return fmt.Errorf("cluster: the pool was not made by Cluster.Pool: %w", tristrand.ErrClosed)
	case p.Queue < 0:
		return fmt.Errorf("cluster: Pool.Queue is %d: it must not be below 0", p.Queue)
	case p.Attempts < 0:
		return fmt.Errorf("cluster: Pool.Attempts is %d: it must not be below 0", p.Attempts)
	case p.c.isClosing():
		return errClosed
	}
	p.Name = orDefault(p.Name, defaultName)
	if err := checkName("queue", p.Name); err != nil {
		return err
	}
	p.Queue, p.Attempts = orDefault(p.Queue, defaultQueue), orDefault(p.Attempts, defaultAttempts)
	p.room.Bound = p.Queue
	p.Grace = max(orDefault(p.Grace, defaultGrace), 0)
	p.id, p.items, p.workers = newID(), make(map[string]*item), make(map[string]*peer)
	p.host = hostName()
	for i := range p.c.info.Shards {
		if err := p.c.ensure(context.WithoutCancel(ctx), taskStream(i)); err != nil {
			return err
		}
	}
	if p.c.info.Shards > 1 {
		p.c.keepSpread()
	}
	return p.listen()
}

func orDefault[T comparable](v, d T) T {
	var none T
	if v == none {
		return d
	}
	return v
}

// hostName returns what tells people where this process is.
func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		name = "unknown"
	}
	return fmt.Sprintf("%s/%d", name, os.Getpid())
}

func (p *Pool) listen() error {
	p.box = newMailbox(p.receive)
	nc := p.c.link.nc
	sub, err := nc.Subscribe(p.c.subject("c."+p.id+".>"), p.box.put)
	if err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	p.sub = sub
	if p.news, err = nc.Subscribe(p.c.subject("a."+p.Name), p.heard); err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	p.back = p.c.afterReconnect(p.recheck)
	if err := nc.Publish(p.c.subject("who."+p.Name), nil); err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	p.c.addPool(p)
	return nil
}

// unlisten ends the subscriptions, when there is nothing left to hear.
func (p *Pool) unlisten() {
	p.c.removePool(p)
	p.back()
	_ = p.sub.Unsubscribe()
	_ = p.news.Unsubscribe()
	p.box.close()
}

func (c *Cluster) addPool(p *Pool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pools == nil {
		c.pools = make(map[*Pool]struct{})
		c.closers = append(c.closers, c.closePools)
	}
	c.pools[p] = struct{}{}
}

func (c *Cluster) removePool(p *Pool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pools, p)
}

// closePools ends the futures of all pools, whose jobs go on.
func (c *Cluster) closePools(context.Context) {
	c.mu.Lock()
	var all []*Pool
	for p := range c.pools {
		all = append(all, p)
	}
	c.mu.Unlock()
	for _, p := range all {
		p.abandon()
	}
}

// Chunking says how Map shall put inputs together: so many that a chunk takes some
// milliseconds, as a job costs about 0.1 ms and a chunk is what is done again when a
// worker dies.
func (p *Pool) Chunking() (target time.Duration, most int) { return 10 * time.Millisecond, 512 }

// String names the pool as something to wait for.
func (p *Pool) String() string {
	return fmt.Sprintf("queue %q of the cluster", orDefault(p.Name, defaultName))
}

// Releasers says that anyone could end the wait for room: a worker somewhere.
func (p *Pool) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) { return buf, false }

// Stats returns the counts of this pool's own jobs. Workers is of those that serve its
// queue and have been heard of in the last seconds.
func (p *Pool) Stats() tristrand.Stats {
	if p.Start(context.Background()) != nil {
		return tristrand.Stats{}
	}
	p.sweep()
	p.mu.Lock()
	defer p.mu.Unlock()
	st := p.stats
	st.Busy, st.QueueCap, st.Queued = p.running, p.Queue, 0
	now := time.Now()
	for _, it := range p.items {
		if it.state == queued && it.accepted && !it.due.After(now) {
			st.Queued++
		}
	}
	for _, w := range p.workers {
		if now.Sub(w.seen) < workerExpiry {
			st.Workers += w.slots
			st.Abandoned += w.abandoned
		}
	}
	return st
}

// workerExpiry is after how long a worker that is not heard of is not counted.
const workerExpiry = 4 * announceEvery

// heard takes what a worker tells of itself.
func (p *Pool) heard(m *nats.Msg) {
	var a announcement
	if unpack(m.Data, false, &a) != nil || a.Worker == "" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if a.Leaving {
		delete(p.workers, a.Worker)
		return
	}
	p.meet(a.Worker, a.Slots, a.Abandoned)
}

// meet notes that a worker is there. The caller holds mu.
func (p *Pool) meet(worker string, slots, abandoned int) {
	w := p.workers[worker]
	if w == nil {
		for id, old := range p.workers {
			if time.Since(old.seen) > 10*workerExpiry {
				delete(p.workers, id)
			}
		}
		w = &peer{}
		p.workers[worker] = w
	}
	if slots > 0 {
		w.slots = slots
	}
	w.abandoned, w.seen = abandoned, time.Now()
}
