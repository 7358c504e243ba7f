package shm

import (
	"context"
	"runtime"
	"time"

	"github.com/tristrand/tristrand/internal/futex"
	"github.com/tristrand/tristrand/strand"
)

// A phase says what has become of a wait. Whoever ends one moves it from waiting
// to another by one compare-and-swap, from whichever process.
type phase uint32

const (
	idle    phase = iota // no wait, or one that its strand has left
	waiting              // may be ended by anyone
	passed               // what was waited for has happened, or is the waiter's
	retry                // it may be there: look again
	died                 // the lock's holder ended
	broken               // the barrier is
	refused              // it is in a deadlock

	phaseMask   = 7
	nudged      = 8 // its strand is to look up, though the wait goes on
	numberShift = 4
)

func phaseOf(state uint32) phase   { return phase(state & phaseMask) }
func numberOf(state uint32) uint32 { return state >> numberShift }

// The flags of what a spot waits for.
const (
	laneMask  = 7  // which of the object's queues
	timedWait = 8  // a deadline will end it
	direct    = 16 // it sleeps on the spot itself
	recovers  = 32 // it would take a lock whose holder died
	strict    = 64 // it has a scheduler: no overtaking
	whatShift = 8
)

// maxDirect is how many strands of a process wait in their own spots at a time,
// each with an OS thread. The rest park in the waist, and the keeper wakes them.
const maxDirect = 3

// A parked wait is in the waist.
type parked struct {
	w      strand.Wait
	number uint32
}

// A waiter is a strand that waits for an object, once or several times in a row.
type waiter struct {
	a      *arena
	s      *strand.Strand
	i      uint32 // the spot
	borrow bool   // the seat is for this wait only
	direct bool
	closed bool // it waits for a lock: a deadlock may be noticed later
	number uint32
	unit   uint32
	w      strand.Wait
}

// waiter prepares to wait for the object at a unit. The caller must call done.
func (a *arena) waiter(ctx context.Context, s *strand.Strand, unit uint32) (waiter, error) {
	t := waiter{a: a, s: s, unit: unit}
	var err error
	if s.ID() == 0 {
		t.borrow = true
		t.i, err = a.wantSeat(ctx, 0, "a goroutine that is no strand")
	} else {
		t.i, err = a.seat(ctx, s)
	}
	if err != nil {
		return t, err
	}
	a.watch()
	if s.Scheduler() == nil {
		if t.direct = a.keeper.direct.Add(1) <= maxDirect; !t.direct {
			a.keeper.direct.Add(-1)
		}
	}
	if t.direct && a.seats[t.i].blocker.Load() == nil {
		i := t.i
		a.seats[i].blocker.Store(&strand.Blocker{
			Block: func() bool { return a.block(i) },
			Wake:  func() { a.nudge(i) },
		})
	}
	a.hold(unit)
	return t, nil
}

// done ends the use of t.
func (t *waiter) done() {
	if t.direct {
		t.a.keeper.direct.Add(-1)
	}
	t.a.drop(t.unit)
	if t.borrow {
		t.a.rise(t.i)
	} else {
		t.a.spare(t.s, t.i)
	}
}

// enter begins a wait: from here on it can be ended. again keeps the place in the
// queue that the last one had.
func (t *waiter) enter(ctx context.Context, flags, mark uint64, again bool) {
	a, sp := t.a, &t.a.mem.spots[t.i]
	t.w = t.s.NewWait()
	if _, timed := ctx.Deadline(); timed {
		flags |= timedWait
	}
	if t.direct {
		flags |= direct
	}
	if t.s.Scheduler() != nil {
		flags |= strict
	}
	t.number = (numberOf(sp.state.Load()) + 1) & (1<<(32-numberShift) - 1)
	sp.what.Store(uint64(t.unit)<<whatShift | flags)
	if !again {
		sp.ticket.Store(a.mem.head.tickets.Add(1))
		sp.since.Store(time.Now().UnixNano())
	}
	a.mem.faces[t.i].mark.Store(mark)
	if !t.direct {
		a.seats[t.i].parked.Store(&parked{t.w, t.number})
	}
	sp.state.Swap(t.number<<numberShift | uint32(waiting)) // seen before what the caller looks at next, see package ring
}

