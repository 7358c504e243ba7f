package cluster

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// A Barrier lets a number of parties of the cluster wait for each other, again and again.
type Barrier struct {
	// Action is called by the last party to come, before any goes on; nil does nothing.
	// Its error, or panic, breaks the barrier.
	Action func(ctx context.Context) error

	o *object[barrierState]
}

type barrierState struct {
	Parties int        `cbor:"1,keyasint"`
	Passed  uint64     `cbor:"2,keyasint,omitempty"` // how often all have come
	Resets  uint64     `cbor:"3,keyasint,omitempty"`
	Broken  bool       `cbor:"4,keyasint,omitempty"`
	Queue   []claimant `cbor:"5,keyasint,omitempty"`
	Acting  string     `cbor:"6,keyasint,omitempty"` // who runs the action
}

var _ tristrand.Barrier = (*Barrier)(nil)

// NewBarrier returns the barrier of that name; parties, when it is made, must be at least 1.
func NewBarrier(c *Cluster, name string, parties int) *Barrier {
	if parties < 1 {
		panic(fmt.Sprintf("cluster: NewBarrier(%q) of %d parties: there must be at least one", name, parties))
	}
	o := newObject[barrierState](c, "barrier", name)
	o.start = func() *barrierState { return &barrierState{Parties: parties} }
	o.reap = func(s *barrierState, session string) bool {
		if !slices.ContainsFunc(s.Queue, func(q claimant) bool { return q.Session == session }) {
			return false
		}
		s.Broken, s.Queue, s.Acting = true, nil, ""
		return true
	}
	o.sessions = func(s *barrierState) []string { return sessionsIn(s.Queue) }
	return &Barrier{o: o}
}

func (b *Barrier) String() string { return b.o.String() }

// Releasers says that anyone could end the wait.
func (b *Barrier) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) { return buf, false }

func (b *Barrier) broken() error { return fmt.Errorf("%w: %v", tristrand.ErrBroken, b) }

// Wait waits until all parties have called it.
func (b *Barrier) Wait(ctx context.Context) (turn int, err error) {
	s := strand.Enter(ctx, strand.Op{Verb: "wait", On: b, Write: true})
	if err := strand.Err(ctx); err != nil { // it was to come, and will not
		return 0, b.giveUp(ctx, ^uint64(0), 0, err)
	}
	sess, me, err := b.o.claim(ctx, s, 0)
	if err != nil {
		return 0, err
	}
	var passed, resets uint64
	last := false
	_, err = b.o.update(bounded(ctx), func(st *barrierState) error {
		switch {
		case st.Broken:
			return unchanged(b.broken())
		case len(st.Queue) >= st.Parties: // the last party acts still
			return unchanged(errNotYet)
		}
		passed, resets = st.Passed, st.Resets
		turn = len(st.Queue)
		if last = turn == st.Parties-1; last && b.Action == nil {
			st.Passed++
			st.Queue = nil
			return nil
		}
		st.Queue = append(st.Queue, me)
		if last {
			st.Acting = me.ID
		}
		return nil
	})
	switch {
	case err == errNotYet: //nolint:errorlint // it is passed on as it is
		b.o.inTheWay(ctx) // those who would break it may all be dead
		if err := strand.Sleep(ctx, reconnectWait); err != nil {
			return 0, err
		}
		return b.Wait(ctx)
	case err != nil:
		return 0, err
	case last && b.Action == nil:
		return turn, nil
	case last:
		return turn, b.act(ctx, me.ID)
	}
	err = b.o.await(ctx, s, b, sess, me.ID, func(st *barrierState) (bool, error) {
		switch {
		case st.Passed > passed:
			return true, nil
		case st.Broken, st.Resets != resets:
			return true, b.broken()
		}
		return false, nil
	})
	if err == nil {
		return turn, nil
	}
	return turn, b.giveUp(ctx, passed, resets, err)
}

// giveUp breaks the barrier, as a party's wait has ended, unless all have come.
func (b *Barrier) giveUp(ctx context.Context, passed, resets uint64, err error) error {
	_, _ = b.o.update(bounded(ctx), func(st *barrierState) error {
		switch {
		case st.Passed > passed:
			err = nil
			return unchanged(nil)
		case st.Broken, st.Resets != resets && passed != ^uint64(0):
			return unchanged(nil)
		}
		st.Broken, st.Queue, st.Acting = true, nil, ""
		return nil
	})
	return err
}

var errNotYet = fmt.Errorf("%w: the barrier's action runs still", tristrand.ErrBusy)

// act runs the action, and then lets all go on.
func (b *Barrier) act(ctx context.Context, id string) (err error) {
	done := false
	finish := func(ok bool) error {
		var broken error
		_, err := b.o.update(bounded(ctx), func(st *barrierState) error {
			if st.Acting != id {
				if !done {
					broken = b.broken()
				}
				return unchanged(nil)
			}
			done, st.Acting, st.Queue = true, "", nil
			if ok {
				st.Passed++
			} else {
				st.Broken = true
			}
			return nil
		})
		if err == nil {
			err = broken
		}
		return err
	}
	returned := false
	defer func() {
		if !returned {
			_ = finish(false)
		}
	}()
	err = b.call(ctx)
	returned = true
	if ferr := finish(err == nil); err == nil {
		err = ferr
	}
	return err
}

// call calls the action, and turns a panic into an error.
func (b *Barrier) call(ctx context.Context) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &tristrand.PanicError{Value: v, Stack: debug.Stack(), Task: "barrier action"}
		}
	}()
	return b.Action(ctx)
}

// Abort breaks the barrier.
func (b *Barrier) Abort(ctx context.Context) error {
	return b.change(ctx, "abort", func(st *barrierState) { st.Broken, st.Queue, st.Acting = true, nil, "" })
}

// Reset makes the barrier whole and empty.
func (b *Barrier) Reset(ctx context.Context) error {
	return b.change(ctx, "reset", func(st *barrierState) {
		st.Broken, st.Queue, st.Acting = false, nil, ""
		st.Resets++
	})
}

func (b *Barrier) change(ctx context.Context, verb string, fn func(st *barrierState)) error {
	strand.Enter(ctx, strand.Op{Verb: verb, On: b, Write: true})
	_, err := b.o.update(bounded(ctx), func(st *barrierState) error { fn(st); return nil })
	return err
}

// State returns what the barrier looks like.
func (b *Barrier) State(ctx context.Context) (tristrand.BarrierState, error) {
	st, err := b.o.read(bounded(ctx))
	if err != nil {
		return tristrand.BarrierState{}, err
	}
	return tristrand.BarrierState{Parties: st.Parties, Waiting: len(st.Queue), Broken: st.Broken}, nil
}
