package coro

import (
	"iter"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/tristrand/tristrand/internal/gtoken"
)

// A fiber is a stack that code can be switched to: a coroutine of package iter,
// which knows only "resume" and "yield", made symmetric. The fibers of a trunk
// that have resumed one another form a chain from the trunk's base to the one
// that runs. Switching to a fiber that is not on the chain resumes it; to one
// that is on it, the fibers above yield, one after another. As every yield undoes
// a resume, a switch costs at most two of the runtime's switches on average, and
// one between two fibers that switch to and fro.
type fiber struct {
	trunk *trunk
	next  func() (struct{}, bool)
	stop  func()
	yield func(struct{}) bool
	token atomic.Uintptr // of its goroutine; 0 before and after
	below *fiber         // who has resumed it; nil when it is not on the chain

	body  body    // what to run next
	then  *fiber  // where to go when body has returned, which says it
	again body    // or what to run then, here
	fam   *family // whose greenlets run here; nil before the first

	over bool // it ends: it was idle and has been told to, or there are enough
}

// A body is what a fiber runs. It recovers panics.
type body interface{ run() }

type bodyFunc func()

func (b bodyFunc) run() { b() }

// A trunk is a set of fibers of which one runs at a time.
type trunk struct {
	cur   *fiber // the one that runs, or that the switch under way goes to
	ended *fiber // ended by Goexit, to be stopped by whoever sees it
	idle  []*fiber
	base  fiber          // the goroutine that the trunk stands on
	gone  sync.WaitGroup // fibers that end on goroutines of their own
	most  int            // idle fibers that are kept
	enrol bool           // fibers are to be found by their token
}

// init makes the calling goroutine the base.
func (t *trunk) init(idle int) {
	t.base.trunk = t
	t.base.below = &t.base
	t.base.token.Store(gtoken.Get())
	t.cur = &t.base
	t.most = idle
}

// here returns the fiber that the caller runs on, nil if it is none of the
// trunk's. It may be called by any goroutine: what another one reads in cur is
// some fiber that ran, none of which has the token of a goroutine that is not
// its own.
//
//go:norace
func (t *trunk) here() *fiber {
	if f := t.cur; f != nil && f.token.Load() == gtoken.Get() {
		return f
	}
	return nil
}

// running returns the fiber that runs, as here does without asking whose it is.
//
//go:norace
func (t *trunk) running() *fiber { return t.cur }

// new returns a fiber that will run body when it is switched to first. A stack
// that has become idle is used again.
func (t *trunk) new(b body) *fiber {
	var f *fiber
	if last := len(t.idle) - 1; last >= 0 {
		f = t.idle[last]
		t.idle[last] = nil
		t.idle = t.idle[:last]
	} else {
		f = &fiber{trunk: t}
		f.token.Store(0) // here may look at it from outside before it has begun
	}
	f.body = b
	return f
}

// start makes the stack of a fiber. The caller is not locked to its thread, so
// that the fiber may be resumed on any. The function literal is what the fiber's
// goroutine does: one body after another, with as little stack as can be, as what
// a coroutine needs beside it shall fit into the least that a goroutine has.
func (f *fiber) start() {
	f.next, f.stop = iter.Pull(func(yield func(struct{}) bool) {
		f.begin(yield)
		defer f.end() // by return or by Goexit
		for !f.over {
			f.trunk.cur = f
			f.body.run()
			f.rest()
		}
	})
}

func (f *fiber) begin(yield func(struct{}) bool) {
	f.yield = yield
	f.token.Store(gtoken.Get())
	if f.trunk.enrol {
		enrol(f)
	}
}

// rest waits for another body, if there is not one already.
func (f *fiber) rest() {
	t := f.trunk
	f.body, f.again, f.fam = f.again, nil, nil
	switch {
	case f.body != nil:
	case len(t.idle) >= t.most:
		f.below, t.cur, f.over = nil, f.then, true // whoever resumed it sees to the rest
	default:
		t.idle = append(t.idle, f)
		t.switchTo(f.then)
	}
}

func (f *fiber) end() {
	if f.trunk.enrol {
		strike(f)
	}
	f.token.Store(0)
	if !f.over {
		f.leave()
	}
}

// switchTo goes on with another fiber and returns when somebody has switched to
// the calling one. The caller must not be locked to its thread.
func (t *trunk) switchTo(to *fiber) {
	from := t.cur
	t.cur = to
	for to != from {
		if to.below == nil {
			if to.next == nil {
				to.start()
			}
			to.below = from
			to.next()
			if t.ended != nil {
				t.reap()
			}
		} else {
			from.below = nil
			if !from.yield(struct{}{}) {
				from.over = true
				return
			}
		}
		to = t.cur
	}
}

// leave ends a fiber whose body has called Goexit, which would otherwise go on
// in the fiber below: it yields for good, and is stopped by a goroutine that
// then ends in its place.
func (f *fiber) leave() {
	t := f.trunk
	t.ended, t.cur = f, f.then
	f.below = nil
	f.yield(struct{}{})
}

// reap stops the fiber that has just ended by Goexit.
func (t *trunk) reap() {
	f := t.ended
	t.ended = nil
	t.gone.Go(f.stop)
}

// close ends the idle fibers and waits for those that end by Goexit. It is
// called on the base, when no body is left.
func (t *trunk) close() {
	for _, f := range t.idle {
		if f.stop != nil {
			f.stop()
		}
	}
	t.idle = nil
	t.cur = nil
	t.base.token.Store(0)
	t.gone.Wait()
}

// unlock undoes what a body that has returned left of LockOSThread, and reports
// whether there was anything: the stack is used again.
func unlock() bool {
	locked := gtoken.Locked()
	for n := 0; n < 1<<16 && gtoken.Locked(); n++ {
		runtime.UnlockOSThread()
	}
	return locked
}

// roll has the fibers of trunks that are no hub's by their token. A hub knows
// which of its own fibers runs.
var roll sync.Map

func enrol(f *fiber)  { roll.Store(f.token.Load(), f) }
func strike(f *fiber) { roll.Delete(f.token.Load()) }

// here returns the fiber that the caller runs on, nil if it runs on none.
func here() *fiber {
	// A hub's goroutines first: the roll may have a goroutine that has ended, and
	// whose token one of them has now.
	if all := hubs.all.Load(); all != nil {
		for _, h := range *all {
			if f := h.trunk.here(); f != nil {
				return f
			}
		}
	}
	if f, ok := roll.Load(gtoken.Get()); ok {
		return f.(*fiber) //nolint:forcetypeassert // nothing else is in
	}
	return nil
}
