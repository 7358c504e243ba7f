package cluster

import (
	"context"
	"fmt"
	"hash/fnv"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// An item is a job of a pool, as its submitter sees it. Its fields are guarded by the
// pool's mu, but for those that never change.
type item struct {
	job   tristrand.Job
	n     string
	chunk bool
	said  func(Progress) // nil if nobody wants to know
	named bool           // n is an ID of the user's
	sub   *nats.Subscription

	accepted bool
	state    itemState
	by       string // the worker that has it
	copy     string // which of those stored it has
	stream   string // where it is stored
	seq      uint64
	due      time.Time // not before
	cause    error     // it was asked to stop
	late     error     // the same, before it was begun
	told     time.Time // when the worker was, last
	frame    *frame    // to send it again; nil if it never is
	big      bool      // its input is stored beside it
	since    time.Time
	misses   int // looks for its result that found nothing at all
	unwatch  func() bool
	renewing bool // it is stored again
}

type itemState int

const (
	queued itemState = iota
	begun
	resting // it waits for its next try
	over
)

// Submit stores the job. It waits, under ctx, while there is no room for it, and until it
// is stored: then a worker will run it, whatever becomes of this process.
func (p *Pool) Submit(ctx context.Context, j tristrand.Job) error { return p.submit(ctx, j, true) }

// TrySubmit is Submit that returns tristrand.ErrFull instead of waiting for room.
func (p *Pool) TrySubmit(ctx context.Context, j tristrand.Job) error { return p.submit(ctx, j, false) }

func (p *Pool) submit(ctx context.Context, j tristrand.Job, wait bool) error {
	s := strand.Enter(ctx, strand.Op{Verb: "submit", On: p, Write: true})
	if err := p.Start(ctx); err != nil {
		return err
	}
	if j.Task() == "" {
		return tristrand.ErrNotPortable
	}
	o, err := optionsOf(j.Limits())
	if err != nil {
		return err
	}
	f, err := newFrame(j, o)
	if err != nil {
		return err
	}
	if err := p.reserve(ctx, s, wait); err != nil {
		return err
	}
	it, err := p.enlist(ctx, j, f, o)
	if err != nil {
		p.release()
		return err
	}
	err = p.send(ctx, it, f, o, wait)
	if p.accept(it, err == nil) {
		return nil
	}
	if err == nil {
		err = errClosed
	}
	return err
}

// reserve waits for room.
func (p *Pool) reserve(ctx context.Context, s *strand.Strand, wait bool) error {
	p.mu.Lock()
	switch {
	case p.closing:
		p.mu.Unlock()
		return p.refusal()
	case p.room.Free(p.pending):
	case !wait:
		p.mu.Unlock()
		return fmt.Errorf("%w: %v has %d jobs of this pool that wait for a worker", tristrand.ErrFull, p, p.Queue)
	default:
		p.wake()
		if err := p.room.Await(ctx, &p.mu, s, p); err != nil {
			return err
		}
		if p.closing {
			p.mu.Unlock()
			return p.refusal()
		}
	}
	p.pending++
	p.mu.Unlock()
	return nil
}

func (p *Pool) refusal() error { return fmt.Errorf("%w: %v", tristrand.ErrClosed, p) }

// admit gives room to those who wait for it. The caller holds mu, which is given up
// meanwhile.
func (p *Pool) admit() {
	for p.room.Wanted(p.pending) {
		p.room.Admit(&p.mu)
	}
}

// release gives room back.
func (p *Pool) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending--
	p.admit()
}

// enlist makes the job known, before it can be heard of.
func (p *Pool) enlist(ctx context.Context, j tristrand.Job, f *frame, o callOptions) (*item, error) {
	it := &item{job: j, said: progressOf(ctx), since: time.Now(), unwatch: func() bool { return true }}
	_, it.chunk = j.NewOutput().(tristrand.Outcomes)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closing { // since there was room
		return nil, p.refusal()
	}
	f.Client, f.Asks = p.id, p.id
	if o.id != "" {
		f.Client, f.N, it.named = userClient, escape(o.id), true
	} else {
		p.next++
		f.N = strconv.FormatUint(p.next, 36)
	}
	it.n = f.N
	if p.items[it.n] != nil {
		return nil, fmt.Errorf("cluster: a job with the ID %q is this pool's already: wait for that", o.id)
	}
	f.Times = p.Attempts
	f.Queue, f.Level, f.Host = p.Name, levelOf(j.Limits().Priority), p.host
	if d, ok := j.Context().Deadline(); ok {
		f.Until = p.c.clock.now().Add(time.Until(d)).UnixNano()
	}
	if f.Retries > 0 || it.named {
		it.frame = f
	}
	p.items[it.n] = it
	p.wake()
	return it, nil
}

// userClient stands for the client in the names of jobs that have an ID of the user's. It
// is shorter than any client's.
const userClient = "u"