// park waits for the end of the wait, or of ctx. What has become of it says
// leave, whatever the error.
func (t *waiter) park(ctx context.Context, on strand.Resource) error {
	a := t.a
	a.keeper.add(a, !t.direct, t.closed)
	defer a.keeper.remove(!t.direct, t.closed)
	if t.direct {
		return t.w.ParkIn(ctx, on, a.seats[t.i].blocker.Load())
	}
	if phaseOf(a.mem.spots[t.i].state.Load()) != waiting {
		t.w.Grant() // ended by another process before the keeper looked
	}
	return t.w.Park(ctx, on)
}

// look says what has become of the wait.
func (t *waiter) look() phase { return phaseOf(t.a.mem.spots[t.i].state.Load()) }

// leave ends the wait, if nobody has, and says what has become of it: waiting
// means that nothing had.
func (t *waiter) leave() phase {
	sp := &t.a.mem.spots[t.i]
	if !t.direct {
		t.a.seats[t.i].parked.Store(nil)
	}
	for {
		v := sp.state.Load()
		if sp.state.CompareAndSwap(v, t.number<<numberShift|uint32(idle)) {
			if phaseOf(v) != waiting {
				t.a.shadow.acquire(t.unit)
			}
			return phaseOf(v)
		}
	}
}

// giveUp ends the wait if nobody has, and reports whether it did, or whether it
// was refused. If not, the caller leaves when it has dealt with what it was given.
// To look first and to leave then would miss what is given in between.
func (t *waiter) giveUp() bool {
	sp := &t.a.mem.spots[t.i]
	for {
		v := sp.state.Load()
		switch phaseOf(v) {
		case waiting:
			if !sp.state.CompareAndSwap(v, t.number<<numberShift|uint32(idle)) {
				continue
			}
			t.leave()
			return true
		case refused:
			t.leave()
			return true
		default:
			t.a.shadow.acquire(t.unit)
			return false
		}
	}
}

// cancel ends a wait that was not parked.
func (t *waiter) cancel() phase {
	p := t.leave()
	t.w.Cancel()
	return p
}

// block sleeps until the wait of a spot of this process has been ended, and
// returns true, or until it is nudged.
func (a *arena) block(i uint32) bool {
	sp := &a.mem.spots[i]
	v := sp.state.Load()
	if phaseOf(v) != waiting {
		return true
	}
	nap := time.Duration(0)
	if !a.watch() { // who has joined since the wait began, too
		nap = watchAgain
	}
	// Others that could run on this processor would be stuck behind the sleep.
	runtime.Gosched()
	v = sp.state.Load()
	switch {
	case phaseOf(v) != waiting:
		return true
	case v&nudged != 0:
		sp.state.And(^uint32(nudged))
		return false
	}
	futex.Wait(word32(&sp.state), v, nap)
	return phaseOf(sp.state.Load()) != waiting
}

// watchAgain is after how long who waits tries again to watch the other processes, if
// that has failed.
const watchAgain = 100 * time.Millisecond

// nudge makes block return.
func (a *arena) nudge(i uint32) {
	sp := &a.mem.spots[i]
	for {
		v := sp.state.Load()
		if phaseOf(v) != waiting || v&nudged != 0 || sp.state.CompareAndSwap(v, v|nudged) {
			break
		}
	}
	futex.Wake(word32(&sp.state), 1)
}

// settle ends a wait that was seen with the number n. False says that it is over.
func (a *arena) settle(i, n uint32, as phase) bool {
	sp := &a.mem.spots[i]
	for {
		v := sp.state.Load()
		if numberOf(v) != n || phaseOf(v) != waiting {
			return false
		}
		if sp.state.CompareAndSwap(v, n<<numberShift|uint32(as)) {
			a.tell(i)
			return true
		}
	}
}

