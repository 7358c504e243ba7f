package strand

import (
	"context"
	"iter"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Resource is something to wait for.
type Resource interface {
	// String names it for people.
	String() string
	// Releasers appends the strands that could end a wait on it. With closed
	// false anyone could. It is called while others use the resource.
	Releasers(buf []Releaser) (rs []Releaser, closed bool)
}

// A Releaser is a strand that could end a wait.
type Releaser struct {
	Ref   Ref
	Where uintptr // return address of the acquisition, 0 if there was none
}

// A Graph is a part of the wait-for graph that is held elsewhere: another
// process's, a cluster's.
type Graph interface {
	// Waiting says what r waits for. A deadline that is zero means none.
	Waiting(r Ref) (on Resource, deadline time.Time, ok bool)
	// Strands yields what is known of the strands there.
	Strands(ctx context.Context) iter.Seq2[View, error]
}

// A View is what is known of a strand at one moment.
type View struct {
	Ref     Ref
	Process string // "" is this one
	Name    string
	Kind    Kind
	Parent  ID
	State   State
	Waiting string // for what, "" when it does not wait
}

// View returns what the strand does now.
func (s *Strand) View() View {
	v := View{Ref: s.Ref(), Name: s.Name(), Kind: s.kind, Parent: s.parent, State: s.State()}
	if on := s.Waiting(); on != nil {
		v.Waiting = on.String()
	}
	return v
}

var graphs struct {
	mu   sync.Mutex
	list atomic.Pointer[[]*Graph]
}

// Publish adds g to the wait-for graph until remove is called.
func Publish(g Graph) (remove func()) {
	p := &g
	change := func(f func([]*Graph) []*Graph) {
		graphs.mu.Lock()
		defer graphs.mu.Unlock()
		var old []*Graph
		if l := graphs.list.Load(); l != nil {
			old = slices.Clone(*l)
		}
		old = f(old)
		graphs.list.Store(&old)
	}
	change(func(l []*Graph) []*Graph { return append(l, p) })
	return func() {
		change(func(l []*Graph) []*Graph {
			return slices.DeleteFunc(l, func(x *Graph) bool { return x == p })
		})
	}
}

// Published yields the graphs of elsewhere.
func Published() iter.Seq[Graph] {
	return func(yield func(Graph) bool) {
		l := graphs.list.Load()
		if l == nil {
			return
		}
		for _, g := range *l {
			if !yield(*g) {
				return
			}
		}
	}
}

// An edge is what a strand waits for.
type edge struct {
	on    Resource
	seq   uint64
	timed bool // a deadline will end it
}

// tellEnded tells the resource that the strand s has ended.
func (e edge) tellEnded(s *Strand) {
	if oe, ok := e.on.(OwnerEnder); ok {
		oe.OwnerEnded(s)
	}
}

// waiting returns the edge of a strand that waits.
func (s *Strand) waiting() (edge, bool) {
	for {
		p := s.phase.Load()
		if p&phaseMask != open || p&visible == 0 {
			return edge{}, false
		}
		if p&reading != 0 || !s.phase.CompareAndSwap(p, p|reading) {
			runtime.Gosched() // another reads it
			continue
		}
		e := edge{s.on, s.onSeq, s.onTimed}
		s.phase.And(^uint64(reading))
		return e, true
	}
}

// Bounded reports whether a deadline will end what the strand waits for.
func (s *Strand) Bounded() bool {
	e, ok := s.waiting()
	return ok && e.timed
}

// publish makes the wait's edge visible, unless it has been settled before. A
// nameless waiter is in the table for as long as it waits.
func (w Wait) publish(ctx context.Context, on Resource) (timed, ok bool) {
	s := w.s
	if ctx == context.Context(&s.ctx) {
		timed = s.ownTimed()
	} else {
		_, timed = ctx.Deadline()
	}
	s.on, s.onSeq, s.onTimed = on, w.seq, timed
	if s.kind == Nameless {
		register(s)
	}
	if !s.phase.CompareAndSwap(w.seq<<seqShift|open, w.seq<<seqShift|open|visible) {
		w.withdraw()
		return timed, false
	}
	return timed, true
}

// ownTimed reports whether the strand's own ctx has a deadline, which never
// changes and takes a way up through all its parents to find out.
func (s *Strand) ownTimed() bool {
	if s.timed == 0 {
		s.timed = 1
		if _, ok := s.ctx.Deadline(); ok {
			s.timed = 2
		}
	}
	return s.timed == 2
}

// withdraw forgets the edge of a wait that has been settled.
func (w Wait) withdraw() {
	w.s.on = nil
	if w.s.kind == Nameless {
		unregister(w.s)
	}
}
