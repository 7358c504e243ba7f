package cluster

import (
	"context"

	"github.com/nats-io/nats.go"

	"github.com/tristrand/tristrand"
)

// Those who submit one ID share one stored job, and it is its first submitter who is asked
// whether it may begin: when that one does not want it any more it is gone, and with it
// would be what the others have been promised. So they are told, and store it again; and who
// is told that it was stored before looks whether it is there still.

// tellGone tells those who wait for the result of an ID that there will be none.
func (c *Cluster) tellGone(n string) {
	_ = c.link.nc.Publish(c.subject("c."+userClient+".r."+n), nil)
}

// refuse lets the store forget a job that its submitter does not want.
func (v *service) refuse(t *task) {
	if t.f.Client != userClient {
		t.say("+ACK")
		return
	}
	v.c.link.send(t.reply, nil, []byte("+ACK"), storeWait, func(*nats.Msg, error) { v.c.tellGone(t.f.N) })
}

// isGone reports whether a job of an ID is neither stored nor has a result, which it takes
// if it is there.
func (p *Pool) isGone(ctx context.Context, it *item) (bool, error) {
	p.mu.Lock()
	stream, seq := it.stream, it.seq
	p.mu.Unlock()
	m, err := p.c.link.get(ctx, stream, map[string]any{"seq": seq})
	if m != nil || err != nil {
		return false, err
	}
	if m, err = p.c.link.last(ctx, p.c.stream(streamResults), p.c.subject("r."+userClient+"."+it.n)); m == nil || err != nil {
		return err == nil, err
	}
	p.arrived(it.n, m.Data)
	return false, nil
}

// renew stores a job of an ID again that is gone without a result, unless it has begun or
// is over. If it fails the pool looks for the job again in some seconds.
func (p *Pool) renew(it *item) {
	p.mu.Lock()
	wanted := it.accepted && it.state == queued && !it.renewing && it.seq > 0 && it.stream != p.c.stream(streamLater)
	if wanted {
		it.renewing = true
	}
	seq := it.seq
	p.mu.Unlock()
	if !wanted {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), postPatience)
	defer cancel()
	gone, err := p.isGone(ctx, it)
	if gone && err == nil {
		err = p.post(ctx, it, it.frame, it.frame.id()+"."+formatUint(seq), true)
	}
	p.mu.Lock()
	it.renewing = false
	over, stream, seq := it.state == over, it.stream, it.seq
	p.mu.Unlock()
	if gone && err == nil && over && it.job.State() == tristrand.Cancelled {
		p.withdraw(it, stream, seq) // it was cancelled meanwhile
	}
}
