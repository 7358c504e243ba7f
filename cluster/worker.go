package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/coro"
	"github.com/tristrand/tristrand/internal/wire"
	"github.com/tristrand/tristrand/process"
	"github.com/tristrand/tristrand/strand"
	"github.com/tristrand/tristrand/thread"
)

// A Worker says how Serve shall work. The zero value serves the queue "default".
type Worker struct {
	// Queues are those whose jobs it takes; none is "default" alone.
	Queues []string

	// Slots is how many jobs run at once; 0 is the engine's Workers.
	Slots int

	// Grace is how long the jobs that run may go on when Serve shall end, before they are
	// asked to stop and handed back to the queue; 0 is 30 s, below 0 is not at all.
	Grace time.Duration

	// NoSignals leaves SIGTERM alone: otherwise it ends Serve as its ctx does.
	NoSignals bool
}

// Serve takes jobs of the queue "default" and runs them on engine, as a Worker's Serve
// does.
func Serve(ctx context.Context, c *Cluster, engine tristrand.Executor) error {
	return new(Worker).Serve(ctx, c, engine)
}

const (
	workerGrace   = 30 * time.Second
	announceEvery = time.Second
)

// Serve makes the process a worker: it takes jobs from the cluster into engine, whose
// tasks must be defined in this program, as many at once as the engine has workers. It
// returns when ctx ends, or at SIGTERM: then it takes no more jobs and waits for those
// that run. The engine stays the caller's.
func (w *Worker) Serve(ctx context.Context, c *Cluster, engine tristrand.Executor) error {
	if engine == nil {
		return errors.New("cluster: Serve: the engine is nil: give it a *thread.Pool, a *process.Pool or a *coro.Pool")
	}
	slots := w.Slots
	if slots == 0 {
		slots = slotsOf(engine)
	}
	if slots < 1 {
		return fmt.Errorf("cluster: Serve: %d slots: there must be at least one", slots)
	}
	queues := w.Queues
	if len(queues) == 0 {
		queues = []string{defaultName}
	}
	v, err := newService(ctx, c, engine, slots, queues)
	if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil // it has ended before it began
	}
	if err != nil {
		return err
	}
	sig := make(chan os.Signal, 1)
	if !w.NoSignals {
		signal.Notify(sig, syscall.SIGTERM)
		defer signal.Stop(sig)
	}
	v.begin()
	v.untilEnd(ctx, sig)
	return v.drain(context.WithoutCancel(ctx), max(orDefault(w.Grace, workerGrace), 0))
}

// untilEnd waits for a reason to stop.
func (v *service) untilEnd(ctx context.Context, sig <-chan os.Signal) {
	_ = await(ctx, "the end of the worker", func(done func()) {
		go func() {
			defer done()
			select {
			case <-sig:
			case <-ctx.Done():
			case <-v.broken:
			case <-v.c.closed:
			}
		}()
	})
}

// slotsOf returns how many jobs an engine runs at once.
func slotsOf(engine tristrand.Executor) int {
	switch p := engine.(type) {
	case *thread.Pool:
		if p.Workers > 0 {
			return p.Workers
		}
	case *process.Pool:
		if p.Workers > 0 {
			return p.Workers
		}
	case *coro.Pool:
		if p.Workers > 0 {
			return p.Workers
		}
	}
	if s, ok := engine.(interface{ Slots() int }); ok {
		return s.Slots()
	}
	return max(engine.Stats().Workers, runtime.GOMAXPROCS(0))
}

// A service is one run of Serve.
type service struct {
	c      *Cluster
	engine tristrand.Executor
	slots  int
	queues []string
	id     string
	host   string
	born   time.Time
	ctx    context.Context //nolint:containedctx // of the jobs
	cancel context.CancelCauseFunc
	subs   []*nats.Subscription
	back   func()
	broken chan struct{} // closed when the engine takes no more
	once   sync.Once
	ended  chan struct{}
	loop   sync.WaitGroup

	listening sync.WaitGroup // what brings jobs

	mu        sync.Mutex // guards the rest
	sources   []*source
	hand      map[*task]struct{}
	ready     [highest - lowest + 1][]*task
	waiting   int // of ready
	asking    int
	running   int
	count     uint64
	failed    uint64
	typical   time.Duration
	ahead     int
	at        int // of a sweep, -1 if there is none
	stepped   time.Time
	freed     bool // a slot, while it goes on
	backing   bool
	backs     int       // that are on their way
	calm      time.Time // no sweep before
	stopping  bool
	abandoned int
	empty     []func() // called when nothing is in hand
}

