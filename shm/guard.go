package shm

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/futex"
	"github.com/tristrand/tristrand/strand"
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
	guardChecks = 10 // naps between two looks at whether the holder lives
	guardMoment = time.Second
)

// lock waits until this process has the guard. It waits for as long as the holder
// is stopped, should it have been stopped with the guard; see lockUnder.
func (g *guard) lock(a *arena) {
	if !g.tryLock(a) {
		_ = g.lockSlow(context.Background(), a) // never ends
	}
}

// lockUnder is lock that gives up when ctx has ended.
func (g *guard) lockUnder(ctx context.Context, a *arena) error {
	if g.tryLock(a) {
		return nil
	}
	return g.lockSlow(ctx, a)
}

// lockAnyway is lock for what has to be done although ctx may have ended, or is not
// waited for: it gives up when ctx has ended and another moment has passed. The error
// says that a process has been stopped.
func (g *guard) lockAnyway(ctx context.Context, a *arena) error {
	if g.lockUnder(ctx, a) == nil {
		return nil
	}
	moment, cancel := context.WithTimeout(context.Background(), guardMoment)
	defer cancel()
	if g.lockUnder(moment, a) == nil {
		return nil
	}
	pid := 0
	if p := g.word.Load()&^guardWanted - 1; p < maxProcs {
		pid = procPID(a.mem.procs[p].word.Load())
	}
	return fmt.Errorf("%w: process %d is in the middle of an operation, and seems to have been stopped", tristrand.ErrBusy, pid)
}

// over returns a ctx that has ended, for what is not waited for.
var over = sync.OnceValue(func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
})

// lockHeld locks g for an operation that also has mu, which keeps Close away; hold
// locks mu, or says that the object is closed. Nobody waits for g with mu, which
// others wait for without regard for their ctx.
func (g *guard) lockHeld(ctx context.Context, a *arena, unit uint32, mu *sync.Mutex, hold func() error, lock func(*guard, context.Context, *arena) error) error {
	if g.tryLock(a) {
		return nil
	}
	a.hold(unit)
	defer a.drop(unit)
	mu.Unlock()
	if err := lock(g, ctx, a); err != nil {
		return err
	}
	if err := hold(); err != nil {
		g.unlock(a)
		return err
	}
	return nil
}

// tryLock takes the guard if nobody has it.
func (g *guard) tryLock(a *arena) bool {
	if !g.word.CompareAndSwap(0, a.self+1) {
		return false
	}
	a.shadow.acquire(0)
	return true
}

// lockShortly is lock that gives up after a while, for who only looks.
func (g *guard) lockShortly(a *arena) bool {
	if g.tryLock(a) {
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), 4*guardNap)
	defer cancel()
	return g.lockSlow(ctx, a) == nil
}

func (g *guard) lockSlow(ctx context.Context, a *arena) error {
	me := a.self + 1
	for i := 0; ; i++ {
		w := g.word.Load()
		switch {
		case w == 0:
			mine := me
			if i > guardSpins {
				mine |= guardWanted // others may sleep as well
			}
			if g.word.CompareAndSwap(0, mine) {
				a.shadow.acquire(0)
				return nil
			}
		case i < guardSpins:
			if i%10 == 9 {
				runtime.Gosched()
			}
		case ctx.Err() != nil:
			return strand.Err(ctx)
		case w&guardWanted != 0 || g.word.CompareAndSwap(w, w|guardWanted):
			// Not left to the watcher: it may be what waits here.
			if i%guardChecks == 0 {
				a.relieve(w&^guardWanted - 1)
			}
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
