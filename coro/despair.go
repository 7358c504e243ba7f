package coro

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"runtime"
	"slices"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// A hub in which everything waits, and which nothing that is known can end, looks
// whether anything else in the process could, after this long, and then at longer
// and longer intervals.
const (
	hopeAfter = time.Second
	hopeMost  = time.Minute
	patience  = 3 // how often everything may wait for ever until it is ended
)

// hopeless reports whether nothing that the hub knows of could make a coroutine
// ready: no timer, no conn, no function given to Await.
func (h *Hub) hopeless() bool {
	return h.live > 0 && h.ready.n == 0 && len(h.timers.heap) == 0 && h.waits.Load() == 0 &&
		(h.net == nil || h.net.users.Load() == 0) && !h.serving && h.outer == nil && !h.hopeful && h.DeadlockAfter >= 0
}

// despair makes the waits of all coroutines fail, if it is certain that they last
// for ever.
func (h *Hub) despair() {
	if !h.hopeless() || h.posted.Load() {
		return
	}
	if _, bounded := h.ctx.Deadline(); bounded || h.foreign() {
		h.hope = min(2*h.hope, hopeMost)
		h.hopeful = h.bubble // in which looking again would take no time
		return
	}
	h.stuck++
	waiting := h.waiting()
	if h.stuck <= patience {
		err := h.deadlock(waiting)
		h.verdict = err
		for _, st := range waiting {
			st.s.Refuse(err)
		}
		return
	}
	for _, st := range waiting { // it has been told, and waits again
		if st.state == parked {
			st.doom, st.state = true, ready
			h.ready.push(entry{s: st})
		}
	}
}

// waiting returns the coroutines that wait, in the order of their strands.
func (h *Hub) waiting() []*seat {
	var all []*seat
	for st := h.seats.next; st != &h.seats; st = st.next {
		if st.state == parked {
			all = append(all, st)
		}
	}
	slices.SortFunc(all, func(a, b *seat) int { return cmp.Compare(a.s.ID(), b.s.ID()) })
	return all
}

// deadlock lists who waits for what.
func (h *Hub) deadlock(waiting []*seat) *tristrand.DeadlockError {
	err := &tristrand.DeadlockError{}
	for _, st := range waiting {
		link := strand.Link{Waiter: st.s.Name(), On: "nothing"}
		if on := st.s.Waiting(); on != nil {
			link.On = on.String()
			if rs, closed := on.Releasers(nil); closed && len(rs) > 0 {
				if holder := strand.Find(rs[0].Ref.Strand); holder != nil {
					link.Holder, link.TakenAt = holder.Name(), strand.Place(rs[0].Where)
				}
			}
		}
		err.Cycle = append(err.Cycle, link)
	}
	return err
}

func isDeadlock(err error) bool {
	var d *tristrand.DeadlockError
	return errors.As(err, &d)
}

func joinFirst(first, then error) error {
	if then == nil || errors.Is(then, ErrKilled) {
		return first
	}
	return errors.Join(first, then)
}

// foreign reports whether anything that is not the hub's own might some day end one of the
// waits: another strand or goroutine that runs, sleeps, or waits for something
// that the library does not know. A goroutine that waits in the library, with no
// deadline, can do nothing before another has done something. A timer that the
// library did not make (time.AfterFunc) is not seen; that is what the time before
// the first look is for.
func (h *Hub) foreign() bool {
	for s := range strand.All() {
		on := s.Waiting()
		if st, ok := s.Turn().(*seat); ok && st.h == h || s == h.own {
			if on != nil && s.Bounded() {
				return true // by a context of package context: the hub has no timer of it
			}
			continue
		}
		if on == nil && (s.Kind() == strand.Coroutine || s.Scheduler() != nil) {
			return true // ready to run, somewhere
		}
		if on != nil && (s.Bounded() || on.String() == "sleep") {
			return true
		}
	}
	if all := hubs.all.Load(); len(*all) > 1 {
		return true // what it waits for is not known here
	}
	return foreignGoroutine()
}

// mostStacks is how much of the stacks of all goroutines is looked at.
const mostStacks = 8 << 20

// foreignGoroutine reports whether there is a goroutine that might do something of
// its own accord.
func foreignGoroutine() bool {
	buf := make([]byte, 64<<10)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		if len(buf) >= mostStacks {
			return true
		}
		buf = make([]byte, 4*len(buf))
	}
	for i, stack := range bytes.Split(buf, []byte("\n\n")) {
		if i > 0 && !harmless(stack) { // the first is the caller
			return true
		}
	}
	return false
}

// idlers are functions in which a goroutine waits for others, or for what does
// not concern the program's own objects.
var idlers = [][]byte{
	[]byte("tristrand/coro.(*fiber).start.func1("), // a coroutine: its hub knows
	[]byte("tristrand/strand.Wait.parkFree("),      // waits in the library
	[]byte("tristrand/strand.Wait.parkOwn("),
	[]byte("testing.(*T).Run("), // for the test that runs
	[]byte("testing.runTests("),
	[]byte("testing.(*testState).waitParallel("),
	[]byte("os/signal.NotifyContext.func"), // ends contexts, of which the hub hears
	[]byte("os/signal.loop("),
	[]byte("os/signal.signal_recv("),
	[]byte("context.(*cancelCtx).propagateCancel.func"),
	[]byte("internal/synctest.Run("),
	[]byte("runtime/pprof.profileWriter("),
}

func harmless(stack []byte) bool {
	for _, f := range idlers {
		if bytes.Contains(stack, f) {
			return true
		}
	}
	return false
}

// failed keeps an error that nobody has asked for until the hub's end, when it is
// reported unless somebody has asked since. Beyond a number it is reported at
// once.
func (h *Hub) failed(ctx context.Context, c *Coroutine) {
	if h.verdict != nil && errors.Is(c.err, h.verdict) {
		return // it is what Run returns
	}
	if len(h.untold) < mostUntold {
		h.untold = append(h.untold, c)
		return
	}
	report(ctx, c)
}

const mostUntold = 256

func (h *Hub) tellFailed() {
	for _, c := range h.untold {
		report(&h.ctx, c)
	}
	h.untold = nil
}