func newService(ctx context.Context, c *Cluster, engine tristrand.Executor, slots int, queues []string) (*service, error) {
	if c.isClosing() {
		return nil, errClosed
	}
	v := &service{
		c: c, engine: engine, slots: slots, queues: queues, id: newID(), host: hostName(), born: time.Now(),
		broken: make(chan struct{}), ended: make(chan struct{}), hand: make(map[*task]struct{}), at: -1,
	}
	for i := range c.info.Shards {
		if err := c.ensure(ctx, taskStream(i)); err != nil {
			return nil, err
		}
	}
	for _, q := range queues {
		if err := checkName("queue", q); err != nil {
			return nil, err
		}
		for i := range c.info.Shards {
			if err := c.ensureConsumer(ctx, taskStream(i), q, 0); err != nil {
				return nil, err
			}
		}
	}
	v.ctx, v.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	if err := v.listen(); err != nil {
		v.unlisten()
		return nil, err
	}
	for _, q := range queues {
		if err := v.find(ctx, q); err != nil {
			v.unlisten()
			return nil, err
		}
	}
	if c.info.Shards > 1 {
		c.keepSpread()
	}
	return v, nil
}

func (v *service) subscribe(subject string, fn nats.MsgHandler) error {
	sub, err := v.c.link.nc.Subscribe(subject, fn)
	if err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	v.subs = append(v.subs, sub)
	return nil
}

func (v *service) listen() error {
	if err := v.subscribe(v.c.subject("w."+v.id), v.ordered); err != nil {
		return err
	}
	if err := v.subscribe(v.c.subject("has"), v.asked); err != nil {
		return err
	}
	if err := v.subscribe(v.c.subject("roll"), func(*nats.Msg) { v.announce(false) }); err != nil {
		return err
	}
	for _, q := range v.queues {
		if err := v.subscribe(v.c.subject("who."+q), func(*nats.Msg) { v.announce(false) }); err != nil {
			return err
		}
		if err := v.subscribe(v.c.subject("levels."+q), func(m *nats.Msg) {
			go func() {
				_ = v.find(v.ctx, q) // it is told again
				_ = m.Respond([]byte(v.id))
				v.fill()
			}()
		}); err != nil {
			return err
		}
	}
	v.back = v.c.afterReconnect(v.reset)
	return nil
}

func (v *service) unlisten() {
	v.cancel(errClosed)
	if v.back != nil {
		v.back()
	}
	v.mu.Lock()
	sources := v.sources
	v.mu.Unlock()
	for _, s := range sources {
		_ = s.sub.Unsubscribe()
		_ = s.quick.Unsubscribe()
	}
	for _, s := range v.subs {
		_ = s.Unsubscribe()
	}
}

// find takes up the sources of a queue that are new.
func (v *service) find(ctx context.Context, queue string) error {
	found, err := v.c.sourcesOf(ctx, queue)
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, k := range found {
		have := v.stopping
		for _, s := range v.sources {
			have = have || s.sourceKey == k
		}
		if have {
			continue
		}
		s := &source{sourceKey: k, v: v, stream: v.c.stream(k.kind), sweep: -1}
		s.subject = "$JS.API.CONSUMER.MSG.NEXT." + s.stream + "." + consumerName(k.queue, k.level)
		if s.sub, err = s.listen(false); err != nil {
			return err
		}
		if s.quick, err = s.listen(true); err != nil {
			return err
		}
		v.sources = append(v.sources, s)
		v.endSweep() // its place is not what it was
	}
	byLevel(v.sources)
	return nil
}

// begin starts to take jobs.
func (v *service) begin() {
	v.announce(false)
	v.loop.Go(v.run)
	v.fill()
}

// run is what has to be done from time to time.
func (v *service) run() {
	const step = 50 * time.Millisecond
	t := time.NewTicker(step)
	defer t.Stop()
	beat := max(v.c.opts.Lease/4, step)
	beaten, announced := time.Now(), time.Now()
	for {
		select {
		case <-v.ended:
			return
		case <-t.C:
		}
		if time.Since(beaten) >= beat {
			beaten = time.Now()
			v.beat()
		}
		v.mu.Lock()
		changed := v.abandoned != v.engine.Stats().Abandoned
		v.mu.Unlock()
		if changed || time.Since(announced) >= announceEvery {
			announced = time.Now()
			v.announce(false)
		}
		v.revive()
	}
}

