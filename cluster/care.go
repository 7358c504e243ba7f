package cluster

import (
	"context"
	"fmt"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// How often a pool looks after its jobs.
const (
	sweepPool   = 100 * time.Millisecond
	recheckRest = 5 * time.Second
)

// wake sees to it that the pool looks after its jobs. The caller holds mu.
func (p *Pool) wake() {
	if p.tick == nil {
		p.tick = time.AfterFunc(sweepPool, p.look)
	}
}

func (p *Pool) look() {
	p.sweep()
	p.mu.Lock()
	recheck := time.Since(p.rechecked) > recheckRest
	if recheck {
		p.rechecked = time.Now()
	}
	p.tick = nil
	if len(p.items) > 0 && !p.gone {
		p.wake()
	}
	p.mu.Unlock()
	if recheck {
		go p.recheck()
	}
}

// sweep takes out jobs that were cancelled while they waited, and removes them from the
// store; and it tells again who does not stop.
func (p *Pool) sweep() {
	type telling struct {
		it     *item
		worker string
		cause  error
	}
	var dead []*item
	var tell []telling
	now := time.Now()
	p.mu.Lock()
	for _, it := range p.items {
		switch {
		case it.state != begun && it.accepted && it.job.State() > tristrand.Running:
			dead = append(dead, it)
		case it.state == begun && it.cause != nil && now.Sub(it.told) > time.Second:
			it.told = now
			tell = append(tell, telling{it, it.by, it.cause})
		}
	}
	p.mu.Unlock()
	for _, it := range dead {
		p.forget(it)
	}
	for _, t := range tell {
		p.tellStop(t.it, t.worker, t.cause)
	}
}

// maxRecheck bounds how many results are looked for at a time.
const maxRecheck = 256

// recheck looks in the store for results that may have been missed.
func (p *Pool) recheck() {
	ctx := context.Background()
	p.mu.Lock()
	var look []*item
	for _, it := range p.items {
		if it.accepted && time.Since(it.since) > time.Second {
			look = append(look, it)
		}
		if len(look) == maxRecheck {
			break
		}
	}
	p.mu.Unlock()
	for _, it := range look {
		client := p.id
		if it.named {
			client = userClient
		}
		m, err := p.c.link.last(ctx, p.c.stream(streamResults), p.c.subject("r."+client+"."+it.n))
		if err != nil {
			return // the next time
		}
		if m != nil {
			p.arrived(it.n, m.Data)
			continue
		}
		p.checkLost(ctx, it)
	}
}

// checkLost gives up a job that is neither stored nor has a result.
func (p *Pool) checkLost(ctx context.Context, it *item) {
	p.mu.Lock()
	stream, seq := it.stream, it.seq
	p.mu.Unlock()
	if seq == 0 {
		return
	}
	m, err := p.c.link.get(ctx, stream, map[string]any{"seq": seq})
	if err != nil || m != nil {
		return
	}
	p.mu.Lock()
	it.misses++
	lost, waits := it.misses > 2, it.state == queued
	p.mu.Unlock()
	switch {
	case lost && it.named && waits:
		p.renew(it)
	case lost:
		p.end(it, nil, tristrand.Permanent(fmt.Errorf("%w: %s is neither stored nor has it a result: the store may have lost it", tristrand.ErrOutcomeUnknown, it.job.ID())))
	}
}

// awaitDrained waits for the last job.
func (p *Pool) awaitDrained(ctx context.Context, s *strand.Strand) error {
	return p.ending.Await(ctx, &p.mu, s, p.drained, pending("the jobs of "+p.String()))
}
