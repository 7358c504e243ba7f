package shm

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/tristrand/tristrand/internal/pidfd"
)

// The word of a process: its state, the process that recovers it, a generation
// against reuse, and its pid.
const (
	procFree       = iota
	procLive       // or dead, and nobody has found out
	procRecovering // dead; what it held is being given back

	byShift  = 8
	genShift = 16
	pidShift = 32
)

func procState(w uint64) int { return int(w & 0xff) }
func procBy(w uint64) uint32 { return uint32(w >> byShift & 0xff) }
func procPID(w uint64) int   { return int(int32(w >> pidShift)) }
func procWord(state int, by uint32, old uint64, pid int) uint64 {
	gen := old >> genShift & 0xffff
	if state == procLive {
		gen = (gen + 1) & 0xffff
	}
	return uint64(state) | uint64(by)<<byShift | gen<<genShift | uint64(uint32(pid))<<pidShift
}

// join enters this process in the table.
func (a *arena) join() error {
	pid, id := pidfd.Self()
	for began := time.Now(); ; time.Sleep(joinNap) {
		for i := range a.mem.procs {
			p := &a.mem.procs[i]
			w := p.word.Load()
			if procState(w) != procFree || !p.word.CompareAndSwap(w, procWord(procLive, 0, w, pid)) {
				continue
			}
			p.id.Store(id)
			a.self = uint32(i)
			guest, ok := a.sit(0, "a goroutine that is no strand")
			if !ok {
				a.recoverProc(a.self, p.word.Load())
				return fmt.Errorf("shm: %d strands use the objects of one process; let some end", maxSeats)
			}
			a.guest = guest
			p.guest.Store(guest)
			a.mem.head.joins.Add(1)
			a.tellJoined()
			return nil
		}
		a.reap()
		if !a.vacating() || time.Since(began) > joinPatience {
			return fmt.Errorf("shm: %d processes use the objects of one process already; let some of them end", maxProcs)
		}
	}
}

const (
	joinNap      = time.Millisecond
	joinPatience = 2 * time.Second // a stopped process may hold up the recovery of another
)

// vacating reports whether there is a place that is free, or will be soon.
func (a *arena) vacating() bool {
	for i := range a.mem.procs {
		if procState(a.mem.procs[i].word.Load()) != procLive {
			return true
		}
	}
	return false
}

// tellJoined has those who wait watch this process too: it may take what they wait
// for, or become one of those whom they wait for, and die.
func (a *arena) tellJoined() {
	high := a.high()
	for i := uint32(firstSeat); i < high; i++ {
		sp := &a.mem.spots[i]
		switch {
		case phaseOf(sp.state.Load()) != waiting:
		case sp.what.Load()&direct != 0:
			a.nudge(i)
		default:
			a.ring(sp.owner.Load())
		}
	}
}

// reap recovers whoever has died unseen.
func (a *arena) reap() {
	for i := range uint32(maxProcs) {
		a.relieve(i)
	}
}

// relieve recovers process n if it is dead, also in place of one that has died
// over it.
func (a *arena) relieve(n uint32) {
	if n >= maxProcs {
		return
	}
	w := a.mem.procs[n].word.Load()
	switch by := procBy(w) % maxProcs; {
	case procState(w) == procLive && !a.alive(n, w):
		a.recoverProc(n, w)
	case procState(w) != procRecovering || by == a.self:
	case by == n: // it was leaving
		if !a.alive(n, w) {
			a.takeOver(n, w)
		}
	default:
		if v := a.mem.procs[by].word.Load(); procState(v) != procLive || !a.alive(by, v) {
			a.takeOver(n, w)
		}
	}
}

// alive reports whether the process with the word w is there.
func (a *arena) alive(n uint32, w uint64) bool {
	return pidfd.Alive(procPID(w), a.mem.procs[n].id.Load())
}

// watcher watches the other processes of an arena for as long as somebody here
// has waited for something there.
type watcher struct {
	seen atomic.Uint32 // of header.joins, when all that had joined were watched
	off  bool

	mu    sync.Mutex // guards the rest
	stops map[uint32]watch
}

type watch struct {
	word uint64
	stop func()
}

// watch sees to it that the death of any process of the arena is noticed here, and
// reports whether it will be: it is not if, say, no descriptor is free. It costs a load
// when nobody has joined since the last time.
func (a *arena) watch() bool {
	return a.watcher.seen.Load() == a.mem.head.joins.Load() || a.watchAll()
}

func (a *arena) watchAll() (complete bool) {
	w := &a.watcher
	dead := map[uint32]uint64{} // the words by which they were alive: their places may be others' by now
	w.mu.Lock()
	joins := a.mem.head.joins.Load()
	complete = true
	for i := range a.mem.procs {
		n := uint32(i)
		p := &a.mem.procs[i]
		word := p.word.Load()
		if old, ok := w.stops[n]; ok && old.word != word {
			old.stop()
			delete(w.stops, n)
		}
		if _, ok := w.stops[n]; ok || w.off || n == a.self || procState(word) == procFree {
			continue
		}
		self := weak.Make(a)
		stop, err := pidfd.Watch(procPID(word), p.id.Load(), func() {
			if a := self.Value(); a != nil {
				a.recoverProc(n, word)
				a.relieve(n)
			}
		})
		switch {
		case err == nil:
			w.stops[n] = watch{word, stop}
		case errors.Is(err, pidfd.ErrGone):
			dead[n] = word
		default:
			complete = false // no descriptor was free, say; the next wait tries again
		}
	}
	if complete {
		w.seen.Store(joins)
	}
	w.mu.Unlock()
	for n, word := range dead {
		a.recoverProc(n, word)
	}
	return complete
}

// unwatch forgets the watch on a process that has left.
func (a *arena) unwatch(n uint32) {
	a.watcher.mu.Lock()
	defer a.watcher.mu.Unlock()
	if w, ok := a.watcher.stops[n]; ok && a.mem.procs[n].word.Load() != w.word {
		w.stop()
		delete(a.watcher.stops, n)
	}
}