// accept counts a job that was stored, or forgets one that was not, unless a worker has
// begun it. It reports whether the job is accepted.
func (p *Pool) accept(it *item, ok bool) bool {
	p.mu.Lock()
	ok = ok && it.state != over || it.state == begun || it.accepted
	if ok {
		if !it.accepted {
			it.accepted = true
			p.stats.Submitted++
		}
		p.mu.Unlock()
		if ctx := it.job.Context(); ctx.Done() != nil {
			stop := context.AfterFunc(ctx, func() { p.stop(it, strand.Err(ctx)) })
			p.mu.Lock()
			it.unwatch = stop
			done := it.state == over
			p.mu.Unlock()
			if done {
				stop()
			}
		}
		return true
	}
	if it.state != over {
		p.remove(it)
	}
	p.mu.Unlock()
	return false
}

// send stores the job.
func (p *Pool) send(ctx context.Context, it *item, f *frame, o callOptions, wait bool) error {
	if it.named {
		if done, err := p.follow(ctx, it); done || err != nil {
			return err
		}
	}
	if len(f.Body) > bigBody {
		if err := p.c.putBig(ctx, f.id()+".i", f.Body); err != nil {
			return err
		}
		f.Big, f.Body, it.big = f.id()+".i", nil, true
	}
	if o.later {
		return p.sendLater(ctx, it, f, o)
	}
	if f.Level != 0 {
		if err := p.c.ensureLevel(ctx, p.Name, f.Level, p.c.taskStreams()...); err != nil {
			return err
		}
	}
	return p.post(ctx, it, f, f.id(), wait)
}

// How long a shard has to store a job before another is asked, and how long one goes on
// trying in all.
const (
	shardPatience = 300 * time.Millisecond
	postPatience  = 30 * time.Second
	fullPause     = 20 * time.Millisecond
)

// post publishes the job to a shard, and to the next when that one does not answer. What
// was stored under the key once is not stored again.
func (p *Pool) post(ctx context.Context, it *item, f *frame, key string, wait bool) error {
	data := encode(f)
	hdr := nats.Header{"Nats-Msg-Id": []string{key}}
	n := p.c.info.Shards
	shard := p.pick(it)
	until := time.Now().Add(postPatience)
	for try := 0; ; try++ {
		within := shardPatience
		if n == 1 || it.named || try >= n {
			within = storeWait
		}
		if n > 1 && try >= n && !it.named {
			within = shardPatience * 4
		}
		kind := taskStream(shard)
		r, err := readReceipt(p.c.link.call(ctx, "the storing of a job", p.c.taskSubject(kind, f.Queue, f.Level), hdr, data, within))
		p.mu.Lock()
		if err == nil {
			it.stream, it.seq = p.c.stream(kind), r.Seq
		}
		started := it.state != queued
		closing := p.closing
		p.mu.Unlock()
		switch {
		case err == nil && r.Duplicate && it.named && !started:
			gone, err := p.isGone(ctx, it)
			if !gone || err != nil {
				return err
			}
			hdr = nats.Header{"Nats-Msg-Id": []string{f.id() + "." + formatUint(r.Seq)}}
		case err == nil || started:
			return nil
		case hasCode(err, codeStreamFull):
			if !wait {
				return fmt.Errorf("%w: the store of jobs is: %w", tristrand.ErrFull, err)
			}
			if closing {
				return p.refusal()
			}
			until = time.Now().Add(postPatience)
			if err := strand.Sleep(ctx, fullPause); err != nil {
				return err
			}
		case away(err), hasCode(err, codeUnderWay):
			if time.Now().After(until) {
				return fmt.Errorf("cluster: the job was not stored: %w", err)
			}
			if err := strand.Sleep(ctx, reconnectWait); err != nil {
				return err
			}
			if !it.named {
				shard = (shard + 1) % n
			}
		default:
			return fmt.Errorf("cluster: the job was not stored: %w", err)
		}
	}
}

// pick returns the shard for a job: any, but always the same for an ID.
func (p *Pool) pick(it *item) int {
	n := p.c.info.Shards
	if it.named {
		h := fnv.New32a()
		_, _ = h.Write([]byte(it.n))
		return int(h.Sum32() % uint32(n))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shard++
	return p.shard % n
}

// taskSubject returns where the jobs of a queue and level go to in a shard.
func (c *Cluster) taskSubject(kind, queue string, level int) string {
	return c.subject("t" + kind[len(streamTasks):] + "." + queue + "." + strconv.Itoa(level))
}

// follow subscribes to the result of an ID, which may be there already: it is taken then.
func (p *Pool) follow(ctx context.Context, it *item) (done bool, err error) {
	sub, err := p.c.link.nc.Subscribe(p.c.subject("c."+userClient+".r."+it.n), p.box.put)
	if err != nil {
		return false, fmt.Errorf("cluster: %w", err)
	}
	p.mu.Lock()
	it.sub = sub
	p.mu.Unlock()
	m, err := p.c.link.last(ctx, p.c.stream(streamResults), p.c.subject("r."+userClient+"."+it.n))
	if err != nil || m == nil {
		return false, err
	}
	p.mu.Lock()
	it.accepted = true
	p.stats.Submitted++
	p.mu.Unlock()
	p.arrived(it.n, m.Data)
	return true, nil
}
