package shm

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/tristrand/tristrand/strand"
)

// graph is the part of the wait-for graph that other processes' strands have in
// the arenas mapped here.
type graph struct{}

var (
	_ strand.Arbiter = graph{}
	_ strand.Namer   = graph{}
)

// A thing is an object that a strand of another process waits for.
type thing struct {
	a      *arena
	unit   uint32
	kind   kind
	ticket uint64
	number uint32
}

var _ strand.Numbered = thing{}

func (t thing) String() string { return t.a.nameOf(t.unit, t.kind) }

// Number is another for every wait.
func (t thing) Number() uint64 { return t.ticket<<(32-numberShift) ^ uint64(t.number) }

// Releasers returns a lock's holder, and that anyone could end other waits.
func (t thing) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) {
	if !isLock(t.kind) {
		return buf, false
	}
	return t.a.mutex(t.unit).releasers(buf)
}

// find returns where a strand of another process sits; waits says that it must
// be a seat in which it waits.
func find(r strand.Ref, waits bool) (a *arena, i, state uint32) {
	for _, a := range mapped() {
		high := a.high()
		for i := uint32(firstSeat); i < high; i++ {
			sp := &a.mem.spots[i]
			owner := sp.owner.Load()
			if owner == 0 || owner > maxProcs || strand.ID(a.mem.faces[i].strand.Load()) != r.Strand ||
				strand.ID(procPID(a.mem.procs[owner-1].word.Load())) != r.Process || r.Strand == 0 {
				continue
			}
			if v := sp.state.Load(); phaseOf(v) == waiting || !waits {
				return a, i, v
			}
		}
	}
	return nil, 0, 0
}

// Waiting says what a strand of another process waits for.
func (graph) Waiting(r strand.Ref) (on strand.Resource, deadline time.Time, ok bool) {
	a, i, v := find(r, true)
	if a == nil {
		return nil, time.Time{}, false
	}
	sp := &a.mem.spots[i]
	what := sp.what.Load()
	unit := uint32(what >> whatShift & (maxUnits - 1))
	t := thing{a, unit, a.mem.dir[unit].kind(), sp.ticket.Load(), numberOf(v)}
	if sp.state.Load() != v {
		return nil, time.Time{}, false
	}
	if what&timedWait != 0 {
		deadline = time.Unix(0, sp.since.Load()) // some time; that there is one counts
	}
	return t, deadline, true
}

// Name returns a strand's name, and the pid of its process.
func (graph) Name(r strand.Ref) string {
	a, i, _ := find(r, false)
	if a == nil {
		return ""
	}
	return fmt.Sprintf("%s (pid %d)", a.seatName(i), r.Process)
}

// Strands yields the strands of other processes that have used the objects that
// this process has mapped.
func (graph) Strands(ctx context.Context) iter.Seq2[strand.View, error] {
	return func(yield func(strand.View, error) bool) {
		for _, a := range mapped() {
			high := a.high()
			for i := uint32(firstSeat); i < high; i++ {
				ref, pid := a.refOf(i)
				if ref.Process == 0 || ref.Strand == 0 {
					continue
				}
				v := strand.View{Ref: ref, Process: fmt.Sprint("pid ", pid), Name: a.seatName(i), Kind: strand.Worker, State: strand.Running}
				if sp := &a.mem.spots[i]; phaseOf(sp.state.Load()) == waiting {
					unit := uint32(sp.what.Load() >> whatShift & (maxUnits - 1))
					v.State, v.Waiting = strand.Waiting, a.nameOf(unit, a.mem.dir[unit].kind())
				}
				if !yield(v, ctx.Err()) || ctx.Err() != nil {
					return
				}
			}
		}
	}
}

// Arbitrate calls decide while no other process decides about strands of the
// arenas mapped here. They are taken in an order that all processes agree on.
func (graph) Arbitrate(decide func()) {
	all := mapped()
	slices.SortFunc(all, func(x, y *arena) int {
		kx, ky := x.seg.Key(), y.seg.Key()
		return cmp.Compare(string(kx[:]), string(ky[:]))
	})
	for _, a := range all {
		a.mem.head.judge.lock(a)
		defer a.mem.head.judge.unlock(a)
	}
	decide()
}

// refuse takes a strand that is in a deadlock from those who wait for a unit.
func (a *arena) refuse(w strand.Wait, unit uint32) bool {
	i := a.seatAny(w.Strand())
	if i == 0 {
		return false
	}
	sp := &a.mem.spots[i]
	for {
		v := sp.state.Load()
		if phaseOf(v) != waiting || sp.what.Load()>>whatShift != uint64(unit) {
			return false
		}
		if sp.state.CompareAndSwap(v, numberOf(v)<<numberShift|uint32(refused)) {
			return true
		}
	}
}

// seatAny returns the seat of a strand of this process, whoever calls.
func (a *arena) seatAny(s *strand.Strand) uint32 {
	for i := range a.spotsOf(a.self) {
		if a.seats[i].strand.Load() == s {
			return i
		}
	}
	return 0
}
