package shm

import (
	"context"
	"os"
)

// DieInPut stops in the middle of a Put, with the queue's guard held, the item
// written and the state half written.
func (q *Queue[T]) DieInPut(item []byte, held func()) error {
	if err := q.lock(context.Background()); err != nil {
		return err
	}
	st := q.items()
	s, err := st.now()
	if err != nil {
		return err
	}
	if s, err = st.put(s, item); err != nil {
		return err
	}
	s.tail, s.items = 1<<50, 1<<50 // as if half of it were written
	st.prepare(s)
	held()
	select {}
}

// DieInTake stops in the middle of a Get, just before the item is gone.
func (q *Queue[T]) DieInTake(held func()) error {
	if err := q.lock(context.Background()); err != nil {
		return err
	}
	st := q.items()
	s, err := st.now()
	if err != nil {
		return err
	}
	if s, _, err = st.take(s, nil); err != nil {
		return err
	}
	st.prepare(s)
	held()
	select {}
}

// DieInStore stops in the middle of a Store, with half of the bytes written.
func (r *Value[T]) DieInStore(held func()) error {
	if err := r.lock(context.Background()); err != nil {
		return err
	}
	next := r.side(r.cell.version.Load() + 1)
	for i := range next[:len(next)/2] {
		next[i] = 0xff
	}
	held()
	select {}
}

// NewSmallQueue is NewQueue with another bound than 1 GiB.
func NewSmallQueue[T any](ring int) (*Queue[T], error) {
	l, err := newLine("", 0, ring)
	if err != nil {
		return nil, err
	}
	return &Queue[T]{l}, nil
}

// Hold holds the guard of a queue until over returns.
func (q *Queue[T]) Hold(over func()) {
	g, a := &q.cell.guard, q.obj.a
	g.lock(a)
	over()
	g.unlock(a)
}

// Hold holds the guard of a value until over returns.
func (r *Value[T]) Hold(over func()) {
	g, a := &r.cell.guard, r.obj.a
	g.lock(a)
	over()
	g.unlock(a)
}

// Replace looks for the dead while a process that has died is replaced by this one
// in the arena's table, and reports whether this one was taken for dead.
func (l *Lock) Replace(deadPID int, meanwhile func()) bool {
	p := &l.a.mem.procs[maxProcs-1]
	dead := procWord(procLive, 0, p.word.Load(), deadPID)
	p.word.Store(dead)
	l.a.mem.head.joins.Add(1)
	over := make(chan struct{})
	go func() {
		defer close(over)
		l.a.watch()
	}()
	meanwhile()
	here := procWord(procLive, 0, dead, os.Getpid())
	replaced := p.word.CompareAndSwap(dead, here)
	<-over
	taken := replaced && p.word.Load() != here
	p.word.Store(procWord(procFree, 0, here, 0))
	l.a.unwatch(maxProcs - 1)
	return taken
}