// tell wakes the strand whose wait in a spot has been ended.
func (a *arena) tell(i uint32) {
	sp := &a.mem.spots[i]
	if sp.what.Load()&direct != 0 {
		futex.Wake(word32(&sp.state), 1)
		return
	}
	if owner := sp.owner.Load(); owner == a.self+1 {
		a.grant(i)
	} else {
		a.ring(owner)
	}
}

// ring has the keeper of the process that is the owner of a spot look up.
func (a *arena) ring(owner uint32) {
	if owner > 0 && owner <= maxProcs {
		p := &a.mem.procs[owner-1]
		p.doorbell.Add(1)
		futex.Wake(word32(&p.doorbell), 1)
	}
}

// grant wakes the strand of a spot of this process, if its wait has been ended
// and it is parked.
func (a *arena) grant(i uint32) {
	p := a.seats[i].parked.Load()
	if p == nil {
		return
	}
	v := a.mem.spots[i].state.Load()
	if ph := phaseOf(v); numberOf(v) == p.number && ph != waiting && ph != idle {
		p.w.Grant()
	}
}

// A found is a waiter that first has found.
type found struct {
	i, number uint32
	what      uint64
	ticket    uint64
	since     int64
}

// first returns who has waited longest in a queue of an object, and how many do.
func (a *arena) first(unit uint32, lane uint64) (f found, n int) {
	return a.firstWith(unit, lane, 0)
}

// firstWith is first of those with all of the flags.
func (a *arena) firstWith(unit uint32, lane, flags uint64) (f found, n int) {
	for i, v := range a.waiting(unit, lane) {
		sp := &a.mem.spots[i]
		g := found{i, numberOf(v), sp.what.Load(), sp.ticket.Load(), sp.since.Load()}
		if now := sp.state.Load(); numberOf(now) != g.number || phaseOf(now) != waiting || g.what&flags != flags {
			continue
		}
		if n++; n == 1 || g.ticket < f.ticket {
			f = g
		}
	}
	return f, n
}

// waiting yields the spots that wait in a queue of an object, and their states.
func (a *arena) waiting(unit uint32, lane uint64) func(yield func(i, state uint32) bool) {
	return func(yield func(i, state uint32) bool) {
		high := a.high()
		for i := uint32(firstSeat); i < high; i++ {
			sp := &a.mem.spots[i]
			v := sp.state.Load()
			if phaseOf(v) != waiting {
				continue
			}
			if w := sp.what.Load(); w>>whatShift != uint64(unit) || w&laneMask != lane {
				continue
			}
			if !yield(i, v) {
				return
			}
		}
	}
}

// count returns how many wait in a queue of an object.
func (a *arena) count(unit uint32, lane uint64) (n int) {
	for range a.waiting(unit, lane) {
		n++
	}
	return n
}

// wake ends the waits of the n that have waited longest in a queue of an object,
// all with n < 0, and returns how many they were.
func (a *arena) wake(unit uint32, lane uint64, n int, as phase) int {
	a.shadow.release(unit)
	if n < 0 {
		return a.wakeAll(unit, lane, as)
	}
	woken := 0
	for woken < n {
		f, _ := a.first(unit, lane)
		if f.i == 0 {
			break
		}
		if a.settle(f.i, f.number, as) {
			woken++
		}
	}
	return woken
}

// wakeAll does not wake who comes while it looks, or comes again.
func (a *arena) wakeAll(unit uint32, lane uint64, as phase) (n int) {
	last := a.mem.head.tickets.Load()
	for i, v := range a.waiting(unit, lane) {
		if a.mem.spots[i].ticket.Load() <= last && a.settle(i, numberOf(v), as) {
			n++
		}
	}
	return n
}
