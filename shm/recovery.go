package shm

import "time"

// What a process leaves behind when it dies, at whatever instruction:
//
//   - waits in its spots. They are ended first, so that nothing can be handed to
//     it any more; what it had been handed and not yet taken goes on to the next.
//   - guards that it holds. What a guard protects changes by single stores, so it
//     is as it was before the operation or after it.
//   - locks that it holds: their next acquirers are told.
//   - locks that it was handing over: they are handed over again.
//   - units of semaphores: they are given back.
//   - wakes that it owed, or had been given and not passed on: every object with
//     waiters is looked at again.
//
// Only then are its seats and its place in the table free for others. Everything
// may be done twice: should the one who does it die as well, another begins anew.

// recoverProc gives back what process n held. w is its word when it was alive;
// whoever comes second finds another there and does nothing.
func (a *arena) recoverProc(n uint32, w uint64) {
	if procState(w) != procLive {
		return
	}
	a.takeOver(n, w)
}

// takeOver is recoverProc in place of a process that has died over it, for which
// the word is w.
func (a *arena) takeOver(n uint32, w uint64) {
	word := procWord(procRecovering, a.self, w, procPID(w))
	if !a.mem.procs[n].word.CompareAndSwap(w, word) {
		return
	}
	if a.watcher.off { // its memory is about to be unmapped
		a.recover(n, word)
		return
	}
	// The recovery takes as long as a process is stopped that has a guard; the
	// caller may not.
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.recover(n, word)
	}()
	patience := time.NewTimer(recoveryPatience)
	defer patience.Stop()
	select {
	case <-done:
	case <-patience.C:
	}
}

const recoveryPatience = 50 * time.Millisecond

// recover does it; this process has claimed it by word.
func (a *arena) recover(n uint32, word uint64) {
	a.mem.head.alloc.open(n)
	a.mem.head.judge.open(n)
	lost := a.endWaits(n)
	for m := range a.mutexes() { // first, as nothing keeps them waiting
		m.recoverFrom(n)
	}
	for m := range a.mutexes() {
		m.kick()
	}
	for unit, k := range a.objects() {
		a.recoverObject(unit, k, n)
	}
	for _, l := range lost {
		a.makeUp(l)
	}
	for unit, k := range a.objects() {
		a.kick(unit, k, n)
	}
	a.tellAll()
	a.mem.head.alloc.lock(a)
	for unit := range a.objects() {
		a.shut(unit, n)
	}
	a.mem.head.alloc.unlock(a)
	for i := range a.spotsOf(n) {
		a.rise(i)
	}
	for m := range uint32(maxProcs) { // those that it was itself recovering
		if w := a.mem.procs[m].word.Load(); procState(w) == procRecovering && procBy(w) == n && m != n {
			a.takeOver(m, w)
		}
	}
	p := &a.mem.procs[n]
	p.guest.Store(0)
	p.id.Store(0)
	p.word.CompareAndSwap(word, procWord(procFree, 0, word, 0))
	a.unwatch(n)
}

// objects yields the objects of the arena.
func (a *arena) objects() func(yield func(unit uint32, k kind) bool) {
	return func(yield func(unit uint32, k kind) bool) {
		for i := uint32(1); i < maxUnits; {
			e := &a.mem.dir[i]
			k, span := e.kind(), max(e.span(), 1)
			if k != 0 && !yield(i, k) {
				return
			}
			i += span
		}
	}
}

// spotsOf yields the seats of a process.
func (a *arena) spotsOf(n uint32) func(yield func(i uint32) bool) {
	return func(yield func(i uint32) bool) {
		for i := uint32(firstSeat); i < maxSeats; i++ { // one may have been taken and not counted
			if a.mem.spots[i].owner.Load() == n+1 && !yield(i) {
				return
			}
		}
	}
}

// A lost is a wait that a dead process took along.
type lost struct {
	unit  uint32
	kind  kind
	phase phase
	mark  uint64
}

// endWaits ends what the strands of a dead process wait for, and returns those
// that others count on.
func (a *arena) endWaits(n uint32) (all []lost) {
	for i := range a.spotsOf(n) {
		sp := &a.mem.spots[i]
		v := sp.state.Load()
		for !sp.state.CompareAndSwap(v, v&^(phaseMask|nudged)) {
			v = sp.state.Load()
		}
		unit := uint32(sp.what.Load() >> whatShift & (maxUnits - 1))
		if k := a.mem.dir[unit].kind(); k == kindCondition || k == kindBarrier {
			all = append(all, lost{unit, k, phaseOf(v), a.mem.faces[i].mark.Load()})
		}
	}
	return all
}

// makeUp does what is due to others for a wait that was lost: the notification of
// a condition goes to the next, and a party of a barrier will not come.
func (a *arena) makeUp(l lost) {
	switch {
	case l.kind == kindCondition && l.phase == passed:
		a.wake(l.unit, 0, 1, passed)
	case l.kind == kindBarrier && l.phase == waiting:
		barrierAt(a, l.unit).leftBy(a, l.unit, l.mark)
	}
}

// recoverObject puts right what process n has left in an object.
func (a *arena) recoverObject(unit uint32, k kind, n uint32) {
	if k == kindBarrier {
		barrierAt(a, unit).recoverFrom(a, unit, n)
	}
	a.cell(unit).guard.open(n)
}

// kick wakes whoever can go on in an object since process n is dead, or may have missed
// it.
func (a *arena) kick(unit uint32, k kind, n uint32) {
	switch k {
	case kindSemaphore, kindBoundedSemaphore:
		a.kickSemaphore(unit, n)
	case kindEvent:
		a.kickEvent(unit)
	case kindCell:
		for lane := range uint64(laneMask + 1) {
			a.wake(unit, lane, -1, retry)
		}
	}
}

// tellAll wakes everybody whose wait has been ended, in case the one who ended it
// died before it could.
func (a *arena) tellAll() {
	high := a.high()
	for i := uint32(firstSeat); i < high; i++ {
		if ph := phaseOf(a.mem.spots[i].state.Load()); ph != idle && ph != waiting {
			a.tell(i)
		}
	}
}

func isLock(k kind) bool { return k == kindLock || k == kindRLock }
