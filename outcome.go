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

// The state word of a job: the number of the try, from 1, so that what comes
// late from one cannot settle the next; whether somebody waits; and the phase.
const (
	phaseMask  = 7
	watchedBit = 8
	tryShift   = 4
)

func word(try uint32, phase FutureState) uint32 { return try<<tryShift | uint32(phase) }
func phaseOf(w uint32) FutureState              { return FutureState(w & phaseMask) }
func tryOf(w uint32) uint32                     { return w >> tryShift }

// An outcome is what a Future is without its value: all that has no type. It is
// kept small, as there is one for each job; what few jobs need is in more.
type outcome struct {
	state  atomic.Uint32
	marks  atomic.Uint32
	runner atomic.Uint64 // the id of the strand that runs it
	job    running
	ex     Executor
	err    error

	mu    sync.Mutex  // guards the rest
	first strand.Wait // the first who waits, usually the only one
	more  *rest
}

// The marks of a job.
const (
	unwanted = 1 << iota // it was asked to stop
	delayed              // it is pending until a timer fires
)

// A rest is what few jobs need.
type rest struct {
	id        uint64
	waits     []strand.Wait
	calls     []func() // by OnDone
	done      chan struct{}
	unwatch   func() bool // of the watch on the job's ctx
	interrupt func(cause error)
	now       *strand.Context // of a try after the first
	failed    []error         // of the tries so far; whoever has claimed the job
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
		if o.state.CompareAndSwap(w, word(tryOf(w)+1, Pending)|w&watchedBit) {
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
	switch o.phase() {
	case Running:
		if id := strand.ID(o.runner.Load()); id != 0 {
			return append(buf, strand.Releaser{Ref: strand.Ref{Strand: id}}), true
		}
	case Pending:
		if r, ok := o.ex.(strand.Resource); ok && o.marks.Load()&delayed == 0 {
			return r.Releasers(buf)
		}
	}
	return buf, false
}
