package tristrand

import (
	"context"
	"sync"

	"github.com/tristrand/tristrand/strand"
)

// An arriving is something that calls back when it is done, unless that is taken back.
type arriving interface {
	onDone(under context.Context, by *arrivals, fn func())
	offDone(by *arrivals)
	resource() strand.Resource
}

func (f *Future[T]) resource() strand.Resource { return &f.outcome }

// arrivals hands what is done to one strand, in the order of arrival.
type arrivals struct {
	mu      sync.Mutex
	ready   []arriving
	pending map[arriving]struct{}
	parked  bool
	w       strand.Wait
}

// expect makes x one that will arrive. under is the ctx that it is waited for
// under.
func (a *arrivals) expect(under context.Context, x arriving) {
	a.mu.Lock()
	if a.pending == nil {
		a.pending = make(map[arriving]struct{})
	}
	a.pending[x] = struct{}{}
	a.mu.Unlock()
	x.onDone(under, a, func() { a.add(x) })
}

// leave ends the wait for those that have not arrived.
func (a *arrivals) leave() {
	a.mu.Lock()
	pending := a.pending
	a.pending = nil
	a.mu.Unlock()
	for x := range pending {
		x.offDone(a)
	}
}

func (a *arrivals) add(x arriving) {
	a.mu.Lock()
	delete(a.pending, x)
	a.ready = append(a.ready, x)
	w, parked := a.w, a.parked
	a.parked = false
	a.mu.Unlock()
	if parked {
		w.Grant()
	}
}

func (a *arrivals) any() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.ready) > 0
}

// next waits for an arrival and takes it.
func (a *arrivals) next(ctx context.Context) (arriving, error) {
	s := strand.Enter(ctx, strand.Op{Verb: "wait", On: a})
	for {
		if err := strand.Err(ctx); err != nil && !a.any() {
			return nil, err
		}
		a.mu.Lock()
		if len(a.ready) > 0 {
			x := a.ready[0]
			a.ready[0] = nil
			a.ready = a.ready[1:]
			a.mu.Unlock()
			return x, nil
		}
		w := s.NewWait()
		a.w, a.parked = w, true
		a.mu.Unlock()
		if err := w.Park(ctx, a); err != nil {
			a.mu.Lock()
			a.parked = false
			a.mu.Unlock()
			return nil, err
		}
	}
}

func (a *arrivals) String() string { return "the first of several results" }

// Releasers returns those of what has not arrived.
func (a *arrivals) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) {
	a.mu.Lock()
	on := make(anyOf, 0, len(a.pending))
	for x := range a.pending {
		on = append(on, x.resource())
	}
	a.mu.Unlock()
	return on.Releasers(buf)
}

// anyOf is a resource that one of several will end the wait for. A nil is one of
// which nothing is known.
type anyOf []strand.Resource

func (on anyOf) String() string {
	if len(on) == 1 && on[0] != nil {
		return on[0].String()
	}
	return "the first of several results"
}

// Releasers returns all who could end the wait. It stops at the first who does
// not wait himself: there is no deadlock then, and there may be many to ask.
func (on anyOf) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) {
	for _, r := range on {
		if r == nil {
			return buf, false
		}
		from := len(buf)
		var closed bool
		if buf, closed = r.Releasers(buf); !closed {
			return buf, false
		}
		for _, x := range buf[from:] {
			if s := strand.Find(x.Ref.Strand); x.Ref.Process == 0 && (s == nil || s.Waiting() == nil) {
				return buf, true
			}
		}
	}
	return buf, true
}

func resourceOf(f Waitable) strand.Resource {
	switch f := f.(type) {
	case arriving:
		return f.resource()
	case strand.Resource:
		return f
	default:
		return nil
	}
}
