package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/crew"
	"github.com/tristrand/tristrand/internal/wire"
	"github.com/tristrand/tristrand/process"
)

// receive takes what comes to this pool: results, as the store has them, and notes of
// workers. One goroutine calls it.
func (p *Pool) receive(m *nats.Msg) {
	_, kind, _ := strings.Cut(m.Subject[len(p.c.prefix)+len("c."):], ".")
	if n, ok := strings.CutPrefix(kind, "r."); ok {
		p.arrived(n, m.Data)
	} else {
		p.noted(m)
	}
}

// arrived takes a result.
func (p *Pool) arrived(n string, data []byte) {
	p.mu.Lock()
	it := p.items[n]
	p.mu.Unlock()
	if it == nil {
		return
	}
	if len(data) == 0 { // what was stored under its ID is gone without a result
		go p.renew(it)
		return
	}
	var r result
	if err := wire.Decode(data, &r); err != nil {
		p.end(it, nil, fmt.Errorf("cluster: %s: its result cannot be decoded: %w", it.job.ID(), err))
		return
	}
	p.mu.Lock()
	if r.Worker != "" {
		p.meet(r.Worker, 0, r.Abandoned)
	}
	p.mu.Unlock()
	if r.Big == "" {
		out, err := r.decode(it.job)
		p.end(it, out, err)
		return
	}
	go func() {
		body, err := p.c.getBig(context.Background(), r.Big)
		if err != nil {
			p.end(it, nil, err)
			return
		}
		var whole result
		if err := wire.Decode(body, &whole); err != nil {
			p.end(it, nil, fmt.Errorf("cluster: %s: its result cannot be decoded: %w", it.job.ID(), err))
			return
		}
		out, err := whole.decode(it.job)
		p.end(it, out, err)
		p.c.dropBig(r.Big)
	}()
}

// end settles a job with its result.
func (p *Pool) end(it *item, out any, err error) {
	p.mu.Lock()
	state := it.state
	if state == over {
		p.mu.Unlock()
		return
	}
	if it.chunk && out == nil && state == begun && it.cause == nil && brokeOff(err) {
		p.mu.Unlock()
		p.split(it, err)
		return
	}
	p.settling++
	p.remove(it)
	p.mu.Unlock()
	if state != begun && !it.job.Start(func(error) {}) { // it ran all the same, or another did under its ID
		p.settled(it, it.job.State(), false)
		return
	}
	next := p.finish(it, out, err)
	if !next.Again {
		return
	}
	// The worker could not ask whether to try again. It is a new job for the cluster.
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settling--
	p.stats.Retried++
	it.state, it.due, it.cause, it.by = queued, time.Now().Add(next.After), nil, ""
	p.pending++
	p.items[it.n] = it
	time.AfterFunc(next.After, func() { p.resend(it) })
}

// brokeOff reports whether a chunk failed as a whole because of one of its inputs, and which
// is not known.
func brokeOff(err error) bool {
	var exit *process.ExitError
	return errors.Is(err, tristrand.ErrGoexit) || errors.As(err, &exit)
}

// finish tells a job its outcome, and counts it unless it is to be tried again. What is
// called by that, given to OnDone, may end the goroutine.
func (p *Pool) finish(it *item, out any, err error) (next tristrand.Next) {
	defer func() {
		if !next.Again {
			p.settled(it, it.job.State(), false)
		}
	}()
	return it.job.Finish(out, err)
}

// resend stores a job that is to be tried again as another.
func (p *Pool) resend(it *item) {
	p.mu.Lock()
	if it.state != queued || it.frame == nil {
		p.mu.Unlock()
		return
	}
	delete(p.items, it.n)
	f := *it.frame
	f.Retries = max(f.Retries-1, 0)
	f.N += "t"
	it.n, it.frame = f.N, &f
	p.items[it.n] = it
	p.mu.Unlock()
	if err := p.post(context.Background(), it, &f, f.id(), true); err != nil {
		p.end(it, nil, tristrand.Permanent(err))
	}
}

