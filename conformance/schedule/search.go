package schedule

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/tristrand/tristrand/strand"
)

// maxSteps is when a search gives up: a body that is still at it goes round in
// circles.
const maxSteps = 200_000

// Search runs body under the schedule that seed stands for and returns when the
// last strand has ended. The search checks now and then whether ctx has ended;
// its strands' contexts end with ctx's error then.
func Search(ctx context.Context, seed uint64, body func(ctx context.Context) error) Outcome {
	x := &search{
		seed: seed,
		rng:  rand.New(rand.NewPCG(seed, 0x9E3779B97F4A7C15)),
		log:  newLog(),
		over: func() error { return strand.Err(ctx) },

		turns: map[*strand.Strand]*turn{},
	}
	// The strands' contexts end on the searched turn, never by a goroutine of
	// somebody else's: that is what WithoutCancel is for.
	x.root.Init(context.WithoutCancel(ctx))
	x.root.Bind(strand.Named(ctx), time.Time{})
	own := strand.Current(ctx).NewWait()
	x.done = func() { own.Grant() }
	var err error
	strand.Go(&x.root, strand.Options{Kind: strand.Main, Name: "main", Scheduler: x}, func(ctx context.Context) {
		err = body(ctx)
	})
	x.next(nil)
	perr := own.Park(context.WithoutCancel(ctx), x)
	if perr != nil {
		panic("schedule: bug: the wait for a search ended with " + perr.Error())
	}
	x.running.Wait()
	return x.outcome(err)
}

// A search is a scheduler that gives one turn to one strand after another, by a
// random number before every operation.
type search struct {
	seed    uint64
	root    strand.Context
	over    func() error // of the ctx that Search was given
	done    func()
	running sync.WaitGroup // goroutines of strands

	// Touched by whoever has the turn, and by nobody else.
	rng   *rand.Rand
	log   *log
	clock clock
	steps int
	fault error // why the search was ended
	given bool  // up: strands that wait even now are ended

	mu       sync.Mutex // guards the rest, which outsiders touch too
	turns    map[*strand.Strand]*turn
	started  int
	runnable []*turn
	gid      uint64 // the goroutine that has the turn
	live     int
	outside  *OutsideError
}

var (
	_ strand.Scheduler = (*search)(nil)
	_ strand.Resource  = (*search)(nil)
)

// turn returns the turn of s. The caller holds mu.
func (x *search) turn(s *strand.Strand) *turn {
	t := x.turns[s]
	if t == nil {
		t = newTurn(s, x.started)
		x.started++
		x.turns[s] = t
	}
	return t
}

// Spawn makes s one of those that can run.
func (x *search) Spawn(s *strand.Strand, body func()) {
	x.mu.Lock()
	if x.live > 0 {
		x.check("Spawn", s)
	}
	t := x.turn(s)
	x.live++
	x.runnable = append(x.runnable, t)
	x.mu.Unlock()
	x.running.Go(func() {
		t.gid = goroutine()
		x.await(t, strand.Op{Verb: "start"})
		defer func() { // also after runtime.Goexit
			x.record(t, strand.Op{Verb: "end"})
			x.mu.Lock()
			x.live--
			delete(x.turns, s)
			last := x.live == 0
			x.mu.Unlock()
			if last {
				x.done()
			} else {
				x.next(nil)
			}
		}()
		if !x.given {
			body()
		}
	})
}

// Step lets any strand that could run go first, unless op is no point.
func (x *search) Step(s *strand.Strand, op strand.Op) {
	x.mu.Lock()
	t := x.turn(s)
	x.mu.Unlock()
	if x.given {
		return
	}
	x.claim(t)
	x.steps++
	x.limit()
	if !x.log.point(op) {
		x.record(t, op)
		return
	}
	x.mu.Lock()
	x.runnable = append(x.runnable, t)
	x.mu.Unlock()
	if x.next(t) != t {
		x.await(t, op)
		return
	}
	x.record(t, op)
}

