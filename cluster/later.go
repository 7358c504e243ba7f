package cluster

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/wire"
)

// sendLater stores a job that is due later: the store itself publishes it then.
func (p *Pool) sendLater(ctx context.Context, it *item, f *frame, o callOptions) error {
	at := o.at
	if at.IsZero() {
		at = p.c.clock.latest().Add(o.after) // not too early, whatever the clocks
	}
	p.mu.Lock()
	it.due = time.Now().Add(at.Sub(p.c.clock.now()))
	it.state = resting
	p.pending--
	time.AfterFunc(time.Until(it.due), func() { p.dueAgain(it) })
	p.admit()
	p.mu.Unlock()
	seq, err := p.c.schedule(ctx, f, "j."+f.id(), "@at "+at.UTC().Format(time.RFC3339Nano))
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	it.stream, it.seq = p.c.stream(streamLater), seq
	return nil
}

// schedule stores a job with the times at which the store publishes it.
func (c *Cluster) schedule(ctx context.Context, f *frame, name, when string) (seq uint64, err error) {
	if err := c.ensure(ctx, streamLater); err != nil {
		return 0, err
	}
	if err := c.ensureLevel(ctx, f.Queue, f.Level, streamLater); err != nil {
		return 0, err
	}
	hdr := nats.Header{
		"Nats-Schedule":        []string{when},
		"Nats-Schedule-Target": []string{c.subject("l.d." + f.Queue + "." + strconv.Itoa(f.Level))},
	}
	r, err := c.link.store(ctx, "the storing of a job", c.subject("l.s."+name), hdr, encode(f))
	if err != nil {
		return 0, fmt.Errorf("cluster: the schedule %q was not stored: %w", when, err)
	}
	return r.Seq, nil
}

// Repeat has a task run again and again, by the cluster, whether or not this process
// lives: spec is "@every 5s" (at least 1s) or six fields of cron, seconds first, with UTC
// meant. A schedule of the same name is replaced. What a run returns nobody gets; one that
// fails is a dead letter.
func (p *Pool) Repeat(ctx context.Context, name, spec string, job tristrand.Bound) error {
	if err := p.Start(ctx); err != nil {
		return err
	}
	if job.Task() == "" {
		return tristrand.ErrNotPortable
	}
	body, raw, err := pack("input", job.Input())
	if err != nil {
		return fmt.Errorf("cluster: task %q: %w", job.Task(), err)
	}
	// Its runs have the schedule's name, and results are of single jobs: so none is kept.
	f := &frame{Task: job.Task(), Body: body, Raw: raw, Client: scheduleClient, N: escape(name), Queue: p.Name, Host: p.host, Times: p.Attempts}
	_, err = p.c.schedule(ctx, f, "c."+p.Name+"."+escape(name), spec)
	return err
}

// scheduleClient stands for the client in the names of jobs that a schedule repeats.
const scheduleClient = "s"

// A Schedule is a task that is repeated.
type Schedule struct{ Name, Spec, Task, Queue string }

// Schedules yields what Repeat has set up.
func (c *Cluster) Schedules(ctx context.Context) iter.Seq2[Schedule, error] {
	return func(yield func(Schedule, error) bool) {
		for seq := uint64(1); ; {
			m, err := c.link.get(ctx, c.stream(streamLater), map[string]any{"seq": seq, "next_by_subj": c.subject("l.s.c.>")})
			if hasCode(err, codeNoStream) || err == nil && m == nil {
				return
			}
			if err != nil {
				yield(Schedule{}, err)
				return
			}
			seq = m.Seq + 1
			var f frame
			if err := wire.Decode(m.Data, &f); err != nil {
				continue
			}
			if !yield(Schedule{unescape(f.N), m.header("Nats-Schedule"), f.Task, f.Queue}, nil) {
				return
			}
		}
	}
}

// ErrNoSchedule says that there is no schedule of a name.
var ErrNoSchedule = errors.New("cluster: there is no such schedule")

// Unrepeat ends what Repeat began, under the same name and queue.
func (p *Pool) Unrepeat(ctx context.Context, name string) error {
	if err := p.Start(ctx); err != nil {
		return err
	}
	m, err := p.c.link.last(ctx, p.c.stream(streamLater), p.c.subject("l.s.c."+p.Name+"."+escape(name)))
	if hasCode(err, codeNoStream) || err == nil && m == nil {
		return fmt.Errorf("%w: %q", ErrNoSchedule, name)
	}
	if err != nil {
		return err
	}
	return p.c.link.erase(ctx, p.c.stream(streamLater), m.Seq)
}

// repeated reports whether a job is one of a schedule's runs.
func (f *frame) repeated() bool {
	return strings.HasPrefix(f.Client, scheduleClient) && len(f.Client) == 1
}
