package strand

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// A DeadlockError says that a wait cannot succeed, however long it lasts,
// because all who could end it wait too.
type DeadlockError struct {
	// Cycle begins with the strand whose wait it was. Each link's holder is the
	// next link's waiter, and the last one's holder the first waiter, unless the
	// wait timed out and was for others that are locked together.
	Cycle []Link
}

// A Link is one wait in a deadlock.
type Link struct {
	Waiter  string // the strand's name
	On      string // what it waits for
	Holder  string // the strand that could end the wait, "" if any could
	TakenAt string // "dir/file.go:line" where the holder took it, "" if it took nothing
}

func (l Link) String() string {
	s := fmt.Sprintf("%q waits for %s", l.Waiter, l.On)
	if l.Holder != "" {
		s += fmt.Sprintf(", held by %q", l.Holder)
	}
	if l.TakenAt != "" {
		s += " since " + l.TakenAt
	}
	return s
}

func (e *DeadlockError) Error() string {
	parts := make([]string, len(e.Cycle))
	for i, l := range e.Cycle {
		parts[i] = l.String()
	}
	return "deadlock: " + strings.Join(parts, "; ")
}

// A node is a strand that a walk has reached.
type node struct {
	ref  Ref
	s    *Strand // nil for one elsewhere
	name string  // of one elsewhere
	e    edge
	from int // index of the node that it was reached from
	rs   []Releaser
}

// detect makes sure that of a closed set exactly one strand is refused.
var detect sync.Mutex

// refuse ends the wait and says why if it can never be granted. It also tells
// on about an owner that has ended, in case on was not told because this
// waiter could not be seen yet. timed says that a deadline will end the wait.
func (w Wait) refuse(on Resource, timed bool) error {
	s := w.s
	rs, closed := on.Releasers(s.looked[:0])
	if !closed || len(rs) == 0 {
		return nil // as is usual, and in a function with little stack
	}
	return w.refuseClosed(on, rs, timed)
}

// refuseClosed is refuse for a wait that only rs could end.
//
//go:noinline
func (w Wait) refuseClosed(on Resource, rs []Releaser, timed bool) error {
	s := w.s
	for _, r := range rs {
		if r.Ref.Process != 0 {
			if _, waits := look(r.Ref); !waits {
				return nil
			}
			continue
		}
		t := Find(r.Ref.Strand)
		if t == nil {
			return nil // it let go meanwhile
		}
		if t.ended.Load() {
			edge{on: on}.tellEnded(t)
			return nil
		}
		if _, waits := t.waiting(); !waits && t != s {
			return nil
		}
	}
	if s.kind == Nameless || timed {
		return nil
	}
	seen := s.locked(on)
	if seen == nil {
		return nil
	}
	detect.Lock()
	defer detect.Unlock()
	var err error
	arbitrate(seen, func() {
		if nodes := s.locked(on); nodes != nil {
			if dead := newDeadlockError(nodes); w.end(on) {
				err = dead
			}
		}
	})
	return err
}

// A doom is what Recheck found of a wait.
type doom struct {
	seq uint64
	err error
}

// Recheck refuses a wait that is parked if it can never be granted any more.
// Whoever takes a strand out of a closed set calls it for the waits on the set:
// the last to wait has seen a set that was not closed.
func (w Wait) Recheck() {
	s := w.s
	e, ok := s.waiting()
	if !ok || e.seq != w.seq || e.timed || s.kind == Nameless {
		return
	}
	seen := s.locked(e.on)
	if seen == nil {
		return
	}
	detect.Lock()
	defer detect.Unlock()
	arbitrate(seen, func() {
		nodes := s.locked(e.on)
		if nodes == nil {
			return
		}
		s.doom.Store(&doom{w.seq, newDeadlockError(nodes)})
		if w.end(e.on) {
			s.wake()
		}
	})
}

// verdict returns what Recheck found, nil if the wait was not refused by it.
func (w Wait) verdict() error {
	if d := w.s.doom.Load(); d != nil && d.seq == w.seq && w.is(over) {
		return d.err
	}
	return nil
}

// locked returns the strands that s, which waits for on, is locked together with,
// nil if it is in no deadlock. All of them must wait for s in the end: those that
// do not are a deadlock without it, of which another one is the victim, and
// then s may go on.
func (s *Strand) locked(on Resource) []node {
	nodes := s.walk(on, false)
	if nodes == nil {
		return nil
	}
	waits := map[Ref]bool{nodes[0].ref: true} // for s, in the end
	for more := true; more; {
		more = false
		for _, n := range nodes {
			if !waits[n.ref] && slices.ContainsFunc(n.rs, func(r Releaser) bool { return waits[r.Ref] }) {
				waits[n.ref], more = true, true
			}
		}
	}
	if len(waits) < len(nodes) || closer(nodes) < 0 {
		return nil
	}
	return nodes
}

