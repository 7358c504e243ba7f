package shm

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync/atomic"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// A Barrier lets strands of several processes wait for each other, again and
// again. A party whose process dies while it waits breaks it. It is made by
// NewBarrier, or arrives as a field of a task's input or output.
type Barrier struct {
	object

	// Action is called by the last party to arrive, before anyone goes on, in the
	// process that this field belongs to: it does not cross. Its error is that
	// party's and breaks the barrier for the others; so do its panic and the
	// death of its process. nil does nothing.
	Action func(ctx context.Context) error
}

var _ tristrand.Barrier = (*Barrier)(nil)

// A barrierCell is changed under its guard.
type barrierCell struct {
	cell
	parties uint32
	arrived atomic.Uint32
	round   atomic.Uint64 // the one that fills; from 1
	acting  atomic.Uint64 // the one whose action runs, 0 if none
	passing atomic.Uint64 // the one whose parties are being let go, 0 if none
	actor   atomic.Uint32 // process + 1 that runs the action
	left    atomic.Uint64 // the last round that a party has left without breaking it
	spoilt  atomic.Bool   // the acting round broke meanwhile
	broken  atomic.Bool
}

func barrierAt(a *arena, unit uint32) *barrierCell { return cellAt[barrierCell](a, unit) }

// NewBarrier returns a barrier for a number of parties. It panics if that is
// below 1; for the name and errors see NewLock.
func NewBarrier(name string, parties int) (*Barrier, error) {
	if parties < 1 || parties > 1<<30 {
		panic(fmt.Sprintf("shm: NewBarrier(%d): there must be at least 1 party, and not more than 2^30", parties))
	}
	b := new(Barrier)
	if err := b.make(kindBarrier, name, units[barrierCell]()); err != nil {
		return nil, err
	}
	c := barrierAt(b.a, b.unit)
	c.parties = uint32(parties)
	c.round.Store(1)
	return b, nil
}

// Wait waits until all parties have called it and returns which of them, from
// 0, the caller was. A party whose ctx ends breaks the barrier: the others, and
// whoever comes before Reset, get ErrBroken.
func (b *Barrier) Wait(ctx context.Context) (turn int, err error) {
	s := strand.Enter(ctx, strand.Op{Verb: "wait", On: b, Write: true})
	if err := b.usable("barrier"); err != nil {
		return 0, err
	}
	a, c := b.a, barrierAt(b.a, b.unit)
	a.shadow.release(b.unit)
	var t waiter
	if c.parties > 1 && ctx.Err() == nil {
		if t, err = a.waiter(ctx, s, b.unit); err != nil {
			c.leave(a, b.unit, c.round.Load())
			return 0, err
		}
		defer t.done()
	}
	if c.broken.Load() {
		return 0, b.errBroken()
	}
	if err := c.guard.lockUnder(ctx, a); err != nil || ctx.Err() != nil {
		if err == nil {
			c.unlock(a, b.unit)
		}
		c.leave(a, b.unit, c.round.Load())
		return 0, strand.Err(ctx)
	}
	if c.broken.Load() {
		c.unlock(a, b.unit)
		return 0, b.errBroken()
	}
	turn, round := int(c.arrived.Load()), c.round.Load()
	if turn+1 == int(c.parties) {
		return turn, b.last(ctx, c, round)
	}
	t.enter(ctx, 0, round, false)
	c.arrived.Add(1)
	c.unlock(a, b.unit)
	err = t.park(ctx, b)
	// With the guard, a party cannot leave a round that is just being let go.
	if t.look() == waiting && c.guard.lockShortly(a) {
		defer c.unlock(a, b.unit)
	}
	switch t.leave() {
	case passed:
		return turn, nil
	case broken:
		return 0, b.errBroken()
	default:
		c.leave(a, b.unit, round)
		return 0, err
	}
}

// leave breaks the round that a party leaves, unless it has passed. Whoever has
// the guard does it when it opens it, be it the caller or a process that has been
// stopped with it.
func (c *barrierCell) leave(a *arena, unit uint32, round uint64) {
	for old := c.left.Load(); old < round && !c.left.CompareAndSwap(old, round); old = c.left.Load() {
		continue // the break of a later one is not to be lost
	}
	if c.guard.tryLock(a) {
		c.unlock(a, unit)
	}
}

// unlock opens the guard; but first it breaks the rounds that parties have left.
func (c *barrierCell) unlock(a *arena, unit uint32) {
	for {
		if round := c.left.Swap(0); round != 0 {
			c.breakRound(a, unit, round)
		}
		c.guard.unlock(a)
		if c.left.Load() == 0 || !c.guard.tryLock(a) {
			return
		}
	}
}

func (b *Barrier) errBroken() error { return fmt.Errorf("%w: %v", tristrand.ErrBroken, b) }

