package tristrand

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/tristrand/tristrand/strand"
)

// A FutureState says how far a job has come.
type FutureState uint32

// The states. A job that is to be tried again is pending.
const (
	Pending FutureState = iota
	Running
	settling // claimed: the outcome is being written
	Succeeded
	Failed
	Cancelled // it was cancelled, or its ctx ended, when it was not running
)

var futureStates = [...]string{"pending", "running", "running", "succeeded", "failed", "cancelled"}

func (s FutureState) String() string {
	if int(s) < len(futureStates) {
		return futureStates[s]
	}
	return fmt.Sprintf("state %d", uint32(s))
}

// The state word of a job: the number of the try, so that what comes late from
// one cannot settle the next; whether somebody waits; and the phase. The word of
// a new job is zero.
const (
	phaseMask  = 7
	firstBit   = 8  // first is set: somebody waits
	claimBit   = 16 // somebody is about to set it
	watchedBit = 32 // more says who else waits
	waitBits   = firstBit | claimBit | watchedBit
	tryShift   = 6 // the number is kept less 1
)

func word(try uint32, phase FutureState) uint32 { return (try-1)<<tryShift | uint32(phase) }
func phaseOf(w uint32) FutureState              { return FutureState(w & phaseMask) }
func tryOf(w uint32) uint32                     { return w>>tryShift + 1 }

// An outcome is what a Future is without its value: all that has no type. It is
// kept small, as there is one for each job; what few jobs need is in more.
type outcome struct {
	state  atomic.Uint32
	marks  atomic.Uint32
	runner strand.ID // the strand of the first try; written before Running
	job    running
	ex     Executor
	err    error       // written before the end
	first  strand.Wait // the first who waits, usually the only one; see firstBit

	mu   sync.Mutex // guards more
	more *rest
}

// The marks of a job.
const (
	unwanted  = 1 << iota // it was asked to stop
	delayed               // it is pending until a timer fires
	elsewhere             // it was sent away, and its engine is asked how to wait for it
	unstarted             // it failed without having been started
	partial               // it failed, and its value is what is known all the same
	gauged                // more says who wants to know how long it takes
)

// A rest is what few jobs need.
type rest struct {
	id        uint64
	waits     []strand.Wait
	calls     []callback // by OnDone
	done      chan struct{}
	told      bool        // done is closed
	unwatch   func() bool // of the watch on the job's ctx
	interrupt func(cause error)
	withdraw  func() bool     // of a pending job that has been sent ahead
	offers    uint32          // how often it was
	now       *strand.Context // of a try after the first
	runner    strand.ID       // likewise
	failed    []error         // of the tries so far; whoever has claimed the job
	gauge     *gauge
}

// running is what an outcome wants of its job.
type running interface {
	Job
	cancelPending(cause error) bool
}

// rest returns what few jobs need. The caller holds mu.
func (o *outcome) rest() *rest {
	if o.more == nil {
		o.more = new(rest)
	}
	return o.more
}

// move takes a try from one phase to another and reports whether it was there.
func (o *outcome) move(try uint32, from, to FutureState) bool {
	for {
		w := o.state.Load()
		if tryOf(w) != try || phaseOf(w) != from {
			return false
		}
		if o.state.CompareAndSwap(w, w&^phaseMask|uint32(to)) {
			return true
		}
	}
}

func (o *outcome) claim(try uint32, from FutureState) bool { return o.move(try, from, settling) }

// again makes a claimed job pending for another try.
func (o *outcome) again() {
	o.marks.Or(delayed)
	for {
		w := o.state.Load()
		if o.state.CompareAndSwap(w, word(tryOf(w)+1, Pending)|w&waitBits) {
			return
		}
	}
}

func (o *outcome) phase() FutureState { return phaseOf(o.state.Load()) }
func (o *outcome) isDone() bool       { return o.phase() > settling }

// String names the future as something to wait for.
func (o *outcome) String() string { return "the result of " + o.job.ID() }

// Releasers returns the strand that runs the job or, while it is queued, those
// that could start it.
func (o *outcome) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) {
	switch w := o.state.Load(); phaseOf(w) {
	case Running:
		if id := o.runnerOf(tryOf(w)); id != 0 {
			return append(buf, strand.Releaser{Ref: strand.Ref{Strand: id}}), true
		}
	case Pending:
		if r, ok := o.ex.(strand.Resource); ok && o.marks.Load()&delayed == 0 {
			return r.Releasers(buf)
		}
	}
	return buf, false
}

// runnerOf returns the strand that runs a try, 0 if it runs elsewhere.
func (o *outcome) runnerOf(try uint32) strand.ID {
	if try == 1 {
		return o.runner
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.more == nil {
		return 0
	}
	return o.more.runner
}
