package shm

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/gtoken"
	"github.com/tristrand/tristrand/strand"
)

// The word of a lock: two flags and two states, the holder's seat, and the place
// of the acquisition. One compare-and-swap takes the lock. The algorithm is that
// of package local and of sync.Mutex: a release wakes the first waiter, which
// competes with newcomers, and hands the lock over once that one has waited for
// patience.
const (
	contended = 1 << iota // somebody waits
	woken                 // a waiter is awake and about to try
	transit               // promised to the seat, whose strand has not run since

	flags = contended | woken

	seatShift  = 4
	seatBits   = 28
	placeShift = seatShift + seatBits // while in transit: the number of the wait

	patience = time.Millisecond
	spins    = 40
)

type lockCell struct {
	_     cell
	word  atomic.Uint64
	guest atomic.Uint64 // the goroutine of a holder that is no strand
	depth atomic.Uint32 // levels above the first; written by the holder

	// Of a holder that died.
	deadPID    atomic.Uint32
	deadStrand atomic.Uint64
	deadName   [32]byte
}

func seatIn(w uint64) uint32   { return uint32(w >> seatShift & (1<<seatBits - 1)) }
func placeIn(w uint64) uintptr { return strand.PlaceAt(int32(w >> placeShift)) }
func free(w uint64) bool       { return seatIn(w) == seatNobody }

func claimWord(seat uint32, place int32) uint64 {
	return uint64(seat)<<seatShift | uint64(uint32(place))<<placeShift
}

func transitWord(seat, number uint32) uint64 {
	return transit | uint64(seat)<<seatShift | uint64(number)<<placeShift
}

// A mutex is the lock at a unit of an arena.
type mutex struct {
	a    *arena
	unit uint32
	cell *lockCell
}

func (a *arena) mutex(unit uint32) mutex { return mutex{a, unit, cellAt[lockCell](a, unit)} }

// mutexes yields the locks of the arena.
func (a *arena) mutexes() func(yield func(mutex) bool) {
	return func(yield func(mutex) bool) {
		for unit, k := range a.objects() {
			if isLock(k) && !yield(a.mutex(unit)) {
				return
			}
		}
	}
}

// taken is called by the new holder.
func (m mutex) taken(s *strand.Strand) {
	s.Held(1)
	if s.ID() == 0 {
		m.cell.guest.Store(uint64(gtoken.Get()))
	}
	m.a.shadow.acquire(m.unit)
}

// barge takes the free lock although others may be waiting. own clears the woken
// flag, which is the caller's.
func (m mutex) barge(s *strand.Strand, claim, own uint64) bool {
	for {
		w := m.cell.word.Load()
		if !free(w) {
			return false
		}
		if m.cell.word.CompareAndSwap(w, w&^own|claim) {
			m.taken(s)
			return true
		}
	}
}

// try takes the lock if nobody holds it.
func (m mutex) try(ctx context.Context, on strand.Resource, s *strand.Strand, place int32) error {
	seat, err := m.a.seat(ctx, s)
	if err != nil {
		return err
	}
	claim := claimWord(seat, place)
	if m.cell.word.CompareAndSwap(0, claim) {
		m.taken(s)
		return nil
	}
	if s.Scheduler() == nil && m.barge(s, claim, 0) {
		return nil
	}
	m.a.spare(s, seat)
	m.a.watch() // a holder that has died is told to the next who tries
	if seatIn(m.cell.word.Load()) == seatDead {
		return m.errDied(on)
	}
	return tristrand.ErrBusy
}

// lock waits until s, who has found the lock taken or contended, has it.
func (m mutex) lock(ctx context.Context, on strand.Resource, s *strand.Strand, place int32, recovering bool) error {
	seat, err := m.a.seat(ctx, s)
	if err != nil {
		return err
	}
	claim := claimWord(seat, place)
	if m.cell.word.CompareAndSwap(0, claim) {
		m.taken(s)
		return nil
	}
	if s.Scheduler() == nil && (m.barge(s, claim, 0) || m.spin(s, claim)) {
		return nil
	}
	t, err := m.a.waiter(ctx, s, m.unit)
	if err != nil {
		return err
	}
	defer t.done()
	t.closed = s.ID() != 0
	return m.wait(ctx, on, &t, claim, recovering)
}

// spin tries for about a microsecond, if the holder can be running meanwhile.
func (m mutex) spin(s *strand.Strand, claim uint64) bool {
	if runtime.GOMAXPROCS(0) == 1 {
		return false
	}
	for range spins {
		for range 10 {
			if w := m.cell.word.Load(); free(w) {
				break
			} else if w&contended != 0 || seatIn(w) == seatDead {
				return false
			}
		}
		if m.barge(s, claim, 0) {
			return true
		}
	}
	return false
}

func (m mutex) wait(ctx context.Context, on strand.Resource, t *waiter, claim uint64, recovering bool) error {
	var own, flag uint64 // woken, once a release has woken this waiter
	if recovering {
		flag = recovers
	}
	for again := false; ; again = true {
		t.enter(ctx, flag, 0, again)
		if done, err := m.enqueue(on, t, claim, own, recovering); done {
			if t.cancel() == retry {
				m.cell.word.And(^uint64(woken))
			}
			return err
		}
		err := t.park(ctx, on)
		if t.giveUp() {
			return err
		}
		if t.look() == passed {
			// Before leaving, so that the lock is never promised to nobody.
			m.arrive(t, claim)
		}
		switch t.leave() {
		case passed:
			return nil
		case died:
			return m.errDied(on)
		}
		if own = woken; err != nil {
			m.passOn()
			return err
		}
		if m.barge(t.s, claim, own) {
			return nil
		}
	}
}

