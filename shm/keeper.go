package shm

import (
	"runtime"
	"sync/atomic"
	"time"

	"github.com/tristrand/tristrand/internal/futex"
)

// A keeper is the goroutine of this process that serves an arena while strands of
// this process wait there: it wakes those that are parked when another process
// has rung the doorbell, and looks again at waits for locks, as a cycle may be
// closed where this process does not see it. It takes one OS thread, and ends
// when nobody has waited for a while.
type keeper struct {
	direct  atomic.Int32 // strands that wait in their own spots, or may
	parked  atomic.Int32
	locks   atomic.Int32 // waits for locks
	running atomic.Bool
	dozing  atomic.Bool // sleeps for longer than recheckEvery
}

const (
	recheckEvery = 25 * time.Millisecond
	keeperLinger = time.Second
)

// add notes a wait.
func (k *keeper) add(a *arena, parked, lock bool) {
	if parked {
		k.parked.Add(1)
	}
	if lock {
		k.locks.Add(1)
	}
	switch {
	case !parked && !lock:
	case !k.running.Load():
		if k.running.CompareAndSwap(false, true) {
			go a.keep()
		}
	case lock && k.dozing.Load():
		a.ring(a.self + 1)
	}
}

// remove forgets a wait that add has noted.
func (k *keeper) remove(parked, lock bool) {
	if parked {
		k.parked.Add(-1)
	}
	if lock {
		k.locks.Add(-1)
	}
}

// keep is the keeper's loop.
func (a *arena) keep() {
	k, bell := &a.keeper, &a.mem.procs[a.self].doorbell
	busy, checked := time.Now(), time.Now()
	for {
		v := bell.Load()
		now := time.Now()
		if k.parked.Load() > 0 {
			a.grantAll()
			a.watch() // who has joined since they came, too
		}
		if k.locks.Load() > 0 && now.Sub(checked) >= recheckEvery {
			a.recheck(now)
			checked = now
		}
		nap := recheckEvery
		switch {
		case k.locks.Load() > 0:
			busy = now
		case k.parked.Load() > 0:
			busy, nap = now, keeperLinger
		case now.Sub(busy) >= keeperLinger:
			k.running.Store(false)
			if k.parked.Load()+k.locks.Load() == 0 || !k.running.CompareAndSwap(false, true) {
				return
			}
			busy = now
		}
		// Those just made ready would be stuck behind the sleep.
		runtime.Gosched()
		if k.dozing.Store(nap > recheckEvery); nap > recheckEvery && k.locks.Load() > 0 {
			continue
		}
		futex.Wait(word32(bell), v, nap)
	}
}

// grantAll wakes the parked strands of this process whose waits have been ended.
func (a *arena) grantAll() {
	high := a.high()
	for i := uint32(firstSeat); i < high; i++ {
		if a.seats[i].parked.Load() != nil {
			a.grant(i)
		}
	}
}

// recheck looks for deadlocks among the waits of this process that have lasted.
func (a *arena) recheck(now time.Time) {
	since := now.Add(-recheckEvery / 2).UnixNano()
	high := a.high()
	for i := uint32(firstSeat); i < high; i++ {
		s := a.seats[i].strand.Load()
		sp := &a.mem.spots[i]
		if s == nil || phaseOf(sp.state.Load()) != waiting || sp.since.Load() > since {
			continue
		}
		if isLock(a.mem.dir[sp.what.Load()>>whatShift&(maxUnits-1)].kind()) {
			s.Recheck()
		}
	}
}