// remove takes a job out. The caller holds mu, which may be given up meanwhile.
func (p *Pool) remove(it *item) {
	if p.items[it.n] == it {
		delete(p.items, it.n)
	}
	was := it.state
	it.state = over
	switch was {
	case queued:
		p.pending--
		p.admit()
	case begun:
		p.running--
	case resting, over:
	}
}

// settled counts a job that has been taken out, and what it has come to is known.
func (p *Pool) settled(it *item, state tristrand.FutureState, stored bool) {
	p.mu.Lock()
	p.settling--
	crew.Count(&p.stats, tristrand.Next{State: state})
	if !it.accepted { // it was over before its Submit knew that it was stored
		it.accepted = true
		p.stats.Submitted++
	}
	unwatch, stream, seq, sub := it.unwatch, it.stream, it.seq, it.sub
	p.mu.Unlock()
	unwatch()
	if sub != nil {
		_ = sub.Unsubscribe()
	}
	if stored {
		p.withdraw(it, stream, seq)
	}
	if it.big {
		p.c.dropBig(p.id + "." + it.n + ".i")
	}
	p.mu.Lock()
	p.drained()
	p.mu.Unlock()
}

// drained reports whether the last job is done, and tells those who wait for it. The
// caller holds mu.
func (p *Pool) drained() bool {
	if len(p.items) > 0 || p.settling > 0 || p.erasing > 0 {
		return false
	}
	crew.Grant(p.ending.Over())
	if p.closing && !p.gone {
		p.gone = true
		if p.tick != nil {
			p.tick.Stop()
		}
		go p.unlisten()
	}
	return true
}

// noted acts on a note, and answers it.
func (p *Pool) noted(m *nats.Msg) {
	var n note
	if wire.Decode(m.Data, &n) != nil {
		return
	}
	p.mu.Lock()
	p.meet(n.Worker, n.Slots, n.Abandoned)
	p.mu.Unlock()
	if n.Op == noteProgress {
		p.progressed(&n)
		return
	}
	verdicts := make([]verdict, len(n.Jobs))
	for i, j := range n.Jobs {
		p.mu.Lock()
		it := p.items[j.N]
		p.mu.Unlock()
		switch {
		case it == nil:
			verdicts[i] = verdict{Do: doDrop}
		case n.Op == noteBegin:
			verdicts[i] = p.mayBegin(it, &n, j.Copy)
		case n.Op == noteBack:
			verdicts[i] = p.takeBack(it, &n)
		case n.Op == noteFailed && n.Fault != nil:
			verdicts[i] = p.failed(it, &n)
		}
	}
	if m.Reply != "" {
		_ = m.Respond(encode(verdicts)) // a worker without an answer takes us for gone
	}
}

// mayBegin says whether a job may begin.
func (p *Pool) mayBegin(it *item, n *note, which string) verdict {
	p.mu.Lock()
	state, cause := it.state, it.cause
	if state == begun && it.copy != which {
		p.mu.Unlock()
		return verdict{Do: doDrop} // it was stored twice, and the other one runs
	}
	it.by, it.copy = n.Worker, which
	p.mu.Unlock()
	switch {
	case state == over:
		return verdict{Do: doDrop}
	case state == begun && cause != nil: // its worker died before it could stop it
		p.end(it, nil, tristrand.Permanent(stopError(cause)))
		return verdict{Do: doDrop}
	case state == begun && it.chunk:
		// What of it has run is not known, and one of its inputs may be what kills
		// workers: each goes on alone.
		p.split(it, tristrand.ErrOutcomeUnknown)
		return verdict{Do: doDrop}
	case state != begun:
		if !it.job.Start(func(cause error) { p.stop(it, cause) }) {
			p.mu.Lock()
			if it.state != over {
				p.settling++
				p.remove(it)
				p.mu.Unlock()
				p.settled(it, it.job.State(), false)
			} else {
				p.mu.Unlock()
			}
			return verdict{Do: doDrop}
		}
		p.mu.Lock()
		if it.state == queued || it.state == resting {
			if it.state == queued {
				p.pending--
			}
			it.state = begun
			p.running++
			p.admit()
		}
		late := it.late
		p.mu.Unlock()
		if late != nil {
			p.stop(it, late)
		}
	}
	v := verdict{Do: doRun}
	if d, ok := it.job.Context().Deadline(); ok {
		v.Left = max(time.Until(d), 1)
	}
	return v
}

