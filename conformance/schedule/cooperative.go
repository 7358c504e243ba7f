package schedule

import (
	"context"
	"sync"
	"time"

	"github.com/tristrand/tristrand/strand"
)

// Cooperative runs body as a strand that shares one turn with all the strands
// that it starts, and returns when the last of them has ended. It waits as the
// strand that ctx names, when it is that strand's goroutine that calls.
func Cooperative(ctx context.Context, body func(ctx context.Context)) {
	c := &cooperative{turns: map[*strand.Strand]*turn{}, back: make(chan struct{})}
	// Whoever waits for the hub waits on whatever ctx says, but the hub itself
	// stays until its strands are done: they are told by their own contexts.
	c.own = strand.Current(ctx)
	strand.Go(ctx, strand.Options{Kind: strand.Main, Name: "main", Scheduler: c}, body)
	c.loop(context.WithoutCancel(ctx))
	c.running.Wait()
}

// A cooperative scheduler hands one turn around, first come first served.
type cooperative struct {
	own     *strand.Strand // the strand that loop runs on
	back    chan struct{}  // the turn, given back to loop
	running sync.WaitGroup // goroutines of strands

	mu    sync.Mutex // guards the rest
	turns map[*strand.Strand]*turn
	queue []runnable
	idle  *strand.Wait // of own, while there is nothing to run
	live  int
}

// A runnable is a strand's turn or something that is due.
type runnable struct {
	t   *turn
	due func()
}

var (
	_ strand.Scheduler = (*cooperative)(nil)
	_ strand.Resource  = (*cooperative)(nil)
)

// loop gives the turn to one after another until no strand is left.
func (c *cooperative) loop(ctx context.Context) {
	for {
		c.mu.Lock()
		switch {
		case len(c.queue) > 0:
			next := c.queue[0]
			c.queue = c.queue[1:]
			c.mu.Unlock()
			if next.due != nil {
				next.due()
				continue
			}
			next.t.wake <- struct{}{}
			<-c.back
		case c.live == 0:
			c.mu.Unlock()
			return
		default:
			w := c.own.NewWait()
			c.idle = &w
			c.mu.Unlock()
			if err := w.Park(ctx, c); err != nil {
				panic("schedule: bug: a hub's wait ended with " + err.Error())
			}
		}
	}
}

// push queues r and wakes the loop. The caller holds mu, which push unlocks.
func (c *cooperative) push(r runnable) {
	c.queue = append(c.queue, r)
	idle := c.idle
	c.idle = nil
	c.mu.Unlock()
	if idle != nil {
		idle.Grant()
	}
}

// turn returns the turn of s. The caller holds mu.
func (c *cooperative) turn(s *strand.Strand) *turn {
	t := c.turns[s]
	if t == nil {
		t = newTurn(s, len(c.turns))
		c.turns[s] = t
	}
	return t
}

// Spawn starts s at the end of the queue.
func (c *cooperative) Spawn(s *strand.Strand, body func()) {
	c.mu.Lock()
	t := c.turn(s)
	c.live++
	c.mu.Unlock()
	c.running.Go(func() {
		c.await(t)
		defer func() {
			c.mu.Lock()
			c.live--
			delete(c.turns, s)
			c.mu.Unlock()
			c.back <- struct{}{}
		}()
		body()
	})
	c.mu.Lock()
	c.push(runnable{t: t})
}

// await returns when t has the turn. Under another scheduler the turn of own
// has changed goroutines, which that one hears by a step.
func (c *cooperative) await(t *turn) {
	<-t.wake
	c.outer(strand.Op{Verb: "switch"})
}

func (c *cooperative) outer(op strand.Op) {
	if sched := c.own.Scheduler(); sched != nil {
		sched.Step(c.own, op)
	}
}

// Step hands the turn over when s yields or sleeps.
func (c *cooperative) Step(s *strand.Strand, op strand.Op) {
	c.outer(op)
	if op.Verb != "yield" && op.Verb != "sleep" {
		return
	}
	c.mu.Lock()
	t := c.turn(s)
	c.push(runnable{t: t})
	c.back <- struct{}{}
	c.await(t)
}

// Park gives the turn up until Ready(s).
func (c *cooperative) Park(s *strand.Strand) {
	c.mu.Lock()
	t := c.turn(s)
	parked := t.park()
	c.mu.Unlock()
	if parked {
		c.back <- struct{}{}
		c.await(t)
	}
}

// Ready puts s at the end of the queue. Anyone may call it.
func (c *cooperative) Ready(s *strand.Strand) {
	c.mu.Lock()
	t := c.turn(s)
	if t.ready() {
		c.push(runnable{t: t})
		return
	}
	c.mu.Unlock()
}

// After queues f when d has passed for the strand that runs the scheduler.
func (c *cooperative) After(d time.Duration, f func()) (stop func() bool) {
	return c.own.After(d, func() {
		c.mu.Lock()
		c.push(runnable{due: f})
	})
}

// String names the hub for whoever looks at its strand.
func (c *cooperative) String() string { return "the strands of a cooperative scheduler" }

// Releasers says that anyone could make a strand ready.
func (c *cooperative) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) { return buf, false }
