package coro

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// A Hub runs coroutines, one at a time, on a goroutine of its own. The zero
// value is ready; the fields are read by Run. A hub runs once.
type Hub struct {
	// Name is shown in errors and reports; "" is hub-N.
	Name string

	// HogAfter is how long a coroutine may keep the hub before it is reported,
	// with its stack, to tristrand.OnReport; 0 is 100 ms, below 0 is never.
	HogAfter time.Duration

	// DeadlockAfter is how long nothing may have happened, with every coroutine
	// waiting and nobody known who could change it, until the waits fail with a
	// *tristrand.DeadlockError; 0 is 1 s, below 0 is never. Who is known is said in
	// the package's documentation.
	DeadlockAfter time.Duration

	// Grace is how long Run waits, when its ctx has ended and all coroutines
	// have, for functions given to Await; 0 is 1 s, below 0 is not at all.
	Grace time.Duration

	trunk trunk
	ctx   strand.Context // of Run; its parent is what Run was given
	own   *strand.Strand // of the loop
	outer strand.Scheduler
	idle  context.Context //nolint:containedctx // the loop's, to park under; it does not end

	// Touched on the hub's turn alone.
	cur     *seat // the coroutine that has the turn; nil is the loop
	ready   ring
	live    int   // coroutines, not started ones included
	fresh   *seat // to be started by the loop, which has the stack for it
	left    int   // hand-overs until the loop looks around
	budget  int
	now     time.Time // read once per turn
	timers  timers
	seats   seat                 // the head of the ring of all coroutines that have not ended
	net     *poller              // nil until the first conn
	ops     int                  // done at once since the last hand-over, by conns
	stuck   int                  // how often everything waited for ever
	turns   uint64               // hand-overs so far; the monitor looks at it
	verdict error                // a *tristrand.DeadlockError
	hope    time.Duration        // until the next look whether everything waits for ever
	hopeful bool                 // there is no such look before something has happened
	bubble  bool                 // in a synctest bubble, whose time passes while all wait
	untold  []*Coroutine         // ended with errors that nobody has asked for
	begun   map[closer]suspended // generators that have not ended
	beguns  int

	waits   atomic.Int64 // functions given to Await, and what else ends from outside
	serving bool         // stays without coroutines until it is told to end
	ending  atomic.Bool  // it is told
	ran     atomic.Bool
	over    atomic.Bool // nothing can be started any more; set with mu held

	mu      sync.Mutex // guards the rest
	inbox   []entry
	asleep  *strand.Wait // of own, while there is nothing to run
	polling bool         // asleep in the poller instead
	posted  atomic.Bool  // inbox is not empty

	awaits   awaits
	monitor  monitor
	hogAfter time.Duration
}

// An entry is a coroutine that is ready or a function to be called on the turn.
type entry struct {
	s  *seat
	do func()
}

// A seat is what a hub knows of one of its strands.
type seat struct {
	h     *Hub
	s     *strand.Strand
	fib   *fiber // where it goes on; nil before it starts
	body  func()
	c     *Coroutine // whose it is, if Spawn made it
	delay time.Duration
	later *timer // starts it
	alarm timer  // of its sleep
	next  *seat  // in the hub's ring
	prev  *seat
	state uint8 // touched on the hub's turn alone
	base  bool  // its ctx ends with the hub's alone
	sound bool  // its function has returned, and the stack can be used again
	doom  bool  // it is ended by Goexit where it waits
}

// The states of a seat, as Park and Ready see them.
const (
	running uint8 = iota // or not yet started
	parked
	early // made ready before it parked
	ready // queued to go on
)

var (
	_ strand.Scheduler = (*Hub)(nil)
	_ strand.Keeper    = (*Hub)(nil)
	_ strand.Resource  = (*Hub)(nil)
)

// hubs has the hubs that run, to find which one a caller is on.
var hubs struct {
	sync.Mutex
	all    atomic.Pointer[[]*Hub]
	number atomic.Uint64
}

// hubOf returns the hub of a trunk, nil if it is no hub's.
func hubOf(t *trunk) *Hub {
	if all := hubs.all.Load(); all != nil {
		for _, h := range *all {
			if &h.trunk == t {
				return h
			}
		}
	}
	return nil
}

func (h *Hub) list(running bool) {
	hubs.Lock()
	defer hubs.Unlock()
	var all []*Hub
	if old := hubs.all.Load(); old != nil {
		all = slices.Clone(*old)
	}
	if running {
		all = append(all, h)
	} else if i := slices.Index(all, h); i >= 0 {
		all = slices.Delete(all, i, i+1)
	}
	hubs.all.Store(&all)
}

