package process

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/crew"
	"github.com/tristrand/tristrand/internal/wire"
	"github.com/tristrand/tristrand/strand"
)

// result acts on one result, which is not trusted. The worker may have been given
// another job, and has to be woken.
func (w *worker) result(b []byte) error {
	f, err := readResult(b)
	if err != nil {
		return err
	}
	p := w.p
	p.mu.Lock()
	var it *item
	if int(f.slot) < slots {
		it = w.slots[f.slot]
	}
	if it == nil || it.seq != f.seq || claimAt(w.mem, it.slot).Load() != claimWord(f.seq, claimTaken) {
		p.mu.Unlock()
		return fmt.Errorf("a result for a job that it does not have (%d in slot %d): %w", f.seq, f.slot, errFrame)
	}
	lost := it.lost
	p.mu.Unlock()
	if lost {
		return nil
	}
	out, err := w.outcome(it, f)
	if f.flags&flagExtra != 0 {
		w.out.put(note{Op: noteTaken}, nil)
	}
	switch {
	case errors.Is(err, errLost) && w.dead.Load():
		p.mu.Lock()
		it.lost = true // it fails with its worker, which is about to be buried
		p.mu.Unlock()
		return nil
	case f.flags&flagPart != 0:
		return err
	}
	p.mu.Lock()
	cause := it.cause
	if it.ended = true; err != nil || cause != nil || it.inputs > 0 {
		p.start(it) // otherwise the outcome alone says that it has run
	}
	w.release(it)
	w.done++
	p.learn(f.ran)
	p.feed(w)
	predicted := p.predict(it, cause, err)
	p.mu.Unlock()
	switch {
	case errors.Is(cause, tristrand.ErrTimeout), errors.Is(cause, errUnsent):
		out, err = nil, cause
	case it.parts != nil && errors.Is(err, tristrand.ErrGoexit):
		out = it.parts // the input after those ended the goroutine
	}
	p.finish(it, out, err, predicted)
	return nil
}

var (
	errLost   = errors.New("what goes beside its result has not come")
	errUnsent = errors.New("what goes beside its input cannot be sent")
)

// outcome decodes what a worker says of a job.
func (w *worker) outcome(it *item, f resultFrame) (out any, err error) {
	j, body := it.job, f.body
	if f.flags&flagExtra != 0 && !w.came.reached(f.mark) {
		return nil, fmt.Errorf("process: task %q: %w", j.Task(), errLost)
	}
	if f.flags&flagSegment != 0 {
		key, n, err := readRef(body)
		if err != nil {
			return nil, err
		}
		s := w.came.await(key)
		if s == nil {
			return nil, fmt.Errorf("process: task %q: %w", j.Task(), errLost)
		}
		defer func() {
			s.Release()
			w.out.put(note{Op: noteTaken, Key: key[:]}, nil)
		}()
		if n > s.Size() {
			return nil, fmt.Errorf("process: task %q: a result of %d bytes in a segment of %d: %w", j.Task(), n, s.Size(), errFrame)
		}
		body = append([]byte(nil), s.Bytes()[:n]...)
	}
	if f.flags&flagError != 0 {
		return nil, decodeFault(body)
	}
	if it.inputs > 0 {
		if err := decodeOutcomes(body, it.parts, it.inputs); err != nil {
			return nil, fmt.Errorf("process: task %q: its outcomes cannot be decoded: %w", j.Task(), err)
		}
		return it.parts, nil
	}
	out = j.NewOutput()
	if f.flags&flagRaw != 0 {
		if f.flags&flagSegment == 0 {
			body = append([]byte(nil), body...) // it is the user's then
		}
		if !wire.SetRaw(out, body) {
			return nil, fmt.Errorf("process: task %q: its result came as bytes and is %T", j.Task(), out)
		}
		return out, nil
	}
	if err := wire.Decode(body, out); err != nil {
		return nil, fmt.Errorf("process: task %q: its result cannot be decoded: %w", j.Task(), err)
	}
	return out, nil
}

// predict counts an outcome before it is made known, where it is known what it will
// count as. The caller holds mu.
func (p *Pool) predict(it *item, cause, err error) bool {
	switch {
	case errors.Is(cause, tristrand.ErrTimeout), err != nil:
		if it.job.Limits().Retries > 0 {
			return false
		}
		p.stats.Failed++
	default:
		p.stats.Succeeded++
	}
	return true
}