// last lets the round go whose last party has come. The caller has the guard,
// which is opened.
func (b *Barrier) last(ctx context.Context, c *barrierCell, round uint64) error {
	a := b.a
	if b.Action != nil {
		c.spoilt.Store(false)
		c.actor.Store(a.self + 1)
		c.acting.Store(round)
	} else {
		c.passing.Store(round)
	}
	c.arrived.Store(0)
	c.round.Add(1)
	if b.Action == nil {
		c.letGo(a, b.unit)
		c.unlock(a, b.unit)
		return nil
	}
	c.unlock(a, b.unit)
	var err error
	acted := false
	defer func() { // also when the action ends its goroutine
		if !acted {
			c.guard.lock(a)
			c.breakAll(a, b.unit)
			c.endRound(a, b.unit, round)
			c.unlock(a, b.unit)
		}
	}()
	err = b.act(ctx)
	acted = true
	c.guard.lock(a)
	defer c.unlock(a, b.unit)
	switch {
	case err != nil:
		c.breakAll(a, b.unit)
		c.endRound(a, b.unit, round)
		return err
	case c.spoilt.Load():
		c.endRound(a, b.unit, round)
		return b.errBroken()
	}
	c.passing.Store(round)
	c.acting.Store(0)
	c.letGo(a, b.unit)
	return nil
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

// Those below are called with the guard held.

// letGo lets the parties of the passing round go on.
func (c *barrierCell) letGo(a *arena, unit uint32) {
	c.settleRound(a, unit, c.passing.Load(), passed)
	c.passing.Store(0)
}

// endRound sends the parties of the acting round away.
func (c *barrierCell) endRound(a *arena, unit uint32, round uint64) {
	c.settleRound(a, unit, round, broken)
	c.acting.Store(0)
}

func (c *barrierCell) settleRound(a *arena, unit uint32, round uint64, as phase) {
	c.settleRounds(a, unit, as, func(of uint64) bool { return of == round })
}

func (c *barrierCell) settleRounds(a *arena, unit uint32, as phase, which func(round uint64) bool) {
	a.shadow.release(unit)
	for i, v := range a.waiting(unit, 0) {
		if which(a.mem.faces[i].mark.Load()) {
			a.settle(i, numberOf(v), as)
		}
	}
}

// breakAll breaks the barrier and sends those who wait away. Those of a round
// whose action runs are sent away when it is over.
func (c *barrierCell) breakAll(a *arena, unit uint32) {
	c.broken.Store(true)
	c.empty(a, unit)
}

func (c *barrierCell) empty(a *arena, unit uint32) {
	c.spoilt.Store(true)
	c.round.Add(1)
	c.arrived.Store(0)
	// Of earlier rounds, too: a process may have died as it sent them away.
	acting := c.acting.Load()
	c.settleRounds(a, unit, broken, func(round uint64) bool { return round != acting })
}

// breakRound breaks the barrier if a round, of which a party has left, has not
// passed.
func (c *barrierCell) breakRound(a *arena, unit uint32, round uint64) {
	if round == c.round.Load() || round == c.acting.Load() {
		c.breakAll(a, unit)
	}
}

// leftBy is breakRound for a party whose process has died.
func (c *barrierCell) leftBy(a *arena, unit uint32, round uint64) {
	c.guard.lock(a)
	defer c.unlock(a, unit)
	c.breakRound(a, unit, round)
}

// recoverFrom puts the barrier right if process n, which is dead, was changing it
// or running its action.
func (c *barrierCell) recoverFrom(a *arena, unit, n uint32) {
	torn := c.guard.heldBy(n)
	if !torn {
		c.guard.lock(a)
		defer c.unlock(a, unit)
	}
	if round := c.passing.Load(); round != 0 {
		if round == c.round.Load() { // it had not begun the next one
			c.arrived.Store(0)
			c.round.Add(1)
		}
		c.acting.CompareAndSwap(round, 0)
		c.letGo(a, unit)
	} else if torn {
		c.breakAll(a, unit)
	}
	if acting := c.acting.Load(); acting != 0 && c.actor.Load() == n+1 {
		c.breakAll(a, unit)
		c.endRound(a, unit, acting)
	}
}

// Abort breaks the barrier.
func (b *Barrier) Abort(ctx context.Context) error {
	strand.Enter(ctx, strand.Op{Verb: "abort", On: b, Write: true})
	if err := b.usable("barrier"); err != nil {
		return err
	}
	c := barrierAt(b.a, b.unit)
	if err := c.guard.lockAnyway(ctx, b.a); err != nil {
		return fmt.Errorf("%v: %w", b, err)
	}
	defer c.unlock(b.a, b.unit)
	c.breakAll(b.a, b.unit)
	return nil
}

// Reset makes the barrier whole and empty; those who wait get ErrBroken.
func (b *Barrier) Reset(ctx context.Context) error {
	strand.Enter(ctx, strand.Op{Verb: "reset", On: b, Write: true})
	if err := b.usable("barrier"); err != nil {
		return err
	}
	c := barrierAt(b.a, b.unit)
	if err := c.guard.lockAnyway(ctx, b.a); err != nil {
		return fmt.Errorf("%v: %w", b, err)
	}
	defer c.unlock(b.a, b.unit)
	c.empty(b.a, b.unit)
	c.broken.Store(false)
	return nil
}

// State returns what the barrier looks like. It does not wait.
func (b *Barrier) State(context.Context) (tristrand.BarrierState, error) {
	if err := b.usable("barrier"); err != nil {
		return tristrand.BarrierState{}, err
	}
	c := barrierAt(b.a, b.unit)
	if c.guard.lockShortly(b.a) {
		defer c.unlock(b.a, b.unit)
	}
	return tristrand.BarrierState{Parties: int(c.parties), Waiting: int(c.arrived.Load()), Broken: c.broken.Load()}, nil
}

// String names the barrier for errors.
func (b *Barrier) String() string { return b.name("barrier") }

// Releasers says that anyone could arrive.
func (b *Barrier) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) { return buf, false }

// MarshalCBOR encodes where the barrier is.
func (b *Barrier) MarshalCBOR() ([]byte, error) { return b.marshal("Barrier") }

// UnmarshalCBOR makes b the barrier that was encoded; Action stays as it is.
func (b *Barrier) UnmarshalCBOR(data []byte) error { return b.unmarshal(data, "Barrier", kindBarrier) }
