package process

import (
	"fmt"
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/gtoken"
	"github.com/tristrand/tristrand/strand"
)

// Results are taken from a worker's ring by one goroutine at a time: its reader, or the
// one that waits for the result and fetches it, which saves two switches of goroutines
// and, on two processors, more than that. While results are fetched the reader rests.
type reading struct {
	turn    atomic.Int32  // who takes results
	lingers atomic.Bool   // the reader wakes the worker, soon
	wanted  atomic.Bool   // somebody would fetch: the reader rests when nothing is outstanding
	resume  chan struct{} // ends its rest
	late    *time.Timer   // sees to it that what nobody fetches is read; under the pool's mu
	spare   *fetching     // to be used again; likewise
}

// A fetching is one wait of a goroutine that takes the result that it waits for. Its
// fields are for that goroutine, except for poke.
type fetching struct {
	w     *worker
	block strand.Blocker
	alone func() bool // nobody else wants the result
	turn  bool        // it has the fetcher's turn
	poke  chan struct{}
	buf   []byte
}

// Who takes results.
const (
	nobody = iota
	reader
	fetcher
)

const (
	// unsaid is how long a worker may take for results, one after another, for which it
	// does not wake the reader if that has other jobs to wait for: to be woken for each
	// would cost more than they do. It is woken too when the worker has no job.
	unsaid = 50 * time.Microsecond

	// linger is the same where the worker is in the middle of a job that takes longer.
	linger = 200 * time.Microsecond

	// wakeEvery is how many results are taken before the worker is woken for what it
	// has been given meanwhile.
	wakeEvery = 16

	// unclaimed is how long the results of a worker whose reader rests may wait for
	// somebody who fetches them.
	unclaimed = 50 * time.Microsecond
)

func (w *worker) initReading() {
	r := &w.reading
	r.turn.Store(reader)
	r.wanted.Store(true) // as most do
	r.resume = make(chan struct{}, 1)
}

func (w *worker) newFetching() *fetching {
	f := &fetching{w: w, poke: make(chan struct{}, 1)}
	f.block = strand.Blocker{Block: f.fetch, Wake: f.wake, Leave: f.leave}
	return f
}

// prod leaves a token in ch; one is enough.
func prod(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// readResults takes results until the worker is dead and has left none.
func (w *worker) readResults() {
	enterReader()
	returned := false
	defer func() {
		leaveReader()
		if !returned { // a function given to OnDone has ended the goroutine
			w.wake()
			w.readers.Go(w.readResults)
		}
	}()
	w.takeResults()
	returned = true
}

// takeResults is called with the reader's turn.
func (w *worker) takeResults() {
	var buf []byte
	for fed := 0; ; {
		frame, ok, err := w.results.Next()
		if fed > 0 && (!ok || fed >= wakeEvery) { // once for several, as it is a system call
			w.wake()
			fed = 0
		}
		switch {
		case err != nil:
			w.kill(fmt.Errorf("process: worker %s: %w", w.name, err))
			return
		case ok:
			buf = append(buf[:0], frame...) // once: it could change while it is looked at
			w.results.Advance()
			if err := w.result(buf); err != nil {
				w.kill(fmt.Errorf("process: worker %s: %w", w.name, err))
				return
			}
			fed++
		case w.dead.Load():
			if _, ok, _ = w.results.Next(); !ok {
				return
			}
		default:
			runtime.Gosched() // those who were just woken are not to wait for this goroutine's thread
			switch held := w.outstanding(); {
			case held == 0 && w.reading.wanted.Load():
				w.repose()
			case held > 1:
				w.reading.lingers.Store(true)
				w.results.Linger(linger)
				w.reading.lingers.Store(false)
				w.wake()
			default:
				w.results.Wait(0)
			}
		}
	}
}

// outstanding returns how many jobs the worker has.
func (w *worker) outstanding() int {
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	return w.held
}

// repose gives the reader's turn up until there is something that nobody fetches.
func (w *worker) repose() {
	r := &w.reading
	w.p.mu.Lock()
	if w.held > 0 {
		w.p.mu.Unlock()
		return
	}
	r.turn.Store(nobody)
	w.p.mu.Unlock()
	for {
		<-r.resume
		if r.turn.CompareAndSwap(nobody, reader) {
			return
		}
	}
}

// expect sees to it that somebody takes the result of a job that has been sent. The
// caller holds the pool's mu.
func (w *worker) expect() {
	r := &w.reading
	switch {
	case r.turn.Load() != nobody:
	case w.held > 1:
		prod(r.resume)
	case r.late == nil:
		r.late = time.AfterFunc(unclaimed, func() {
			r.wanted.Store(false) // until somebody would fetch again
			prod(r.resume)
		})
	default:
		r.late.Reset(unclaimed)
	}
}

// Fetch lets the goroutine that waits for a job take its result from the ring, if it is
// the only job that its worker has.
func (p *Pool) Fetch(j tristrand.Job, alone func() bool) *strand.Blocker {
	p.mu.Lock()
	defer p.mu.Unlock()
	for w := range p.workers {
		if w.held != 1 || w.mail != nil {
			continue
		}
		it := w.slots[bits.TrailingZeros64(^w.vacant)] // the only one
		if it.job != j {
			continue
		}
		r := &w.reading
		if it.inputs > 0 || !r.turn.CompareAndSwap(nobody, fetcher) {
			r.wanted.Store(true) // it can have the next one
			return nil
		}
		if r.late != nil {
			r.late.Stop()
		}
		f := r.spare
		if r.spare = nil; f == nil {
			f = w.newFetching()
		}
		f.turn, f.alone = true, alone
		return &f.block
	}
	return nil
}

// wake makes fetch return.
func (f *fetching) wake() {
	prod(f.poke)
	f.w.ifThere(f.w.results.Poke)
}

// fetch takes results until the one that is waited for is there, or there is another
// reason to look whether the wait is over.
func (f *fetching) fetch() bool {
	if !f.turn {
		<-f.poke
		return false
	}
	w := f.w
	for {
		select {
		case <-f.poke:
			return false
		default:
		}
		frame, ok, err := w.results.Next()
		switch {
		case err != nil, w.dead.Load(), ok && !f.alone():
			f.giveUp(true)
			return false
		case ok:
			f.buf = append(f.buf[:0], frame...)
			w.results.Advance()
			if err := w.result(f.buf); err != nil {
				w.kill(fmt.Errorf("process: worker %s: %w", w.name, err))
				f.giveUp(true)
			}
			w.wake()
			return false
		default:
			w.results.Wait(0)
		}
	}
}

// giveUp gives the turn up. The reader has to go on if it is asked to, or if there is
// more to come.
func (f *fetching) giveUp(on bool) {
	if !f.turn {
		return
	}
	f.turn, f.alone = false, nil
	w := f.w
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	w.reading.turn.Store(nobody)
	if on || w.held > 0 {
		prod(w.reading.resume)
	}
}

// leave is called when the wait is over.
func (f *fetching) leave() {
	f.giveUp(false)
	select {
	case <-f.poke:
	default:
	}
	f.w.p.mu.Lock()
	defer f.w.p.mu.Unlock()
	f.w.reading.spare = f
}

// Goroutines that read results call what was given to OnDone, which may submit: they
// must not wait for room, which only they can make.
var readers sync.Map

func enterReader()   { readers.Store(gtoken.Get(), struct{}{}) }
func leaveReader()   { readers.Delete(gtoken.Get()) }
func isReader() bool { _, ok := readers.Load(gtoken.Get()); return ok }
