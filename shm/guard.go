package shm

import (
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/tristrand/tristrand/internal/futex"
)

// A guard is a mutex for a few instructions in shared memory. Its word names the
// process that holds it, so that what a killed process has left is put right and
// opened by whoever finds it dead (see recovery.go). It has no queue: nobody
// holds it for long.
type guard struct{ word atomic.Uint32 }

const (
	guardWanted = 1 << 31
	guardNap    = 5 * time.Millisecond // a wake that was lost costs no more
	guardSpins  = 100
)

// lock waits until this process has the guard.
func (g *guard) lock(a *arena) {
	me := a.self + 1
	if !g.word.CompareAndSwap(0, me) {
		g.lockSlow(a, me)
	}
	a.shadow.acquire(0)
}

func (g *guard) lockSlow(a *arena, me uint32) {
	for i := 0; ; i++ {
		w := g.word.Load()
		switch {
		case w == 0:
			mine := me
			if i > guardSpins {
				mine |= guardWanted // others may sleep as well
			}
			if g.word.CompareAndSwap(0, mine) {
				return
			}
		case i < guardSpins:
			if i%10 == 9 {
				runtime.Gosched()
			}
		case w&guardWanted != 0 || g.word.CompareAndSwap(w, w|guardWanted):
			a.watch()
			futex.Wait(word32(&g.word), w|guardWanted, guardNap)
		}
	}
}

// unlock opens the guard, which this process holds.
func (g *guard) unlock(a *arena) {
	a.shadow.release(0)
	if g.word.Swap(0)&guardWanted != 0 {
		futex.Wake(word32(&g.word), 1)
	}
}

// heldBy reports whether a process holds the guard.
func (g *guard) heldBy(p uint32) bool { return g.word.Load()&^guardWanted == p+1 }

// open opens the guard of a process that is dead.
func (g *guard) open(p uint32) {
	for {
		w := g.word.Load()
		if w&^guardWanted != p+1 {
			return
		}
		if g.word.CompareAndSwap(w, 0) {
			futex.Wake(word32(&g.word), 1<<30)
			return
		}
	}
}

// word32 is for the futex calls, which are atomic by themselves.
func word32(w *atomic.Uint32) *uint32 { return (*uint32)(unsafe.Pointer(w)) }
