package local

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// A Barrier lets a number of parties wait for each other, again and again. It is
// made by NewBarrier.
type Barrier struct {
	// Name is shown in errors; "" shows the address.
	Name string

	// Action is called by the last party to arrive, before anyone goes on. Its
	// error is that party's and breaks the barrier for the others; so does its
	// panic. nil does nothing.
	Action func(ctx context.Context) error

	parties int

	mu      sync.Mutex // guards the rest
	filling *round     // nil: a new one
	acting  *round     // the one whose action runs
	broken  bool
}

// current returns the round that fills. The caller holds mu.
func (b *Barrier) current() *round {
	if b.filling == nil {
		b.filling = new(round)
	}
	return b.filling
}

// A round is one passage of the barrier.
type round struct {
	queue   waiters
	arrived int
	broken  bool
	passed  bool // all had arrived, and the action is done
}

var _ tristrand.Barrier = (*Barrier)(nil)

// NewBarrier returns a barrier for a number of parties. It panics if that is
// below 1.
func NewBarrier(parties int) *Barrier {
	if parties < 1 {
		panic(fmt.Sprintf("local: NewBarrier(%d): there must be at least 1 party", parties))
	}
	return &Barrier{parties: parties, filling: new(round)}
}

// Wait waits until all parties have called it and returns which of them, from
// 0, the caller was. A party whose ctx ends breaks the barrier: the others, and
// whoever comes before Reset, get ErrBroken.
func (b *Barrier) Wait(ctx context.Context) (turn int, err error) {
	s := strand.Enter(ctx, strand.Op{Verb: "wait", On: b, Write: true})
	b.mu.Lock()
	if b.parties == 0 {
		b.mu.Unlock()
		return 0, fmt.Errorf("%v: it has no parties; make it with NewBarrier", b)
	}
	if b.broken {
		b.mu.Unlock()
		return 0, b.errBroken()
	}
	r := b.current()
	if err := strand.Err(ctx); err != nil {
		b.breakAll()
		return 0, err
	}
	turn = r.arrived
	r.arrived++
	if r.arrived == b.parties {
		b.filling, b.acting = nil, r
		b.mu.Unlock()
		return turn, b.pass(ctx, r)
	}
	n := &waiter{w: s.NewWait()}
	r.queue.pushBack(n)
	b.mu.Unlock()
	if err := n.w.Park(ctx, b); err != nil {
		b.mu.Lock()
		if r.passed { // at the same moment; the others have gone on with this party
			b.mu.Unlock()
			return turn, nil
		}
		r.queue.remove(n)
		r.arrived--
		if r == b.filling || r == b.acting {
			b.breakAll() // unlocks
		} else {
			b.mu.Unlock() // Reset or Abort came first
		}
		return 0, err
	}
	if n.got == broken {
		return 0, b.errBroken()
	}
	return turn, nil
}

func (b *Barrier) errBroken() error { return fmt.Errorf("%w: %v", tristrand.ErrBroken, b) }

// pass runs the action for the full round r and lets its parties go on.
func (b *Barrier) pass(ctx context.Context, r *round) (err error) {
	acted := false
	defer func() {
		b.mu.Lock()
		if b.acting == r { // else another round's runs, after a Reset
			b.acting = nil
		}
		if r.broken || !acted || err != nil {
			whole := !r.broken // otherwise the barrier may have been reset since
			r.broken = true
			all := r.queue.popAll()
			if whole {
				b.breakAll() // unlocks
			} else {
				b.mu.Unlock()
			}
			if err == nil && acted {
				err = b.errBroken()
			}
			grant(all, broken)
			return
		}
		r.passed = true
		all := r.queue.popAll()
		b.mu.Unlock()
		grant(all, passed)
	}()
	if b.Action != nil {
		err = b.act(ctx)
	}
	acted = true
	return err
}

// act turns a panic of the action into an error.
func (b *Barrier) act(ctx context.Context) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &tristrand.PanicError{Value: v, Stack: debug.Stack(), Task: "barrier action"}
		}
	}()
	return b.Action(ctx)
}

// breakAll breaks the barrier and tells those who wait. It unlocks mu. A round
// whose action runs is told when it is over.
func (b *Barrier) breakAll() {
	b.broken = true
	if b.acting != nil {
		b.acting.broken = true
	}
	all := b.current().queue.popAll()
	b.filling = nil
	b.mu.Unlock()
	grant(all, broken)
}

// Abort breaks the barrier.
func (b *Barrier) Abort(ctx context.Context) error {
	strand.Enter(ctx, strand.Op{Verb: "abort", On: b, Write: true})
	b.mu.Lock()
	b.breakAll()
	return nil
}

// Reset makes the barrier whole and empty; those who wait get ErrBroken.
func (b *Barrier) Reset(ctx context.Context) error {
	strand.Enter(ctx, strand.Op{Verb: "reset", On: b, Write: true})
	b.mu.Lock()
	all := b.current().queue.popAll()
	b.filling = nil
	if b.acting != nil {
		b.acting.broken = true
	}
	b.broken = false
	b.mu.Unlock()
	grant(all, broken)
	return nil
}

// State returns what the barrier looks like. It does not wait.
func (b *Barrier) State(context.Context) (tristrand.BarrierState, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return tristrand.BarrierState{Parties: b.parties, Waiting: b.current().queue.n, Broken: b.broken}, nil
}

// String names the barrier for errors.
func (b *Barrier) String() string { return nameOf("barrier", b.Name, b) }

// Releasers says that anyone could arrive.
func (b *Barrier) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) { return buf, false }
