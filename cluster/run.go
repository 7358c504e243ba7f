package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/wire"
)

func formatInt(n int64) string { return strconv.FormatInt(n, 10) }

// launch gives a task to the engine. It must not block.
func (v *service) launch(t *task) {
	if t.f.Big == "" {
		v.start(t)
		return
	}
	go func() {
		body, err := v.c.getBig(v.ctx, t.f.Big)
		if err != nil {
			v.done(t, &result{Fault: faults.Of(tristrand.Permanent(err))})
			return
		}
		t.f.Body = body
		v.start(t)
	}()
}

func (v *service) start(t *task) {
	ctx, cancel := context.WithCancelCause(v.ctx)
	end := func(cause error) { cancel(cause) }
	if t.left > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithDeadline(ctx, t.at.Add(t.left))
		end = func(cause error) { cancel(cause); stop() }
	}
	v.mu.Lock()
	t.end = end
	cause := t.cause
	v.mu.Unlock()
	if cause != nil {
		end(cause)
	}
	ctx = context.WithValue(ctx, reporterKey{}, t.reporter())
	if strings.HasSuffix(t.f.Task, "[]") {
		t.part = new(part)
		ctx = context.WithValue(ctx, partKey{}, t.part)
	}
	var opts []tristrand.CallOption
	if t.f.Timeout > 0 {
		opts = append(opts, tristrand.Timeout(t.f.Timeout))
	}
	in := callIn{Task: t.f.Task, Body: t.f.Body, Raw: t.f.Raw, Label: t.f.Label, Values: t.f.Values}
	fut, err := callTask.TrySubmit(ctx, v.engine, in, opts...)
	switch {
	case err == nil:
		fut.OnDone(func(fut *tristrand.Future[callOut]) {
			end(context.Canceled)
			out, err := fut.TryResult()
			v.returned(t, out, err)
		})
	case errors.Is(err, tristrand.ErrFull): // others use the engine as well
		end(context.Canceled)
		v.mu.Lock()
		v.running--
		t.counted = t.counted && t.times > 1 // it has not begun
		v.ready[t.src.level-lowest] = append([]*task{t}, v.ready[t.src.level-lowest]...)
		v.waiting++
		v.mu.Unlock()
		time.AfterFunc(5*time.Millisecond, v.fill)
	case errors.Is(err, tristrand.ErrClosed):
		end(context.Canceled)
		v.mu.Lock()
		v.running--
		v.stopping = true
		v.mu.Unlock()
		v.once.Do(func() { close(v.broken) })
		v.sendBack(t, 0)
	default:
		end(context.Canceled)
		v.returned(t, callOut{}, err)
	}
}

// reporter is what Report uses.
func (t *task) reporter() reporter {
	return func(data []byte) error {
		if t.f.Asks == "" {
			return nil
		}
		n := t.v.note(noteProgress)
		n.Jobs, n.Data = []noteJob{{t.f.N, t.times, t.copy}}, data
		return t.v.c.link.nc.Publish(t.v.c.subject("c."+t.f.Asks+".q"), encode(n))
	}
}

// stop asks a task to stop.
func (v *service) stop(t *task, cause error) {
	v.mu.Lock()
	if t.cause != nil || t.gone {
		v.mu.Unlock()
		return
	}
	t.cause = cause
	end, waits := t.end, v.unready(t)
	if waits {
		v.running++ // done counts it down
		t.begun = time.Now()
	}
	v.mu.Unlock()
	switch {
	case waits: // it has not begun
		v.done(t, &result{Fault: faults.Of(tristrand.Permanent(stopError(cause)))})
	case end != nil:
		end(cause)
	}
}

// handBack stops what runs, for others to run it.
func (v *service) handBack() {
	v.mu.Lock()
	var all []*task
	for t := range v.hand {
		t.hand = true
		if t.end != nil {
			all = append(all, t)
		}
	}
	v.mu.Unlock()
	for _, t := range all {
		t.end(tristrand.ErrCancelled)
	}
	v.cancel(tristrand.ErrCancelled)
}

