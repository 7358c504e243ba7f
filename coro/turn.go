package coro

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/gtoken"
	"github.com/tristrand/tristrand/strand"
)

// How many hand-overs there are between two looks at the clock, the poller and
// what came from outside: as many as there are coroutines ready, and at least
// this many; the least is adapted, so that short turns look around rarely and long
// ones soon.
const (
	minBudget = 1
	maxBudget = 64
	longTurn  = 200 * time.Microsecond
	shortTurn = 50 * time.Microsecond
)

// loop gives the turn to the coroutines that are ready until none is left. It
// runs on the trunk's base.
func (h *Hub) loop() {
	for {
		h.look()
		if h.ready.n == 0 {
			if h.live == 0 && (!h.serving || h.ending.Load()) && h.finished() {
				return
			}
			h.sleep()
			continue
		}
		h.left = max(h.ready.n, h.budget)
		began := h.now
		h.dispatch()
		if len(h.timers.heap) > 0 || h.net != nil {
			h.now = time.Now()
			h.adapt(h.now.Sub(began))
		}
	}
}

// finished ends the hub for those outside, unless there is something from them.
func (h *Hub) finished() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over.Store(len(h.inbox) == 0)
	return h.over.Load()
}

func (h *Hub) adapt(took time.Duration) {
	switch {
	case took > longTurn:
		h.budget = max(minBudget, h.budget/2)
	case took < shortTurn:
		h.budget = min(maxBudget, h.budget*2)
	}
}

// look takes what came from outside, from the clock and from the poller.
func (h *Hub) look() {
	if h.posted.Load() {
		h.collect()
	}
	if h.net != nil {
		h.net.poll(h)
	}
	if len(h.timers.heap) > 0 {
		h.now = time.Now()
		h.timers.fire(h.now)
	}
}

// dispatch runs what is ready until the turn is over. Coroutines follow one
// another without coming back here.
func (h *Hub) dispatch() {
	for h.fresh != nil || h.left > 0 && h.ready.n > 0 {
		if st := h.fresh; st != nil {
			h.fresh = nil
			h.trunk.switchTo(h.fiberOf(st))
			h.cur = nil
			h.turned()
		} else if do := h.ready.first().do; do != nil {
			h.ready.pop()
			do()
		} else if st := h.pop(); st != nil {
			h.trunk.switchTo(h.fiberOf(st))
			h.cur = nil
			h.turned()
		}
	}
}

// pop takes the next coroutine for the turn; nil: the loop is to go on.
func (h *Hub) pop() *seat {
	if h.left <= 0 || h.ready.n == 0 || h.ready.first().s == nil {
		return nil
	}
	h.left--
	h.turns++
	return h.ready.pop().s
}

// fiberOf makes st the one that runs and returns where it goes on.
func (h *Hub) fiberOf(st *seat) *fiber {
	h.cur = st
	if st.fib == nil {
		st.fib = h.trunk.new(st)
	}
	return st.fib
}

// turned tells the scheduler that the hub itself runs under that its strand's
// turn has changed goroutines.
func (h *Hub) turned() {
	if h.outer != nil {
		h.tellOuter()
	}
}

// tellOuter is apart from turned for the stack of those who call that: a coroutine
// that sleeps is to need less than the least that a goroutine has.
//
//go:noinline
func (h *Hub) tellOuter() { h.outer.Step(h.own, strand.Op{Verb: "switch"}) }

// run is the body of a seat's fiber.
func (st *seat) run() {
	st.h.turned()
	defer st.depart()
	defer st.settle()
	if c := st.c; c != nil {
		st.s.Begin()
		if c.begin() {
			c.err = c.fn(st.s.Context())
		}
	} else {
		body := st.body
		st.body = nil
		body()
	}
	st.sound = true
}

// settle ends a coroutine that Spawn made, after its function has returned, has
// panicked, or while it runs into its end by Goexit. What is called in it may do so,
// too, and then the rest is left out.
func (st *seat) settle() {
	c := st.c
	if c == nil {
		return
	}
	sound := st.sound
	if v := recover(); v != nil {
		c.err = &tristrand.PanicError{Value: v, Stack: debug.Stack(), Task: st.s.Name()}
		sound = true
	} else if !sound {
		c.err = tristrand.ErrGoexit
	}
	st.sound = false
	c.finish()
	st.sound = sound
}

// depart takes the seat, whose coroutine is over, out of its hub, and says where
// its fiber goes.
func (st *seat) depart() {
	h := st.h
	if st.c != nil {
		st.s.End()
	}
	st.prev.next, st.next.prev = st.next, st.prev
	st.next, st.prev = nil, nil
	h.timers.remove(&st.alarm) // it may have been ended in its sleep
	unlock()
	h.live--
	f, next := h.trunk.cur, h.pop()
	switch {
	case next == nil:
		h.cur = nil
		f.then = &h.trunk.base
	case next.fib == nil && st.sound: // it can have this stack
		h.cur, next.fib, f.again = next, f, next
	default:
		f.then = h.fiberOf(next)
	}
}

