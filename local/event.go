package local

import (
	"context"
	"sync"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// An Event is a flag to wait for. The zero value is clear.
type Event struct {
	// Name is shown in errors; "" shows the address.
	Name string

	mu    sync.Mutex // guards the rest
	set   bool
	queue waiters
}

var _ tristrand.Event = (*Event)(nil)

// NewEvent returns an event that is clear.
func NewEvent() *Event { return new(Event) }

// Wait waits until the flag is set. Every strand that waits when Set is called
// passes, even if Clear follows at once.
func (e *Event) Wait(ctx context.Context) error {
	s := strand.Enter(ctx, strand.Op{Verb: "wait", On: e})
	if ctx.Err() != nil {
		return strand.Err(ctx)
	}
	e.mu.Lock()
	if e.set {
		e.mu.Unlock()
		return nil
	}
	n := &waiter{w: s.NewWait()}
	e.queue.pushBack(n)
	e.mu.Unlock()
	err := n.w.Park(ctx, e)
	if err != nil {
		e.mu.Lock()
		e.queue.remove(n)
		e.mu.Unlock()
	}
	return err
}

// Set sets the flag and lets all who wait pass.
func (e *Event) Set(ctx context.Context) error {
	strand.Enter(ctx, strand.Op{Verb: "set", On: e, Write: true})
	e.mu.Lock()
	e.set = true
	all := e.queue.popAll()
	e.mu.Unlock()
	grant(all, passed)
	return nil
}

// Clear clears the flag.
func (e *Event) Clear(ctx context.Context) error {
	strand.Enter(ctx, strand.Op{Verb: "clear", On: e, Write: true})
	e.mu.Lock()
	e.set = false
	e.mu.Unlock()
	return nil
}

// State returns what the event looks like. It does not wait.
func (e *Event) State(context.Context) (tristrand.EventState, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return tristrand.EventState{Set: e.set, Waiting: e.queue.n}, nil
}

// String names the event for errors.
func (e *Event) String() string { return nameOf("event", e.Name, e) }

// Releasers says that anyone could set it.
func (e *Event) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) { return buf, false }