// returned takes what the engine says of a task. It is called on the goroutine that has
// run it, and must not block.
func (v *service) returned(t *task, out callOut, err error) {
	r := &result{Body: out.Body, Raw: out.Raw, Fault: out.Fault, Failures: out.Failures}
	switch {
	case err != nil && errors.Is(err, tristrand.ErrTimeout) && t.f.Timeout > 0:
		r.Fault = faults.Of(fmt.Errorf("%w: %s has run for %v", tristrand.ErrTimeout, t.f.Task, t.f.Timeout))
	case err != nil && t.part != nil && t.part.here:
		r.Body, r.Fault = encode([]int{}), faults.Of(err) // nothing is known yet
		if t.part.out != nil {
			known := packOutcomes(t.f.Task, t.part.out)
			r.Body, r.Failures = known.Body, known.Failures
		}
	case err != nil:
		r.Fault = faults.Of(err)
	case out.Unfit != "":
		v.mu.Lock()
		v.running--
		v.asking++ // unfit counts it down
		v.mu.Unlock()
		v.unfit(t, out.Unfit, false)
		return
	}
	v.mu.Lock()
	back := t.hand && r.Fault != nil
	if back {
		v.running--
	}
	v.mu.Unlock()
	if back {
		v.sendBack(t, 0)
		return
	}
	v.done(t, r)
}

// learn adapts how much is asked for ahead to how long a task took. The caller holds mu.
func (v *service) learn(ran time.Duration) {
	if v.typical == 0 {
		v.typical = ran
	} else {
		v.typical += (ran - v.typical) / smoothing
	}
	if v.ahead = int(min(aheadTime/max(v.typical, 1), maxAhead)); v.ahead < 4 {
		v.ahead = 0
	}
}

// done goes on with a task that has run.
func (v *service) done(t *task, r *result) {
	st := v.engine.Stats()
	v.mu.Lock()
	v.running--
	v.freed = true
	v.tally(t, r)
	v.abandoned = st.Abandoned
	r.Worker, r.Host, r.Abandoned = v.id, v.host, st.Abandoned
	cause := t.cause
	v.mu.Unlock()
	if r.Fault == nil || r.Fault.Permanent || t.f.Retries == 0 || cause != nil {
		v.fill()
		v.conclude(t, r)
		return
	}
	if t.alone {
		v.retryAlone(t, r)
		v.fill()
		return
	}
	n := v.note(noteFailed)
	n.Jobs, n.Fault = []noteJob{{t.f.N, t.times, t.copy}}, r.Fault
	data := encode(n)
	if len(data) > bigBody {
		n.Fault = &remoteFault{Text: n.Fault.Text[:min(len(n.Fault.Text), bigBody/2)], Type: n.Fault.Type, Is: n.Fault.Is}
		data = encode(n)
	}
	v.c.link.send(v.c.subject("c."+t.f.Asks+".q"), nil, data, askPatience, func(m *nats.Msg, err error) {
		var verdicts []verdict
		if err == nil {
			err = wire.Decode(m.Data, &verdicts)
		}
		switch {
		case err != nil || len(verdicts) != 1:
			v.retryAlone(t, r)
		case verdicts[0].Do == doAgain:
			v.pause(t, verdicts[0].After)
		case verdicts[0].Do == doDrop:
			v.pause(t, -1)
		case verdicts[0].Do == doLeave:
			v.lose(t)
			v.fill()
		default:
			v.conclude(t, r)
		}
	})
	v.fill()
}

// tally counts. The caller holds mu.
func (v *service) tally(t *task, r *result) {
	r.Ran = time.Since(t.begun)
	v.learn(r.Ran)
	v.count++
	if r.Fault != nil {
		v.failed++
	}
}

// pause gives a task back for another try after a time; below 0 it is dropped.
func (v *service) pause(t *task, after time.Duration) {
	v.uncount(t, func() {
		v.mu.Lock()
		fresh := time.Since(t.beat) < v.c.opts.Lease && !t.gone
		v.drop(t)
		v.mu.Unlock()
		switch {
		case !fresh:
		case after < 0:
			t.say("+ACK")
		default:
			t.nak(after)
		}
		v.fill()
	})
}

// The pauses between tries of a job whose submitter is gone, doubling.
const (
	aloneMin = 100 * time.Millisecond
	aloneMax = 10 * time.Second
)

// retryAlone decides about another try when there is nobody to ask.
func (v *service) retryAlone(t *task, r *result) {
	if t.times > t.f.Retries {
		v.mu.Lock()
		t.alone = true
		v.mu.Unlock()
		v.conclude(t, r)
		return
	}
	d := aloneMax
	if t.times < 8 {
		d = min(aloneMin<<(t.times-1), aloneMax)
	}
	v.pause(t, d-rand.N(d/2))
}

