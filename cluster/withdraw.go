package cluster

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/tristrand/tristrand"
)

// A job that was cancelled before it began shall never begin. Its submitter says so to the
// worker that asks, and sees to it that a worker which asks when the submitter is gone finds
// it gone from the store, too: a pool stays until the store has said so.

// withdraw takes a job that was cancelled out of the store.
func (p *Pool) withdraw(it *item, stream string, seq uint64) {
	later := stream == p.c.stream(streamLater)
	if seq == 0 && !later {
		return
	}
	p.mu.Lock()
	p.erasing++
	p.mu.Unlock()
	if seq == 0 {
		p.revoke(it)
		return
	}
	data, _ := json.Marshal(map[string]any{"seq": seq, "no_erase": true})
	p.c.link.send("$JS.API.STREAM.MSG.DELETE."+stream, nil, data, storeWait, func(m *nats.Msg, err error) {
		if err == nil {
			err = readAnswer(m, nil)
		}
		if later && hasCode(err, codeNoMessage, codeNotDeleted) {
			p.revoke(it) // it is due, and stored as another
			return
		}
		if it.named && err == nil {
			p.c.tellGone(it.n)
		}
		p.withdrawn()
	})
}

// revoke stores the result of a job of which it is not known where it is stored.
func (p *Pool) revoke(it *item) {
	client := p.id
	if it.named {
		client = userClient
	}
	data := encode(&result{Fault: faults.Of(tristrand.Permanent(tristrand.ErrCancelled))})
	p.c.link.send(p.c.subject("r."+client+"."+it.n), firstResult, data, storeWait, func(*nats.Msg, error) { p.withdrawn() })
}

// withdrawn ends a withdrawal.
func (p *Pool) withdrawn() {
	p.mu.Lock()
	p.erasing--
	p.drained()
	p.mu.Unlock()
}

// unasked begins a task whose submitter does not answer, unless that has withdrawn it.
func (v *service) unasked(t *task) {
	where, which := v.c.stream(streamResults), map[string]any{}
	if t.src.kind == streamLater {
		which["last_by_subj"] = v.c.subject("r." + t.f.id())
	} else {
		stream, seq, _ := strings.Cut(t.copy, "/")
		where, which["seq"] = stream, json.Number(seq)
	}
	data, err := json.Marshal(which)
	if err != nil || t.copy == "" {
		v.allowed(t, verdict{Do: doRun}, true)
		return
	}
	v.c.link.send("$JS.API.STREAM.MSG.GET."+where, nil, data, readWait, func(m *nats.Msg, err error) {
		if err == nil {
			err = readAnswer(m, nil)
		}
		later := t.src.kind == streamLater
		switch {
		case errors.Is(err, errLinkClosed):
			v.lose(t)
		case !later && hasCode(err, codeNoMessage):
			// It is not acknowledged: a leader that was stopped, and does not know yet that it
			// is none, has not heard of the newest jobs. Then it is delivered again.
			v.lose(t)
			v.fill()
		case later && err == nil:
			v.allowed(t, verdict{Do: doDrop}, true)
		default:
			v.allowed(t, verdict{Do: doRun}, true)
		}
	})
}
