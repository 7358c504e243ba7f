package cluster

import (
	"context"
	"slices"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// An Event is a flag to wait for.
type Event struct{ o *object[eventState] }

type eventState struct {
	Set   bool       `cbor:"1,keyasint,omitempty"`
	Queue []claimant `cbor:"2,keyasint,omitempty"`
}

var _ tristrand.Event = (*Event)(nil)

// NewEvent returns the event of that name, which is not set when it is made.
func NewEvent(c *Cluster, name string) *Event {
	o := newObject[eventState](c, "event", name)
	o.reap = func(s *eventState, session string) bool {
		n := len(s.Queue)
		s.Queue = slices.DeleteFunc(s.Queue, func(q claimant) bool { return q.Session == session })
		return len(s.Queue) != n
	}
	o.sessions = func(s *eventState) []string { return sessionsIn(s.Queue) }
	return &Event{o}
}

// sessionsIn returns the sessions of those who wait.
func sessionsIn(queue []claimant) []string {
	var all []string
	for _, q := range queue {
		if !slices.Contains(all, q.Session) {
			all = append(all, q.Session)
		}
	}
	return all
}

func (e *Event) String() string { return e.o.String() }

// Releasers says that anyone could end the wait.
func (e *Event) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) { return buf, false }

// Wait waits until the flag is set.
func (e *Event) Wait(ctx context.Context) error {
	s := strand.Enter(ctx, strand.Op{Verb: "wait", On: e})
	if err := strand.Err(ctx); err != nil {
		return err
	}
	sess, me, err := e.o.claim(ctx, s, 0)
	if err != nil {
		return err
	}
	passed := false
	_, err = e.o.update(bounded(ctx), func(st *eventState) error {
		in := slices.ContainsFunc(st.Queue, func(q claimant) bool { return q.ID == me.ID })
		if passed = st.Set; passed || in {
			return unchanged(nil)
		}
		st.Queue = append(st.Queue, me)
		return nil
	})
	if err != nil || passed {
		return err
	}
	waits := func(st *eventState) bool {
		return slices.ContainsFunc(st.Queue, func(q claimant) bool { return q.ID == me.ID })
	}
	err = e.o.await(ctx, s, e, sess, me.ID, func(st *eventState) (bool, error) { return !waits(st), nil })
	if err == nil {
		return nil
	}
	return e.o.withdraw(ctx, sess, err, func(st *eventState) bool {
		n := len(st.Queue)
		st.Queue = slices.DeleteFunc(st.Queue, func(q claimant) bool { return q.ID == me.ID })
		return len(st.Queue) < n
	})
}

// Set sets the flag: all who wait pass.
func (e *Event) Set(ctx context.Context) error {
	return e.change(ctx, "set", func(st *eventState) bool {
		changed := !st.Set || len(st.Queue) > 0
		st.Set, st.Queue = true, nil
		return changed
	})
}

// Clear takes the flag back.
func (e *Event) Clear(ctx context.Context) error {
	return e.change(ctx, "clear", func(st *eventState) bool {
		changed := st.Set
		st.Set = false
		return changed
	})
}

func (e *Event) change(ctx context.Context, verb string, fn func(st *eventState) bool) error {
	strand.Enter(ctx, strand.Op{Verb: verb, On: e, Write: true})
	if _, err := e.o.read(bounded(ctx)); err != nil { // what is known may be old
		return err
	}
	_, err := e.o.update(bounded(ctx), func(st *eventState) error {
		if !fn(st) {
			return unchanged(nil)
		}
		return nil
	})
	return err
}

// State returns what the event looks like.
func (e *Event) State(ctx context.Context) (tristrand.EventState, error) {
	st, err := e.o.read(bounded(ctx))
	if err != nil {
		return tristrand.EventState{}, err
	}
	return tristrand.EventState{Set: st.Set, Waiting: len(st.Queue)}, nil
}