// caller returns the hub whose coroutine calls, and its seat; nil if the caller
// is none.
func caller(ctx context.Context) (*Hub, *seat) {
	s := strand.Current(ctx)
	if st, ok := s.Turn().(*seat); ok {
		return st.h, st
	}
	return nil, nil
}

// named returns the hub of the coroutine that ctx names, whoever calls.
func named(ctx context.Context) *Hub {
	if st, ok := strand.Named(ctx).Turn().(*seat); ok {
		return st.h
	}
	return nil
}

// maxIdle is how many stacks of ended coroutines a hub keeps.
const maxIdle = 4096

// Run runs fn as the first coroutine of a new hub and waits until fn and every
// coroutine started since have ended. It returns fn's error; a panic is a
// *tristrand.PanicError. The calling strand waits meanwhile; when ctx ends the
// coroutines are told by their own contexts.
//
// If every coroutine waits for ever Run makes all of their waits fail with a
// *tristrand.DeadlockError that lists them, and returns it.
func Run(ctx context.Context, fn func(ctx context.Context) error) error {
	return new(Hub).Run(ctx, fn)
}

// Run is the function Run, with the hub's fields. It fails if the hub has run.
func (h *Hub) Run(ctx context.Context, fn func(ctx context.Context) error) error {
	if fn == nil {
		panic("coro: Run: the function is nil")
	}
	if ctx.Err() != nil {
		return strand.Err(ctx)
	}
	if h.ran.Swap(true) {
		return fmt.Errorf("coro: %v has run before; make a new Hub", h)
	}
	var main *Coroutine
	done := h.begin(ctx, func() {
		main = spawn(&h.ctx, h, fn, options{name: "main"})
		main.end.tell() // it is Run's caller who is told
	})
	s := strand.Enter(ctx, strand.Op{Verb: "run", On: h})
	err := done.wait(context.WithoutCancel(ctx), s, h)
	if err == nil {
		err = main.err
	}
	return h.outcome(err)
}

// begin starts the hub's goroutine, which calls first on its turn.
func (h *Hub) begin(ctx context.Context, first func()) *ending {
	if h.Name == "" {
		h.Name = fmt.Sprintf("hub-%d", hubs.number.Add(1))
	}
	h.ctx.Init(ctx)
	h.ctx.Bind(strand.Named(ctx), time.Time{})
	h.seats.next, h.seats.prev = &h.seats, &h.seats
	h.budget = maxBudget
	done := new(ending)
	strand.Go(ctx, strand.Options{Kind: strand.Thread, Name: h.Name}, func(inner context.Context) {
		h.own = strand.Current(inner)
		h.outer = h.own.Scheduler()
		h.idle = context.WithoutCancel(inner)
		h.trunk.init(maxIdle)
		h.timers.epoch = time.Now()
		h.list(true)
		h.bubble = time.Now().Year() == bubbleYear
		if h.hogAfter = h.HogAfter; h.hogAfter == 0 {
			h.hogAfter = defaultHogAfter
		}
		if h.bubble || h.outer != nil {
			h.hogAfter = 0 // its time does not pass while something runs
		}
		h.monitor.awake(h)
		stop := context.AfterFunc(ctx, func() { h.post(entry{do: h.cancelled}) })
		first()
		h.loop()
		stop()
		h.close()
		done.end(nil)
	})
	return done
}

// outcome adds to what fn returned what the hub has to say.
func (h *Hub) outcome(err error) error {
	if h.verdict != nil && !isDeadlock(err) {
		err = joinFirst(h.verdict, err)
	}
	if left := h.awaits.left(); len(left) > 0 {
		cause := err
		if cause == nil {
			cause = strand.Err(h.ctx.Parent())
		}
		return &tristrand.CloseError{Left: left, Err: cause}
	}
	return err
}

// bubbleYear is when the time of a synctest bubble begins.
const bubbleYear = 2000

// close ends what the hub owns. It runs on its base when no coroutine is left.
func (h *Hub) close() {
	h.monitor.stop()
	h.closeBegun()
	h.tellFailed()
	if h.net != nil {
		h.net.close()
	}
	h.awaits.drain(h)
	h.trunk.close()
	h.list(false)
}

// String names the hub.
func (h *Hub) String() string { return fmt.Sprintf("hub %q", h.Name) }

// Releasers says that anyone could make one of its coroutines ready.
func (h *Hub) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) { return buf, false }
