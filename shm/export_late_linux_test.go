package shm

import "time"

// JoinAgain has this process join the arena of l once more, while all places are taken by
// processes whose recovery is over after a while.
func (l *Lock) JoinAgain(while time.Duration) error {
	mem, self := l.a.mem, l.a.self
	var going []*proc
	for i := range mem.procs {
		p := &mem.procs[i]
		if w := p.word.Load(); procState(w) == procFree && p.word.CompareAndSwap(w, procWord(procRecovering, self, w, 1)) {
			going = append(going, p)
		}
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		time.Sleep(while)
		for _, p := range going {
			p.word.Store(procWord(procFree, 0, p.word.Load(), 0))
		}
	}()
	again := *new(arena)
	again.mem, again.seats, again.refs = mem, new([maxSeats]seat), l.a.refs
	again.shadow.init()
	again.watcher.off = true
	err := again.join()
	if err == nil {
		again.recoverProc(again.self, mem.procs[again.self].word.Load())
	}
	<-over
	return err
}

// PutHeld puts an item in, and keeps the guard, as another process would, until over
// returns: the first who waits has been told of the item by then.
func (q *Queue[T]) PutHeld(item []byte, over func()) error {
	g, a, st := &q.cell.guard, q.obj.a, q.items()
	g.lock(a)
	defer g.unlock(a)
	s, err := st.now()
	if err == nil {
		s, err = st.put(s, item)
	}
	if err != nil {
		return err
	}
	st.commit(s)
	a.wake(q.obj.unit, getters, 1, retry)
	over()
	return nil
}

// GiveBack has what a dead process held of the semaphore given back while this one has
// the guard, and reports whether that waited.
func (m *Semaphore) GiveBack() bool {
	a, c := m.a, semaphoreAt(m.a, m.unit)
	p, held := &a.mem.procs[maxProcs-1], &c.held[maxProcs-1]
	w := procWord(procLive, 0, p.word.Load(), 1)
	p.word.Store(w)
	c.guard.lock(a)
	held.Store(1)
	c.high.Store(maxProcs)
	over := make(chan struct{})
	go func() {
		defer close(over)
		a.recoverProc(maxProcs-1, w)
	}()
	<-over // it has not the patience to wait for the guard
	waited := held.Load() == 1
	c.guard.unlock(a)
	for p.word.Load() != procWord(procFree, 0, w, 0) {
		time.Sleep(time.Millisecond)
	}
	return waited && held.Load() == 0
}

// DieFirst calls die at the beginning of the last party's arrival.
func (b *Barrier) DieFirst(die func()) {
	c := barrierAt(b.a, b.unit)
	c.guard.lock(b.a)
	c.passing.Store(c.round.Load())
	die()
}

// DieBreaking calls die when the barrier has been broken and nobody was told.
func (b *Barrier) DieBreaking(die func()) {
	c := barrierAt(b.a, b.unit)
	c.guard.lock(b.a)
	c.broken.Store(true)
	c.spoilt.Store(true)
	c.round.Add(1)
	c.arrived.Store(0)
	die()
}

// Objects returns how many objects are in the arena of l.
func (l *Lock) Objects() (n int) {
	for range l.a.objects() {
		n++
	}
	return n
}