// Spawn starts s at the end of the queue. It is called by strand.Go.
func (h *Hub) Spawn(s *strand.Strand, body func()) {
	st, ok := s.Turn().(*seat)
	if !ok {
		st = &seat{}
		s.SetTurn(st)
	}
	st.h, st.s, st.body = h, s, body
	st.alarm.index = -1
	if st.base {
		s.EndsOwn()
	}
	if h.here() {
		h.seat(st)
		return
	}
	if h.post(entry{do: func() { h.seat(st) }}) {
		return
	}
	s.End() // it will not begin
	if c := st.c; c != nil {
		c.err = fmt.Errorf("%w: %v: Spawn(%q)", ErrHubEnded, h, s.Name())
		c.end.end(nil)
	}
}

// seat queues a new strand, when its time has come.
func (h *Hub) seat(st *seat) {
	h.live++
	st.prev, st.next = h.seats.prev, &h.seats
	st.prev.next, st.next.prev = st, st
	if st.delay <= 0 {
		h.ready.push(entry{s: st})
		return
	}
	begin := func() { h.ready.push(entry{s: st}) }
	if h.outer != nil {
		h.After(st.delay, begin)
		return
	}
	st.later = &timer{at: h.timers.in(st.delay), f: begin, index: -1}
	h.timers.add(st.later)
}

// here reports whether the caller has the hub's turn.
func (h *Hub) here() bool { return h.trunk.here() != nil }

// Step hands the turn over when s yields.
func (h *Hub) Step(s *strand.Strand, op strand.Op) {
	if h.outer != nil {
		h.outer.Step(h.own, op)
	}
	if op.Verb != "yield" || gtoken.Locked() {
		return
	}
	st := s.Turn().(*seat) //nolint:forcetypeassert // Spawn set it
	if h.ready.n == 0 && h.left > 0 {
		h.left-- // nobody to hand over to
		h.turns++
		return
	}
	st.state = ready
	h.ready.push(entry{s: st})
	h.Park(s)
}

// Park gives the turn up until Ready(s). All of it is in one piece, the switch to
// the next fiber included: after a switch the processor guesses every return wrong,
// so that each call that is open meanwhile costs as much as a tenth of the switch.
func (h *Hub) Park(s *strand.Strand) {
	st := s.Turn().(*seat) //nolint:forcetypeassert // Spawn set it
	switch {
	case gtoken.Locked():
		h.parkLocked(st)
		return
	case st.state == early:
		st.state = running
		return
	case st.state == running:
		st.state = parked
	}
	t := &h.trunk
	from, next := t.cur, h.pop()
	st.fib, h.ops = from, 0
	var to *fiber
	switch {
	case next == st:
		st.state = running
		return
	case next == nil:
		h.cur, to = nil, &t.base
	case next.fib != nil:
		h.cur, to = next, next.fib
	case len(t.idle) == 0:
		// To make a stack takes more of this one than a coroutine should need.
		h.cur, h.fresh, to = nil, next, &t.base
	default:
		to = h.fiberOf(next)
	}
	for t.cur = to; to != from; to = t.cur { // trunk.switchTo
		if to.below != nil {
			from.below = nil
			from.yield(struct{}{})
			break // whoever resumes it means it
		}
		if to.next == nil {
			to.start()
		}
		to.below = from
		to.next()
		if t.ended != nil {
			t.reap()
		}
	}
	st.state = running
	if h.outer != nil {
		h.tellOuter()
	}
	if st.doom {
		runtime.Goexit()
	}
}

// parkLocked ends a wait that would have to switch away from a goroutine which
// is locked to its thread.
func (h *Hub) parkLocked(st *seat) {
	st.s.Refuse(ErrThreadLocked)
	for st.state != early { // a grant may be on its way
		runtime.Gosched()
		h.collect()
	}
	st.state = running
}

// Ready puts s at the end of the queue. Anyone may call it.
func (h *Hub) Ready(s *strand.Strand) {
	st := s.Turn().(*seat) //nolint:forcetypeassert // Spawn set it
	if h.here() {
		h.readied(st)
		return
	}
	h.post(entry{s: st})
}

// readied is Ready on the hub's turn.
func (h *Hub) readied(st *seat) {
	if st.state == parked {
		st.state = ready
		h.ready.push(entry{s: st})
	} else {
		st.state = early
	}
}

// post hands e to the hub from outside, and wakes it. It reports whether the hub
// has not ended.
func (h *Hub) post(e entry) bool {
	h.mu.Lock()
	if h.over.Load() {
		h.mu.Unlock()
		return false
	}
	h.inbox = append(h.inbox, e)
	h.posted.Store(true)
	asleep, polling := h.asleep, h.polling
	h.asleep, h.polling = nil, false
	h.mu.Unlock()
	if asleep != nil {
		asleep.Grant()
	} else if polling {
		h.net.wake()
	}
	return true
}

// collect queues what came from outside.
func (h *Hub) collect() {
	h.mu.Lock()
	for i, e := range h.inbox {
		if e.s != nil {
			h.readied(e.s)
		} else {
			h.ready.push(e)
		}
		h.inbox[i] = entry{}
	}
	h.inbox = h.inbox[:0]
	if cap(h.inbox) > 1024 {
		h.inbox = nil
	}
	h.posted.Store(false)
	h.mu.Unlock()
	h.hopeful = false
}

// Keeps says that only coroutines have this scheduler.
func (h *Hub) Keeps(k strand.Kind) bool { return k == strand.Coroutine }

// cancelled ends what waits under contexts that have ended with the hub's.
func (h *Hub) cancelled() {
	for st := h.seats.next; st != &h.seats; st = st.next {
		if st.base {
			st.s.OwnEnded()
		}
	}
}