// split has the inputs of a chunk that has begun sent again, each alone.
func (p *Pool) split(it *item, why error) {
	if it.job.Requeue() {
		p.mu.Lock()
		if it.state == begun {
			it.state = queued
			p.running--
			p.pending++
		}
		p.settling++
		p.remove(it)
		p.mu.Unlock()
		p.finish(it, nil, why)
		return
	}
	p.forget(it)
}

// forget takes out a job that has been settled.
func (p *Pool) forget(it *item) {
	p.mu.Lock()
	if it.state == over {
		p.mu.Unlock()
		return
	}
	p.settling++
	p.remove(it)
	p.mu.Unlock()
	p.settled(it, it.job.State(), true)
}

// takeBack makes a job wait again whose worker has not come to it.
func (p *Pool) takeBack(it *item, n *note) verdict {
	p.mu.Lock()
	if it.state == queued || it.state == resting || it.state == begun && it.by != n.Worker {
		p.mu.Unlock()
		return verdict{Do: doLeave} // it was taken for dead, and the job is another's, or waits
	}
	if it.state != begun || it.cause != nil {
		cause := it.cause
		p.mu.Unlock()
		if cause != nil {
			p.end(it, nil, tristrand.Permanent(stopError(cause)))
		}
		return verdict{Do: doDrop}
	}
	p.mu.Unlock()
	if !it.job.Requeue() {
		p.forget(it)
		return verdict{Do: doDrop}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if it.state == begun {
		it.state, it.by = queued, ""
		p.running--
		p.pending++
	}
	return verdict{Do: doAgain}
}

// failed settles a try that has failed, and says whether there shall be another.
func (p *Pool) failed(it *item, n *note) verdict {
	p.mu.Lock()
	if it.state != begun || it.by != n.Worker {
		over := it.state == over
		p.mu.Unlock()
		if over {
			return verdict{Do: doEnd}
		}
		return verdict{Do: doLeave} // another has it, or will have: that one's outcome counts
	}
	p.settling++
	p.remove(it)
	p.mu.Unlock()
	next := p.finish(it, nil, faults.Err(n.Fault, n.Worker))
	if !next.Again {
		return verdict{Do: doEnd}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settling--
	p.stats.Retried++
	it.state, it.cause, it.by = resting, nil, "" // it takes no room meanwhile
	p.items[it.n] = it
	p.wake()
	time.AfterFunc(next.After, func() { p.dueAgain(it) })
	return verdict{Do: doAgain, After: next.After}
}

// dueAgain makes a job wait for a worker whose pause is over. It is above the bound.
func (p *Pool) dueAgain(it *item) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if it.state == resting {
		it.state = queued
		p.pending++
		if it.stream == p.c.stream(streamLater) {
			it.seq = 0 // the store has published it anew
		}
	}
}

// stop asks a job to stop.
func (p *Pool) stop(it *item, cause error) {
	p.mu.Lock()
	if it.state != begun {
		told := it.late != nil
		it.late = cause
		p.mu.Unlock()
		if told {
			return // it is just being begun
		}
		it.job.Cancel(cause)
		if it.job.State() > tristrand.Running {
			p.forget(it)
		}
		return
	}
	first := it.cause == nil
	if first {
		it.cause, it.told = cause, time.Now()
	}
	worker := it.by
	p.mu.Unlock()
	if first {
		p.tellStop(it, worker, cause)
	}
}

// tellStop tells the worker. What is lost on the way is told again by sweep.
func (p *Pool) tellStop(it *item, worker string, cause error) {
	client := p.id
	if it.named {
		client = userClient
	}
	_ = p.c.link.nc.Publish(p.c.subject("w."+worker), encode(&order{ID: client + "." + it.n, Fault: faults.Of(cause)}))
}

// stopError is the outcome of a job that was asked to stop and whose worker is gone.
func stopError(cause error) error {
	return fmt.Errorf("%w: %w", tristrand.ErrCancelled, cause)
}