// Park gives the turn up until Ready(s).
func (x *search) Park(s *strand.Strand) {
	x.mu.Lock()
	t := x.turn(s)
	parked := t.park()
	x.mu.Unlock()
	x.claim(t)
	if !parked {
		return
	}
	if x.given {
		runtime.Goexit()
	}
	if x.next(t) != t {
		x.await(t, strand.Op{Verb: "go on"})
	}
	if x.given {
		runtime.Goexit()
	}
}

// Ready makes s one of those that can run. Whoever has not the turn must not
// call it: the schedule would not be the seed's any more.
func (x *search) Ready(s *strand.Strand) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.check("Ready", s)
	if t := x.turn(s); t.ready() {
		x.runnable = append(x.runnable, t)
	}
}

// After runs f when every strand waits and the clock has come to d from now.
func (x *search) After(d time.Duration, f func()) (stop func() bool) {
	return x.clock.after(d, f)
}

// Now returns how much time has passed since the search began.
func (x *search) Now() time.Duration { return x.clock.now }

// await returns when t has the turn, and records what it does with it.
func (x *search) await(t *turn, op strand.Op) {
	<-t.wake
	x.claim(t)
	x.record(t, op)
}

// claim notes on which goroutine the strand of t has the turn: its own, or
// that of one of the strands that it is a hub to.
func (x *search) claim(t *turn) {
	gid := t.gid
	if gid == 0 || !t.s.Mine() {
		gid = goroutine()
	}
	x.mu.Lock()
	x.gid = gid
	x.mu.Unlock()
}

func (x *search) record(t *turn, op strand.Op) {
	x.log.add(t, op)
}

// next gives the turn to one of those that can run, which is returned; from,
// the strand that calls, is not told. When nobody can run, what is due next
// comes first. It runs on the goroutine that gives the turn up.
func (x *search) next(from *turn) *turn {
	for {
		x.mu.Lock()
		if n := len(x.runnable); n > 0 {
			// In order of appearance: who became ready first must not matter.
			slices.SortFunc(x.runnable, func(a, b *turn) int { return a.number - b.number })
			i := 0
			if n > 1 {
				i = x.rng.IntN(n)
			}
			t := x.runnable[i]
			x.runnable = slices.Delete(x.runnable, i, i+1)
			x.mu.Unlock()
			if t != from {
				t.wake <- struct{}{}
			}
			return t
		}
		x.mu.Unlock()
		if !x.clock.advance() {
			x.stuck()
		}
	}
}

// stuck ends the contexts of all strands, as nothing can happen any more. If
// that has been done already it makes those that wait run into their end.
func (x *search) stuck() {
	if x.fault == nil {
		x.end(x.newStuckError())
		return
	}
	x.given = true
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, t := range x.turns {
		if t.parked {
			t.parked = false
			x.runnable = append(x.runnable, t)
		}
	}
	if len(x.runnable) == 0 {
		panic(fmt.Sprintf("schedule: bug: seed %d: %d strands are left and none waits", x.seed, x.live))
	}
}

// limit ends a search that will not end by itself.
func (x *search) limit() {
	if x.fault != nil {
		if x.steps > 2*maxSteps {
			x.given = true
			runtime.Goexit()
		}
		return
	}
	if x.steps > maxSteps {
		x.end(fmt.Errorf("schedule: seed %d: no end in sight after %d steps", x.seed, maxSteps))
	} else if x.steps%1000 == 0 {
		if err := x.over(); err != nil {
			x.end(err)
		}
	}
}

func (x *search) end(err error) {
	x.fault = err
	x.root.End(&endError{err})
}

// check notes who made s ready, or started it, without having the turn. The
// caller holds mu.
func (x *search) check(what string, s *strand.Strand) {
	gid := goroutine()
	if gid == x.gid || x.outside != nil {
		return
	}
	x.outside = &OutsideError{Seed: x.seed, Verb: what, Strand: s.Name(), Caller: caller()}
}

// String names the search for whoever looks at the strand that runs it.
func (x *search) String() string { return fmt.Sprintf("the search with seed %d", x.seed) }

// Releasers says that anyone could end it.
func (x *search) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) { return buf, false }
