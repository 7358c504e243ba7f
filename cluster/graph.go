package cluster

import (
	"context"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/wire"
	"github.com/tristrand/tristrand/strand"
)

// A graph is what this process knows of who waits for whom at the cluster's locks. Their
// states say it: who holds each, and who waits for it.
type graph struct{ c *Cluster }

// An edge is a strand that waits for a lock.
type edge struct {
	who    claimant
	lock   string
	holder claimant
	seq    uint64 // of the lock's state
	place  int    // in its queue
}

// publish begins to look for deadlocks.
func (s *session) publish() {
	g := &graph{c: s.c}
	s.mu.Lock()
	s.graph = g
	s.mu.Unlock()
	s.remove = strand.Publish(g)
}

func (s *session) unpublish() {
	s.mu.Lock()
	g, remove := s.graph, s.remove
	s.graph, s.remove = nil, nil
	s.mu.Unlock()
	if g != nil {
		remove()
	}
}

// Waiting says nothing: what the strands of other processes wait for is only known from
// time to time, and by who looks for cycles of the cluster's locks as a whole.
func (g *graph) Waiting(strand.Ref) (strand.Resource, time.Time, bool) {
	return nil, time.Time{}, false
}

// Strands yields the strands of other processes that wait for locks or hold such.
func (g *graph) Strands(ctx context.Context) iter.Seq2[strand.View, error] {
	return func(yield func(strand.View, error) bool) {
		edges, err := g.c.edges(ctx)
		if err != nil {
			yield(strand.View{}, err)
			return
		}
		for _, e := range edges {
			v := strand.View{
				Ref: strand.Ref{Process: processOf(e.who.Session), Strand: e.who.Strand}, Process: e.who.Host,
				Name: e.who.Name, State: strand.Waiting, Waiting: "cluster lock \"" + e.lock + "\"",
			}
			if !yield(v, nil) {
				return
			}
		}
	}
}

// edges reads who waits for which lock.
func (c *Cluster) edges(ctx context.Context) ([]edge, error) {
	locks := make(map[string][]edge)
	err := c.eachLock(ctx, func(name string, seq uint64, st *lockState) {
		locks[name] = nil // one that changes meanwhile is read again: the last is right
		if st.Holder == nil || st.Died {
			return
		}
		for i, q := range st.Queue {
			locks[name] = append(locks[name], edge{q, name, *st.Holder, seq, i})
		}
	})
	return slices.Concat(slices.Collect(maps.Values(locks))...), err
}

// eachLock calls fn for the state of each lock.
func (c *Cluster) eachLock(ctx context.Context, fn func(name string, seq uint64, st *lockState)) error {
	prefix := c.subject("s.v.lock.")
	for seq := uint64(1); ; {
		m, err := c.link.get(ctx, c.stream(streamSync), map[string]any{"seq": seq, "next_by_subj": prefix + "*"})
		if hasCode(err, codeNoStream) || err == nil && m == nil {
			return nil
		}
		if err != nil {
			return err
		}
		seq = m.Seq + 1
		var e envelope[lockState]
		if wire.Decode(m.Data, &e) == nil && e.State != nil {
			fn(unescape(m.Subject[len(prefix):]), m.Seq, e.State)
		}
	}
}

// deadlocked says which claims wait in a cycle of the cluster's locks of which they are
// the one that waits last, as far as each process knows the servers' time, so that one alone
// of each cycle is refused. A strand that waits with a deadline is never part of one.
func (c *Cluster) deadlocked(ctx context.Context, ids []string) map[string]error {
	all, err := c.edges(ctx)
	if err != nil {
		return nil
	}
	found := make(map[string][]edge)
	for _, id := range ids {
		if path := cycle(all, id); path != nil {
			found[id] = path
		}
	}
	if len(found) == 0 {
		return nil
	}
	// States are read one after the other: what is still so when read again is a cycle.
	if all, err = c.edges(ctx); err != nil {
		return nil
	}
	errs := make(map[string]error)
	for id, first := range found {
		again := cycle(all, id)
		if !slices.EqualFunc(first, again, func(a, b edge) bool { return a.who.ID == b.who.ID && a.holder.ID == b.holder.ID && a.lock == b.lock }) {
			continue
		}
		out := new(tristrand.DeadlockError)
		for _, e := range again {
			out.Cycle = append(out.Cycle, strand.Link{
				Waiter: e.who.Name + " on " + e.who.Host, On: "cluster lock \"" + e.lock + "\"",
				Holder: e.holder.Name + " on " + e.holder.Host, TakenAt: e.holder.At,
			})
		}
		errs[id] = out
	}
	return errs
}

// cycle returns the cycle that begins with a claim, if its wait is the latest of it.
func cycle(all []edge, id string) []edge {
	var path []edge
	i := slices.IndexFunc(all, func(e edge) bool { return e.who.ID == id })
	for i >= 0 && len(path) <= len(all) {
		e := all[i]
		if e.who.Until || e.who.Strand == 0 {
			return nil
		}
		path = append(path, e)
		if e.holder.same(&path[0].who) {
			for _, x := range path[1:] {
				if x.who.Since > path[0].who.Since || x.who.Since == path[0].who.Since && x.who.ID > path[0].who.ID {
					return nil // that one is the victim
				}
			}
			return path
		}
		i = slices.IndexFunc(all, func(x edge) bool { return x.who.same(&e.holder) })
	}
	return nil
}