// An announcement is what a worker tells of itself.
type announcement struct {
	Worker    string        `cbor:"1,keyasint"`
	Host      string        `cbor:"2,keyasint"`
	Slots     int           `cbor:"3,keyasint"`
	Busy      int           `cbor:"4,keyasint"`
	Hand      int           `cbor:"5,keyasint"`
	Abandoned int           `cbor:"6,keyasint"`
	Done      uint64        `cbor:"7,keyasint"`
	Failed    uint64        `cbor:"8,keyasint"`
	Engine    string        `cbor:"9,keyasint"`
	Queue     string        `cbor:"10,keyasint"`
	Up        time.Duration `cbor:"11,keyasint"`
	Leaving   bool          `cbor:"12,keyasint,omitempty"`
}

func (v *service) announce(leaving bool) {
	st := v.engine.Stats()
	v.mu.Lock()
	v.abandoned = st.Abandoned
	a := announcement{
		Worker: v.id, Host: v.host, Slots: v.slots, Busy: v.running, Hand: len(v.hand), Abandoned: st.Abandoned,
		Done: v.count, Failed: v.failed, Engine: fmt.Sprintf("%T", v.engine), Up: time.Since(v.born), Leaving: leaving,
	}
	v.mu.Unlock()
	for _, q := range v.queues {
		a.Queue = q
		_ = v.c.link.nc.Publish(v.c.subject("a."+q), encode(&a))
	}
}

// An order tells a worker to stop a job.
type order struct {
	ID    string       `cbor:"1,keyasint"`
	Fault *remoteFault `cbor:"2,keyasint"`
}

// ordered stops a job.
func (v *service) ordered(m *nats.Msg) {
	var o order
	if wire.Decode(m.Data, &o) != nil || o.Fault == nil {
		return
	}
	v.mu.Lock()
	var stop []*task
	for t := range v.hand {
		if t.f.id() == o.ID {
			stop = append(stop, t)
		}
	}
	v.mu.Unlock()
	for _, t := range stop {
		v.stop(t, faults.Err(o.Fault, "the submitter"))
	}
}

// asked answers who asks for a worker that has a task.
func (v *service) asked(m *nats.Msg) {
	who, task, _ := bytesCut(m.Data)
	if _, ok := tristrand.Lookup(task); ok && who != v.id {
		_ = m.Respond([]byte(v.id))
	}
}

// drain ends the service: what runs may go on for grace.
func (v *service) drain(ctx context.Context, grace time.Duration) error {
	v.mu.Lock()
	v.stopping = true
	v.mu.Unlock()
	v.stopListening(ctx)
	v.giveBack(0)
	err := v.awaitEmpty(ctx, grace)
	if err != nil {
		v.handBack()
		err = v.awaitEmpty(ctx, defaultGrace)
	}
	var left []string
	v.mu.Lock()
	for t := range v.hand {
		left = append(left, t.f.Task+"#"+t.f.id())
	}
	v.mu.Unlock()
	v.announce(true)
	close(v.ended)
	v.loop.Wait()
	v.unlisten()
	_ = v.c.link.nc.Flush()
	if err != nil && len(left) > 0 {
		return &tristrand.CloseError{Left: left, Err: errors.New("cluster: they did not stop in time, and will be run by other workers")}
	}
	select {
	case <-v.broken:
		return fmt.Errorf("cluster: Serve: the engine takes no more jobs: %w", tristrand.ErrClosed)
	default:
		return nil
	}
}

// pullsEnd is how long the server has to forget what was asked for.
const pullsEnd = 5 * time.Second

// stopListening takes back what was asked for, and waits for the jobs that are on their way:
// they would be nobody's until their lease is over.
func (v *service) stopListening(ctx context.Context) {
	v.mu.Lock()
	sources := v.sources
	v.mu.Unlock()
	for _, s := range sources {
		_ = s.sub.Drain()
		_ = s.quick.Drain()
	}
	ctx, cancel := strand.WithTimeout(ctx, pullsEnd)
	defer cancel()
	_ = await(ctx, "the end of what brings jobs", func(done func()) {
		go func() { v.listening.Wait(); done() }()
	})
}

// awaitEmpty waits until nothing is in hand.
func (v *service) awaitEmpty(ctx context.Context, within time.Duration) error {
	ctx, cancel := strand.WithTimeout(ctx, within)
	defer cancel()
	return await(ctx, "the jobs in hand", func(done func()) {
		v.mu.Lock()
		defer v.mu.Unlock()
		if len(v.hand) == 0 {
			done()
			return
		}
		v.empty = append(v.empty, done)
	})
}
