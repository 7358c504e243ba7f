package shm

// Die calls die while this process holds the guard of a semaphore that it has
// just been acquiring, for tests of what is left then.
func (m *Semaphore) Die(die func()) {
	c := semaphoreAt(m.a, m.unit)
	c.guard.lock(m.a)
	c.hold(m.a)
	die()
}

// Die calls die in the middle of the last party's arrival: parties that were told
// have passed, the others have not been told.
func (b *Barrier) Die(die func()) {
	c := barrierAt(b.a, b.unit)
	c.guard.lock(b.a)
	c.passing.Store(c.round.Load())
	c.arrived.Store(0)
	c.round.Add(1)
	die()
}

// Die calls die after the word of an event was set and before anyone was told.
func (e *Event) Die(die func()) {
	eventAt(e.a, e.unit).word.Store(1<<eventShift | eventSet)
	die()
}

// Die calls die when the lock, which this process holds, has been promised to the
// first waiter, who was not told.
func (l *Lock) Die(die func()) {
	m, err := l.mutex("lock")
	if err != nil {
		panic(err)
	}
	f, _ := m.a.first(m.unit, 0)
	m.cell.word.Store(transitWord(f.i, f.number))
	die()
}

// Die calls die with the first waiter granted and not woken.
func (l *RLock) Die(die func()) {
	m, err := l.mutex("lock")
	if err != nil {
		panic(err)
	}
	f, _ := m.a.first(m.unit, 0)
	m.cell.word.Store(transitWord(f.i, f.number))
	m.a.mem.spots[f.i].state.Store(f.number<<numberShift | uint32(passed))
	die()
}

// DieMaking calls die while this process looks for room in the arena of l.
func (l *Lock) DieMaking(die func()) {
	l.a.mem.head.alloc.lock(l.a)
	die()
}

// Hold holds the guard of a semaphore until over returns.
func (m *Semaphore) Hold(over func()) {
	c := semaphoreAt(m.a, m.unit)
	c.guard.lock(m.a)
	over()
	c.unlock(m.a, m.unit)
}

// Hold holds the guard of a barrier until over returns.
func (b *Barrier) Hold(over func()) {
	c := barrierAt(b.a, b.unit)
	c.guard.lock(b.a)
	over()
	c.unlock(b.a, b.unit)
}

// Arenas returns how many arenas this process has mapped.
func Arenas() int { return len(mapped()) }

// MakeHere has this process make its objects where l is.
func (l *Lock) MakeHere() {
	arenas.mu.Lock()
	defer arenas.mu.Unlock()
	arenas.making = l.a
}

// Seats returns how many seats are looked at for waiters.
func (l *Lock) Seats() int { return int(l.a.high()) }
