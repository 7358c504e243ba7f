package cluster

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// How often one who waits looks whether those it waits for are alive.
func (o *object[S]) pollEvery() time.Duration {
	return min(max(o.c.opts.Lease/8, 100*time.Millisecond), time.Second)
}

// listen subscribes to the changes.
func (o *object[S]) listen() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.sub != nil {
		o.users++
		return nil
	}
	sub, err := o.c.link.nc.Subscribe(o.c.subject("e."+o.subj), func(m *nats.Msg) {
		if seq, err := strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64); err == nil {
			o.learn(seq, m.Data, m.Header.Get(headerConcerns))
		}
	})
	if err != nil {
		return fmt.Errorf("%v: %w", o, err)
	}
	o.users++
	o.sub, o.known = sub, false
	o.timer = time.AfterFunc(o.pollEvery()/4, o.poll)
	return nil
}

// unlisten ends a wait, and the subscription some time after the last one.
func (o *object[S]) unlisten(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.users--
	delete(o.waits, id)
	delete(o.vain, id)
}

// poll is the safety net of those who wait: a change may have been missed, or who shall
// make it may be dead.
func (o *object[S]) poll() {
	o.mu.Lock()
	if o.users == 0 {
		_ = o.sub.Unsubscribe()
		o.sub, o.known, o.timer = nil, false, nil
		o.mu.Unlock()
		return
	}
	o.mu.Unlock()
	ctx := context.Background()
	o.reapDead(ctx)
	o.inspectAll(ctx)
	o.mu.Lock()
	if o.sub != nil {
		o.timer = time.AfterFunc(o.pollEvery(), o.poll)
	}
	o.mu.Unlock()
}

// reapDead takes the sessions that have died out of the state, and reports whether there
// were any.
func (o *object[S]) reapDead(ctx context.Context) (changed bool) {
	s, err := o.read(ctx)
	if err != nil {
		return false
	}
	for _, id := range o.sessions(s) {
		if alive, err := o.c.alive(ctx, id); err == nil && !alive {
			_, err = o.update(ctx, func(s *S) error {
				if !o.reap(s, id) {
					return unchanged(nil)
				}
				return nil
			})
			changed = changed || err == nil
		}
	}
	return changed
}

// inTheWay is for who would be refused by the state: it takes out those who have died, which
// those who wait do otherwise, and of whom there may be none. It looks from time to time only,
// and reports whether to try again.
func (o *object[S]) inTheWay(ctx context.Context) bool {
	o.mu.Lock()
	lately := time.Since(o.looked) < o.pollEvery()
	if !lately {
		o.looked = time.Now()
	}
	o.mu.Unlock()
	return !lately && o.reapDead(bounded(ctx))
}

// inspectAll ends the waits that are in vain.
func (o *object[S]) inspectAll(ctx context.Context) {
	if o.inspect == nil {
		return
	}
	o.mu.Lock()
	ids := slices.Collect(maps.Keys(o.waits))
	o.mu.Unlock()
	for id, err := range o.inspect(ctx, ids) {
		o.mu.Lock()
		if o.vain == nil {
			o.vain = make(map[string]error)
		}
		o.vain[id] = err
		o.mu.Unlock()
		o.wakeOne(id)
	}
}