// closer returns the index of a node that waits for the first one, the nearest
// to it; -1 if none does.
func closer(nodes []node) int {
	return slices.IndexFunc(nodes, func(n node) bool {
		return slices.ContainsFunc(n.rs, func(r Releaser) bool { return r.Ref == nodes[0].ref })
	})
}

// walk returns the strands that can be reached from s, which waits for on, if
// all of them wait on closed sets, and nil otherwise. Every edge is looked at
// twice: as no strand moves in between, there is a moment at which all of the
// edges existed together, and from then on nothing could change.
func (s *Strand) walk(on Resource, ignoreDeadlines bool) []node {
	nodes := []node{{ref: s.Ref(), s: s, e: edge{on: on}, from: -1}}
	for i := 0; i < len(nodes); i++ {
		rs, closed := sorted(nodes[i].e.on)
		if !closed || len(rs) == 0 {
			return nil
		}
		nodes[i].rs = rs
		for _, r := range rs {
			switch {
			case r.Ref.Strand == 0:
				return nil // nameless: nothing is known of it
			case r.Ref == s.Ref():
				continue // the cycle closes here
			case r.Ref == nodes[i].ref && len(rs) == 1:
				return nil // it has been given what it waits for and is about to run
			case slices.ContainsFunc(nodes, func(n node) bool { return n.ref == r.Ref }):
				continue
			}
			n, ok := look(r.Ref)
			if !ok || n.e.timed && !ignoreDeadlines {
				return nil
			}
			n.from = i
			nodes = append(nodes, n)
		}
	}
	for i, n := range nodes {
		if i > 0 && !n.still() {
			return nil
		}
		rs, closed := sorted(n.e.on)
		if !closed || !slices.Equal(rs, n.rs) {
			return nil
		}
	}
	return nodes
}

// sorted returns the releasers of on in an order that two looks can be compared
// in.
func sorted(on Resource) ([]Releaser, bool) {
	rs, closed := on.Releasers(nil)
	slices.SortFunc(rs, func(a, b Releaser) int {
		return cmp.Or(cmp.Compare(a.Ref.Process, b.Ref.Process), cmp.Compare(a.Ref.Strand, b.Ref.Strand))
	})
	return rs, closed
}

// look returns the node of a strand that waits.
func look(r Ref) (node, bool) {
	if r.Process == 0 {
		t := Find(r.Strand)
		if t == nil {
			return node{}, false
		}
		e, ok := t.waiting()
		return node{ref: r, s: t, e: e}, ok
	}
	for g := range Published() {
		if on, deadline, ok := g.Waiting(r); ok {
			name := ""
			if n, ok := g.(Namer); ok {
				name = n.Name(r)
			}
			if name == "" {
				name = fmt.Sprintf("strand %d of process %d", r.Strand, r.Process)
			}
			return node{ref: r, name: name, e: edge{on: on, timed: !deadline.IsZero()}}, true
		}
	}
	return node{}, false
}

// still reports whether n waits as it did when it was looked at.
func (n node) still() bool {
	m, ok := look(n.ref)
	if !ok || n.s != nil {
		return ok && m.e.seq == n.e.seq
	}
	a, ok1 := m.e.on.(Numbered)
	b, ok2 := n.e.on.(Numbered)
	if ok1 && ok2 && a.Number() != b.Number() {
		return false
	}
	return m.e.on.String() == n.e.on.String()
}

func (n node) String() string {
	if n.s != nil {
		return n.s.Name()
	}
	return n.name
}

// newDeadlockError picks from the nodes of a walk the cycle that its first node
// is on or, if it is on none, all of them.
func newDeadlockError(nodes []node) *DeadlockError {
	start := nodes[0].ref
	last := closer(nodes)
	var path []int
	if last >= 0 {
		for i := last; i >= 0; i = nodes[i].from {
			path = append(path, i)
		}
		slices.Reverse(path)
	} else {
		for i := range nodes {
			path = append(path, i)
		}
	}
	err := &DeadlockError{}
	for k, i := range path {
		n, next := nodes[i], start
		switch {
		case last < 0:
			next = n.rs[0].Ref
		case k+1 < len(path):
			next = nodes[path[k+1]].ref
		}
		r := n.rs[slices.IndexFunc(n.rs, func(r Releaser) bool { return r.Ref == next })]
		holder := nodes[slices.IndexFunc(nodes, func(n node) bool { return n.ref == next })]
		err.Cycle = append(err.Cycle, Link{n.String(), n.e.on.String(), holder.String(), Place(r.Where)})
	}
	return err
}
