package process

import (
	"context"
	"fmt"
	"math/bits"
	"reflect"
	"runtime"
	"time"

	"github.com/tristrand/tristrand"
)

// What is sent ahead of its turn.
const (
	small     = 50 * time.Microsecond // of work is sent ahead, at most
	crossing  = 750 * time.Nanosecond // a job takes its worker besides the function's time
	slow      = 2 * time.Millisecond  // after which what was sent ahead is taken back
	again     = 1 * time.Millisecond  // after which a full ring is tried once more
	maxAhead  = slots
	smoothing = 16 // the typical job is that of the last so many, about
)

// enqueue gives it to a worker, or to the queue. It returns a worker that has to be
// woken when mu is released. The caller holds mu.
func (p *Pool) enqueue(it *item) *worker {
	if p.queue.Len() == 0 {
		if w := p.free(); w != nil {
			if w.give(it) {
				return w
			}
			p.rest(w)
		}
		if it.job == nil {
			return nil // it was cancelled meanwhile
		}
	}
	p.queue.Push(it, it.job.Limits().Priority)
	return nil
}

// rest notes that w has nothing to do, if that is so.
func (p *Pool) rest(w *worker) {
	if w.state == ready && w.held == 0 {
		p.idle = append(p.idle, w)
	}
}

// free returns the worker that a job shall go to, nil if there is none.
func (p *Pool) free() *worker {
	for n := len(p.idle); n > 0; n = len(p.idle) {
		w := p.idle[n-1]
		p.idle[n-1] = nil
		p.idle = p.idle[:n-1]
		if w.state == ready && w.held == 0 {
			return w
		}
	}
	if p.depth == 1 {
		return nil
	}
	var best *worker
	for w := range p.workers {
		if w.state == ready && w.held < p.depth && (best == nil || w.held < best.held) {
			best = w
		}
	}
	return best
}

// feed gives w what waits, and lets Submits go on for which there is room then. The
// caller holds mu, which is given up meanwhile, and wakes w.
func (p *Pool) feed(w *worker) {
	for {
		for w.state == ready && p.queue.Len() > 0 && w.held < p.depth {
			it := p.queue.Pop()
			if !w.give(it) && it.job != nil {
				p.queue.Return(it)
				break
			}
		}
		if !p.room.Wanted(p.queue.Len()) {
			break
		}
		for p.room.Wanted(p.queue.Len()) {
			p.room.Admit(&p.mu)
		}
	}
	if w.state == ready && w.held == 0 && p.held > 0 {
		p.rob(w)
	}
	p.rest(w)
}

// rob gives w a job that was sent ahead to another worker, which has not come to it.
func (p *Pool) rob(w *worker) {
	for v := range p.workers {
		if v.held < 2 {
			continue
		}
		if it := v.takeBack(); it != nil {
			if !w.give(it) && it.job != nil {
				p.queue.Return(it)
			}
			return
		}
	}
}

// give sends it to w, which has room for it, as far as the pool knows. It returns false
// if it was not sent: then it is the caller's, or, without a job, nobody's, because it
// was cancelled. The caller holds mu, and wakes w.
func (w *worker) give(it *item) bool {
	p := w.p
	if w.vacant == 0 {
		return false
	}
	number, known := w.numbers[it.job.Task()]
	if !known {
		number = uint32(len(w.numbers))
	}
	it.slot = bits.TrailingZeros64(w.vacant)
	it.seq = p.seq + 1
	left := time.Duration(0)
	if d, ok := p.deadline(it); ok {
		left = max(time.Until(d), 1)
	}
	f := it.frame(number, !known || p.python != nil, left)
	room, err := w.jobs.Reserve(f.size())
	if room == nil {
		it.seq = 0
		switch {
		case err != nil:
			w.spoilt(err)
		case w.held == 0:
			p.giveLater()
		}
		return false
	}
	if !p.announce(it, w.held > 0) {
		p.stats.Cancelled++
		it.drop()
		return false
	}
	if err := w.out.load(&it.load); err != nil {
		it.cause = fmt.Errorf("process: task %q: %w: %w", it.job.Task(), errUnsent, err) // it fails at the worker
	}
	if !it.load.extra.Empty() {
		w.out.put(note{Op: noteMark, Seq: it.seq}, nil)
	}
	p.seq++
	w.vacant &^= 1 << it.slot
	w.slots[it.slot] = it
	it.w = w
	w.held++
	p.held++
	w.given++
	if !known {
		w.numbers[it.job.Task()] = number
	}
	claim := uint32(claimOffered)
	if w.mail != nil {
		claim = claimTaken // nobody can take it back
	}
	claimAt(w.mem, it.slot).Store(claimWord(it.seq, claim))
	f.write(room)
	w.jobs.Commit(f.size())
	w.unwoken.Store(true)
	w.expect()
	p.observe(it)
	if p.MaxTasks > 0 && w.given >= uint64(p.MaxTasks) {
		w.retire()
	}
	if w.held > 1 {
		p.checkLater()
	}
	return true
}

