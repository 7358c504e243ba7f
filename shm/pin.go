package shm

import (
	"runtime"
	"sync"
)

// pins keeps the arenas of which this process holds units of a semaphore. It would
// otherwise leave one whose objects are all garbage here, as if it had died, and give
// back what another process, or a later job with a handle of its own, is to release.
var pins struct {
	mu  sync.Mutex
	all map[*arena]struct{}
}

// pin is called when this process has acquired a semaphore.
func (a *arena) pin() {
	if a.pinned.Load() {
		return
	}
	pins.mu.Lock()
	defer pins.mu.Unlock()
	if pins.all == nil {
		pins.all = make(map[*arena]struct{})
	}
	if len(pins.all) == 0 {
		unpinLater()
	}
	pins.all[a] = struct{}{}
	a.pinned.Store(true)
}

// unpin lets those go of which this process holds nothing any more.
func unpin() {
	pins.mu.Lock()
	defer pins.mu.Unlock()
	for a := range pins.all {
		a.pinned.Store(false) // before the look: who acquires after it pins again
		if a.holdsUnits() {
			a.pinned.Store(true)
		} else {
			delete(pins.all, a)
		}
	}
	if len(pins.all) > 0 {
		unpinLater()
	}
}

// unpinLater has unpin called by the next run of the garbage collector, which is when it
// matters what is kept.
func unpinLater() {
	type garbage struct{ _ [64]byte }
	runtime.AddCleanup(new(garbage), func(struct{}) { unpin() }, struct{}{})
}

// holdsUnits reports whether this process holds units of a semaphore.
func (a *arena) holdsUnits() bool {
	for unit, k := range a.objects() {
		if (k == kindSemaphore || k == kindBoundedSemaphore) && semaphoreAt(a, unit).held[a.self].Load() > 0 {
			return true
		}
	}
	return false
}