// enqueue sees to it that the holder wakes t, unless the lock can be taken after
// all or never will be: it is done then.
func (m mutex) enqueue(on strand.Resource, t *waiter, claim, own uint64, recovering bool) (done bool, err error) {
	c := m.cell
	for {
		w := c.word.Load()
		switch {
		case free(w):
			if own == 0 && w&contended != 0 && t.s.Scheduler() != nil {
				return false, nil // somebody has been woken; no overtaking
			}
			if c.word.CompareAndSwap(w, w&^own|claim) {
				m.taken(t.s)
				return true, nil
			}
		case seatIn(w) == seatDead:
			if !recovering {
				c.word.And(^own)
				return true, m.errDied(on)
			}
			if c.word.CompareAndSwap(w, w&flags&^own|claim) {
				c.depth.Store(0)
				m.taken(t.s)
				return true, nil
			}
		default:
			if c.word.CompareAndSwap(w, w&^own|contended) {
				return false, nil
			}
		}
	}
}

// arrive makes t, whom the lock was promised to, its holder.
func (m mutex) arrive(t *waiter, claim uint64) {
	for {
		w := m.cell.word.Load()
		if m.cell.word.CompareAndSwap(w, w&flags|claim) {
			m.taken(t.s)
			return
		}
	}
}

// free gives the lock up; the caller is its holder, s.
func (m mutex) free(s *strand.Strand) {
	s.Held(-1)
	m.a.shadow.release(m.unit)
	m.cell.guest.Store(0)
	defer m.a.spare(s, seatIn(m.cell.word.Load()))
	for {
		w := m.cell.word.Load()
		if w&contended != 0 && w&woken == 0 {
			if m.cell.word.CompareAndSwap(w, m.mine()) {
				m.pass(s.Scheduler() != nil)
				return
			}
		} else if m.cell.word.CompareAndSwap(w, w&flags) {
			return
		}
	}
}

// mine is the word of a lock that this process is about to pass on.
func (m mutex) mine() uint64 { return transitWord(m.a.guest, 0) }

// pass wakes the first waiter or, if that one has waited long enough or there is
// to be no overtaking, hands it the lock, whose word is mine. The contended flag
// was cleared before the waiters are looked at: who comes now sets it again.
func (m mutex) pass(noOvertaking bool) {
	c := m.cell
	for {
		f, n := m.a.first(m.unit, 0)
		var keep uint64
		if n > 1 {
			keep = contended
		}
		w := c.word.Load()
		switch {
		case n == 0:
			if w&contended != 0 { // somebody came
				c.word.And(^uint64(flags))
				continue
			}
			if c.word.CompareAndSwap(w, 0) {
				return
			}
		case noOvertaking || f.what&strict != 0 || time.Now().UnixNano()-f.since >= int64(patience):
			promised := transitWord(f.i, f.number)
			m.swap(promised | keep)
			if m.a.settle(f.i, f.number, passed) || !m.takeBack(f, promised) {
				return
			}
		default:
			m.swap(keep | woken)
			if m.a.settle(f.i, f.number, retry) || !m.reclaim() {
				return
			}
		}
	}
}

// swap replaces the word, which is mine, and keeps a contended flag that somebody
// has set meanwhile.
func (m mutex) swap(to uint64) {
	for {
		w := m.cell.word.Load()
		if m.cell.word.CompareAndSwap(w, to|w&contended) {
			return
		}
	}
}

// takeBack takes the lock back from one who had given up before it was told of
// the promise. False says that another has dealt with it.
func (m mutex) takeBack(f found, promised uint64) bool {
	if v := m.a.mem.spots[f.i].state.Load(); numberOf(v) == f.number && phaseOf(v) == passed {
		return false
	}
	for {
		w := m.cell.word.Load()
		if w&^flags != promised {
			return false
		}
		if m.cell.word.CompareAndSwap(w, m.mine()) {
			return true
		}
	}
}

// reclaim takes the lock back to wake another waiter, as the one that was woken
// had given up. It returns false if that is not needed.
func (m mutex) reclaim() bool {
	for {
		w := m.cell.word.Load()
		next := w &^ woken // its holder will wake, or nobody waits
		if free(w) && w&contended != 0 {
			next = m.mine()
		}
		if m.cell.word.CompareAndSwap(w, next) {
			return next == m.mine()
		}
	}
}

// passOn wakes another in place of the caller, who was woken and has given up.
func (m mutex) passOn() {
	if m.reclaim() {
		m.pass(false)
	}
}

// holder returns the strand that holds the lock if it is the caller, and
// otherwise an error that says who does.
func (m mutex) holder(on strand.Resource) (*strand.Strand, error) {
	w := m.cell.word.Load()
	i := seatIn(w)
	switch {
	case i == seatNobody || w&transit != 0:
		return nil, fmt.Errorf("%w: %v: nobody holds it", tristrand.ErrNotHeld, on)
	case i == seatDead:
		return nil, fmt.Errorf("%w: %v: %s took it and died", tristrand.ErrNotHeld, on, m.dead())
	case i == m.a.guest && m.cell.guest.Load() == uint64(gtoken.Get()):
		return strand.Current(context.Background()), nil
	}
	if s := m.a.seats[i&(maxSeats-1)].strand.Load(); s != nil && s.Mine() {
		return s, nil
	}
	_, pid := m.a.refOf(i)
	return nil, fmt.Errorf("%w: %v: %q (pid %d) holds it since %s", tristrand.ErrNotHeld, on, m.a.seatName(i), pid, strand.Place(placeIn(w)))
}