// giveLater tries again to give jobs to workers that have none: the ring of one of them is
// full of what was taken back, which it has only to pass over, and it says nothing when it
// has.
func (p *Pool) giveLater() {
	if p.giving {
		return
	}
	p.giving = true
	time.AfterFunc(again, func() {
		p.mu.Lock()
		p.giving = false
		p.unlock()
	})
}

// wake wakes the worker's process if it sleeps and was sent something.
func (w *worker) wake() {
	if w.unwoken.Load() && w.unwoken.Swap(false) {
		w.ifThere(w.jobs.Wake)
	}
}

// announce tells the job that it is about to run or, if it is sent ahead of its turn,
// that it is on its way. It returns false if the job has been cancelled. The caller holds
// mu.
func (p *Pool) announce(it *item, ahead bool) bool {
	if ahead {
		life := it.life
		return it.job.Offer(func() bool { return p.withdrawn(it, life) })
	}
	it.begun = true
	seq := it.seq
	return it.job.Start(func(cause error) { p.interrupt(it, seq, cause) })
}

// withdrawn takes a job that was sent ahead back from its worker for good, as it is
// cancelled, or returns false because it runs.
func (p *Pool) withdrawn(it *item, life uint64) bool {
	p.mu.Lock()
	if it.life == life && it.ended {
		p.mu.Unlock()
		runtime.Gosched() // its outcome is about to be told, and the caller looks again
		return false
	}
	if it.life != life || it.w == nil || it.begun {
		p.mu.Unlock()
		return true // it is over, or waits in the queue; or runs and says so itself
	}
	if !it.w.withdraw(it) {
		p.start(it)
		p.mu.Unlock()
		return false
	}
	w := it.w
	w.release(it)
	p.rest(w)
	p.stats.Cancelled++
	it.drop()
	p.unlock()
	return true
}

// start tells a job that was sent ahead that it runs. The caller holds mu.
func (p *Pool) start(it *item) {
	if it.begun {
		return
	}
	it.begun = true
	seq := it.seq
	it.job.Start(func(cause error) { p.interrupt(it, seq, cause) })
}

// deadline returns until when the job may run: that of its ctx or its time limit.
func (p *Pool) deadline(it *item) (time.Time, bool) {
	d, ok := it.job.Context().Deadline()
	if limit := it.job.Limits().Timeout; limit > 0 {
		if mine := time.Now().Add(limit); !ok || mine.Before(d) {
			return mine, true
		}
	}
	return d, ok
}

// observe begins to watch for what can stop a job that has been sent.
func (p *Pool) observe(it *item) {
	if limit := it.job.Limits().Timeout; limit > 0 {
		seq := it.seq
		it.timer = time.AfterFunc(limit, func() { p.expire(it, seq, limit) })
	}
	if ctx := it.job.Context(); ctx.Done() != nil {
		it.watch = p.watched(ctx)
	}
}

// takeBack withdraws the job that was sent to w last, if w has not come to it. Jobs that
// turn out to be cancelled are done with on the way.
func (w *worker) takeBack() *item {
	for {
		var last *item
		for _, it := range w.slots {
			if it != nil && it.cause == nil && (last == nil || it.seq > last.seq) {
				last = it
			}
		}
		if last == nil || !w.withdraw(last) {
			return nil
		}
		begun := last.begun
		w.release(last)
		if !begun || last.job.Requeue() {
			return last
		}
		w.p.stats.Cancelled++
		last.drop()
	}
}