// conclude stores a result, which only the first of a job is, and then lets the store
// forget the job.
func (v *service) conclude(t *task, r *result) {
	if t.f.repeated() {
		v.finished(t, r)
		return
	}
	data := encode(r)
	if len(data) > bigBody {
		go func() {
			name := t.f.id() + ".o"
			small := &result{Worker: r.Worker, Host: r.Host, Ran: r.Ran, Abandoned: r.Abandoned, Big: name}
			if err := v.c.putBig(context.WithoutCancel(v.ctx), name, data); err != nil {
				small = &result{Worker: r.Worker, Host: r.Host, Fault: faults.Of(tristrand.Permanent(err))}
			}
			v.publish(t, r, encode(small))
		}()
		return
	}
	v.publish(t, r, data)
}

// The pauses before a result is published again that was not stored.
const (
	publishAgain = 50 * time.Millisecond
	publishFull  = time.Second
)

// firstResult has the store refuse a result of a job that has one.
var firstResult = nats.Header{"Nats-Expected-Last-Subject-Sequence": []string{"0"}}

func (v *service) publish(t *task, r *result, data []byte) {
	v.c.link.send(v.c.subject("r."+t.f.id()), firstResult, data, storeWait, func(m *nats.Msg, err error) {
		_, err = readReceipt(m, err)
		again := publishAgain
		switch {
		case err == nil:
			v.finished(t, r)
			return
		case hasCode(err, codeWrongLast): // another worker was first
			v.finished(t, nil)
			return
		case errors.Is(err, errLinkClosed):
			v.mu.Lock()
			v.drop(t)
			v.mu.Unlock()
			return
		case hasCode(err, codeNoRoom, codeStoreFailed, codeStreamFull):
			again = publishFull
		}
		time.AfterFunc(again, func() { v.publish(t, r, data) })
	})
}

// finished lets the store forget a job whose result is stored. Nobody waits for one that
// is alone: a failure of it is a dead letter.
func (v *service) finished(t *task, r *result) {
	end := func(error) {
		t.say("+ACK")
		if t.f.Big != "" && t.alone {
			v.c.dropBig(t.f.Big)
		}
		v.mu.Lock()
		v.drop(t)
		v.mu.Unlock()
		v.fill()
	}
	if r != nil && r.Fault != nil && (t.alone || t.f.Retries > 0) && t.cause == nil {
		v.c.bury(t.f, r.Fault, t.times, v.host, end)
		return
	}
	end(nil)
}

// giveUp makes a dead letter of a job that has killed its workers.
func (v *service) giveUp(t *task, times int) {
	v.mu.Lock()
	v.running--
	v.mu.Unlock()
	err := fmt.Errorf("%w: it was begun %d times; the last worker to try is %s", ErrDead, times, v.host)
	r := &result{Fault: faults.Of(tristrand.Permanent(err)), Worker: v.id, Host: v.host}
	v.c.bury(t.f, r.Fault, t.times, v.host, func(error) {
		v.mu.Lock()
		t.alone, t.f.Retries = false, 0 // it is buried
		v.mu.Unlock()
		v.publish(t, r, encode(r))
	})
}

// unfit is for a job that this worker cannot run: another may, if there is one.
func (v *service) unfit(t *task, why string, defined bool) {
	v.c.link.send(v.c.subject("has"), nil, []byte(v.id+" "+t.f.Task), 300*time.Millisecond, func(_ *nats.Msg, err error) {
		others := err == nil
		v.mu.Lock()
		v.asking--
		v.mu.Unlock()
		switch {
		case others && defined, t.times < t.f.Times:
			v.sendBackIf(t, !defined, min(50*time.Millisecond<<min(t.times, 5), time.Second))
		default:
			err := fmt.Errorf("%w: task %q on worker %s: %s", ErrUnfit, t.f.Task, v.host, why)
			r := &result{Fault: faults.Of(tristrand.Permanent(err)), Worker: v.id, Host: v.host}
			v.c.bury(t.f, r.Fault, t.times, v.host, func(error) {
				t.alone, t.f.Retries = false, 0
				v.publish(t, r, encode(r))
			})
		}
	})
}

// sendBackIf gives back a task that may have begun for its submitter.
func (v *service) sendBackIf(t *task, begun bool, after time.Duration) {
	if begun {
		v.sendBack(t, after)
		return
	}
	v.pause(t, after)
}
