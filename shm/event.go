package shm

import (
	"context"
	"sync/atomic"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// An Event is a flag that the strands of several processes wait for. It is made
// by NewEvent, or arrives as a field of a task's input or output.
type Event struct{ object }

var _ tristrand.Event = (*Event)(nil)

// The word of an event is how often it has been set, and whether it is now.
type eventCell struct {
	_    cell
	word atomic.Uint64
}

const (
	eventSet   = 1
	eventShift = 1
)

func eventAt(a *arena, unit uint32) *eventCell { return cellAt[eventCell](a, unit) }

// NewEvent returns an event that is clear. For the name and errors see NewLock.
func NewEvent(name string) (*Event, error) {
	e := new(Event)
	if err := e.make(kindEvent, name, units[eventCell]()); err != nil {
		return nil, err
	}
	return e, nil
}

// Wait waits until the flag is set. Every strand that waits when Set is called
// passes, even if Clear follows at once.
func (e *Event) Wait(ctx context.Context) error {
	s := strand.Enter(ctx, strand.Op{Verb: "wait", On: e})
	if ctx.Err() != nil {
		return strand.Err(ctx)
	}
	if err := e.usable("event"); err != nil {
		return err
	}
	a, c := e.a, eventAt(e.a, e.unit)
	if c.word.Load()&eventSet != 0 {
		a.shadow.acquire(e.unit)
		return nil
	}
	t, err := a.waiter(ctx, s, e.unit)
	if err != nil {
		return err
	}
	defer t.done()
	// A Set between the two looks at the word may or may not have seen the wait.
	before := c.word.Load() >> eventShift
	t.enter(ctx, 0, before, false)
	if w := c.word.Load(); w&eventSet != 0 || w>>eventShift != before {
		t.cancel()
		a.shadow.acquire(e.unit)
		return nil
	}
	err = t.park(ctx, e)
	if t.leave() == passed {
		return nil
	}
	return err
}

// Set sets the flag and lets all who wait pass.
func (e *Event) Set(ctx context.Context) error {
	strand.Enter(ctx, strand.Op{Verb: "set", On: e, Write: true})
	if err := e.usable("event"); err != nil {
		return err
	}
	a, c := e.a, eventAt(e.a, e.unit)
	a.shadow.release(e.unit)
	for w := c.word.Load(); w&eventSet == 0; w = c.word.Load() {
		if c.word.CompareAndSwap(w, (w>>eventShift+1)<<eventShift|eventSet) {
			break
		}
	}
	a.wake(e.unit, 0, -1, passed)
	return nil
}

// kickEvent lets those pass who waited when a process that has died set it.
func (a *arena) kickEvent(unit uint32) {
	c := eventAt(a, unit)
	for i, v := range a.waiting(unit, 0) {
		if w := c.word.Load(); w&eventSet != 0 || w>>eventShift != a.mem.faces[i].mark.Load() {
			a.settle(i, numberOf(v), passed)
		}
	}
}

// Clear clears the flag.
func (e *Event) Clear(ctx context.Context) error {
	strand.Enter(ctx, strand.Op{Verb: "clear", On: e, Write: true})
	if err := e.usable("event"); err != nil {
		return err
	}
	eventAt(e.a, e.unit).word.And(^uint64(eventSet))
	return nil
}

// State returns what the event looks like. It does not wait.
func (e *Event) State(context.Context) (tristrand.EventState, error) {
	if err := e.usable("event"); err != nil {
		return tristrand.EventState{}, err
	}
	set := eventAt(e.a, e.unit).word.Load()&eventSet != 0
	return tristrand.EventState{Set: set, Waiting: e.a.count(e.unit, 0)}, nil
}

// String names the event for errors.
func (e *Event) String() string { return e.name("event") }

// Releasers says that anyone could set it.
func (e *Event) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) { return buf, false }

// MarshalCBOR encodes where the event is.
func (e *Event) MarshalCBOR() ([]byte, error) { return e.marshal("Event") }

// UnmarshalCBOR makes e the event that was encoded.
func (e *Event) UnmarshalCBOR(data []byte) error { return e.unmarshal(data, "Event", kindEvent) }