// withdraw keeps w from running it, unless it has begun to.
func (w *worker) withdraw(it *item) bool {
	return claimAt(w.mem, it.slot).CompareAndSwap(claimWord(it.seq, claimOffered), claimWord(it.seq, claimWithdrawn))
}

// release takes it out of its slot. The slot of one that was withdrawn may be used
// again at once, because its claim says whose it is.
func (w *worker) release(it *item) {
	for _, f := range it.load.extra.Files() { // what it has not taken it will not take
		w.out.put(note{Op: noteForget, Key: f.Key[:]}, nil)
	}
	w.slots[it.slot] = nil
	w.vacant |= 1 << it.slot
	w.held--
	w.p.held--
	it.w, it.seq, it.begun = nil, 0, false
	if it.timer != nil {
		it.timer.Stop()
		it.timer = nil
	}
	if it.watch != nil {
		it.watch.jobs--
		if it.watch.alone {
			it.watch.stop()
		}
		it.watch = nil
	}
}

// checkLater sees to it that jobs sent ahead are taken back from a worker that is slow.
func (p *Pool) checkLater() {
	if p.checking {
		return
	}
	p.checking = true
	time.AfterFunc(slow, func() {
		p.mu.Lock()
		defer p.unlock()
		p.checking = false
		for w := range p.workers {
			if w.held < 2 {
				continue
			}
			if w.done == w.checked {
				p.depth = 1
				w.tellRunning()
				for it := w.takeBack(); it != nil; it = w.takeBack() {
					p.queue.Return(it)
				}
				p.rest(w)
			}
			w.checked = w.done
			if w.held > 1 {
				p.checkLater()
			}
		}
	})
}

// tellRunning tells the job that w has come to that it runs. The caller holds mu.
func (w *worker) tellRunning() {
	for _, it := range w.slots {
		if it != nil && claimAt(w.mem, it.slot).Load() == claimWord(it.seq, claimTaken) {
			w.p.start(it)
		}
	}
}

// learn adapts how much is sent ahead to how long a job took.
func (p *Pool) learn(ran time.Duration) {
	if p.typical == 0 {
		p.typical = ran
	} else {
		p.typical += (ran - p.typical) / smoothing
	}
	if !shares() || p.python != nil {
		return
	}
	p.depth = int(min(small/(p.typical+crossing), maxAhead))
	p.depth = max(p.depth, 1)
}

// A watch is that of one ctx, for all jobs that have it.
type watch struct {
	jobs  int
	stop  func() bool
	alone bool // it is one job's, and in no table
}

// watched returns the watch of a ctx, with one job more. The caller holds mu.
func (p *Pool) watched(ctx context.Context) *watch {
	if !reflect.TypeOf(ctx).Comparable() {
		x := &watch{jobs: 1, alone: true}
		x.stop = context.AfterFunc(ctx, func() { p.ctxEnded(x, ctxError(ctx)) })
		return x
	}
	x := p.watches[ctx]
	if x == nil {
		for old, unused := range p.watches { // those of jobs that are over
			if unused.jobs == 0 {
				unused.stop()
				delete(p.watches, old)
			}
		}
		x = &watch{}
		x.stop = context.AfterFunc(ctx, func() { p.ctxEnded(x, ctxError(ctx)) })
		p.watches[ctx] = x
	}
	x.jobs++
	return x
}

// ctxEnded stops the jobs whose ctx has ended.
func (p *Pool) ctxEnded(x *watch, cause error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for w := range p.workers {
		for _, it := range w.slots {
			if it != nil && it.watch == x {
				p.stopJob(it, cause)
			}
		}
	}
}

// interrupt is how a job that was sent is told to stop.
func (p *Pool) interrupt(it *item, seq uint64, cause error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if it.seq == seq && it.w != nil {
		p.stopJob(it, cause)
	}
}

// expire stops a job whose time is up.
func (p *Pool) expire(it *item, seq uint64, limit time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if it.seq == seq && it.w != nil {
		p.stopJob(it, fmt.Errorf("%w: %s has run for %v", tristrand.ErrTimeout, it.job.ID(), limit))
	}
}