// settle is finish for a job that has no result.
func (p *Pool) settle(it *item, out any, err error) {
	p.mu.Lock()
	counted := p.predict(it, nil, err)
	p.mu.Unlock()
	p.finish(it, out, err, counted)
}

// finish makes the outcome of a job known, and lets it wait for another try if it gets
// one.
func (p *Pool) finish(it *item, out any, err error, counted bool) {
	var next tristrand.Next
	defer func() { // also when a function given to OnDone ends the goroutine
		if !counted {
			p.mu.Lock()
			crew.Count(&p.stats, next)
			p.mu.Unlock()
		}
		if next.Again {
			p.again(it, next.After)
			return
		}
		p.mu.Lock()
		it.drop()
		p.unlock()
	}()
	next.State = tristrand.Failed
	next = it.job.Finish(out, err)
}

// again lets a job wait for its next try, above the bound.
func (p *Pool) again(it *item, after time.Duration) {
	it.cause, it.lost, it.ended = nil, false, false
	it.parts, it.inputs = isChunk(it.job)
	p.mu.Lock()
	if err := p.broken; err != nil {
		p.stats.Failed++
		p.unlock()
		failAll([]*item{it}, err)
		return
	}
	defer p.mu.Unlock()
	if isOver(it.job) { // cancelled already
		it.drop()
		return
	}
	p.delayed[it] = time.AfterFunc(after, func() {
		p.mu.Lock()
		if _, ok := p.delayed[it]; !ok {
			p.mu.Unlock()
			return
		}
		delete(p.delayed, it)
		p.staff()
		w := p.enqueue(it)
		waits := p.over()
		p.mu.Unlock()
		if w != nil {
			w.wake()
		}
		crew.Grant(waits)
	})
}

// stopJob asks a job that was sent to stop, and sees to it that it does. The caller
// holds mu.
func (p *Pool) stopJob(it *item, cause error) {
	if it.cause != nil {
		return
	}
	w := it.w
	if it.timer != nil {
		it.timer.Stop()
		it.timer = nil
	}
	if !it.begun && w.withdraw(it) {
		w.release(it)
		p.rest(w)
		p.tasks.Go(func() { p.cancel(it, cause) }) // which unlocks with unlock
		return
	}
	p.start(it)
	it.cause = cause
	w.out.put(note{Op: noteCancel, Seq: it.seq, N: causeOf(cause), Text: cause.Error()}, nil)
	seq, grace := it.seq, p.jobGrace()
	it.timer = time.AfterFunc(grace, func() {
		if !p.signal(it, seq, false) {
			return
		}
		time.AfterFunc(grace, func() { p.signal(it, seq, true) })
	})
}

// cancel settles a job that has not begun and is in no queue.
func (p *Pool) cancel(it *item, cause error) {
	defer func() { // also when a function given to OnDone ends the goroutine
		p.mu.Lock()
		p.stats.Cancelled++
		it.drop()
		p.unlock()
	}()
	it.job.Cancel(cause)
}

// signal ends the worker of a job that has not stopped in time.
func (p *Pool) signal(it *item, seq uint64, hard bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if it.seq != seq || it.w == nil {
		return false
	}
	if hard || p.JobGrace < 0 {
		kill(it.w.child)
	} else {
		terminate(it.w.child)
	}
	return true
}

// stopped returns the outcome of a job that was killed because of cause.
func stopped(cause error) error {
	if errors.Is(cause, tristrand.ErrTimeout) || errors.Is(cause, tristrand.ErrCancelled) {
		return cause
	}
	return fmt.Errorf("%w: %w", tristrand.ErrCancelled, cause)
}

func causeOf(err error) int {
	switch {
	case errors.Is(err, tristrand.ErrTimeout):
		return causeTimeout
	case errors.Is(err, tristrand.ErrCancelled):
		return causeCancel
	case errors.Is(err, context.DeadlineExceeded):
		return causeDeadline
	default:
		return causeCanceled
	}
}

// ctxError returns the error of a ctx that has ended.
func ctxError(ctx context.Context) error { return strand.Err(ctx) }

// isOver reports whether a job has its outcome.
func isOver(j tristrand.Job) bool { return j.State() > tristrand.Running }
