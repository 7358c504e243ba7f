package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// A Condition lets the holder of a lock wait for something that others change under the
// same lock, in any process of the cluster.
type Condition struct {
	o    *object[conditionState]
	lock *locker
	l    tristrand.Locker
}

type conditionState struct {
	Queue []claimant `cbor:"1,keyasint,omitempty"`
}

var _ tristrand.Condition = (*Condition)(nil)

// NewCondition returns the condition of that name with a Lock or RLock of the same cluster;
// nil is the RLock of the condition's own name. It panics if l is of another kind.
func NewCondition(c *Cluster, name string, l tristrand.Locker) *Condition {
	if l == nil {
		l = NewRLock(c, name)
	}
	k := &Condition{l: l}
	switch l := l.(type) {
	case *Lock:
		k.lock = &l.locker
	case *RLock:
		k.lock = &l.locker
	default:
		panic(fmt.Sprintf("cluster: NewCondition(%q): a %T cannot be its lock: give it a *cluster.Lock or a *cluster.RLock", name, l))
	}
	k.o = newObject[conditionState](c, "condition", name)
	k.o.reap = func(s *conditionState, session string) bool {
		n := len(s.Queue)
		s.Queue = slices.DeleteFunc(s.Queue, func(q claimant) bool { return q.Session == session })
		return len(s.Queue) != n
	}
	k.o.sessions = func(s *conditionState) []string { return sessionsIn(s.Queue) }
	return k
}

func (k *Condition) String() string { return k.o.String() }

// Releasers says that anyone could end the wait.
func (k *Condition) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) { return buf, false }

// Locker returns the lock.
func (k *Condition) Locker() tristrand.Locker { return k.l }

// mine checks that the caller holds the lock.
func (k *Condition) mine(ctx context.Context, me *claimant) error {
	st, err := k.lock.o.read(ctx)
	if err != nil {
		return err
	}
	if st.Holder == nil || st.Died || !st.Holder.same(me) {
		return fmt.Errorf("%w: %v", tristrand.ErrNotHeld, k.lock)
	}
	return nil
}

// Wait releases the lock, waits for Notify and acquires the lock again.
func (k *Condition) Wait(ctx context.Context) error {
	s := strand.Enter(ctx, strand.Op{Verb: "wait", On: k, Write: true})
	sess, me, err := k.o.claim(ctx, s, 0)
	if err != nil {
		return err
	}
	if err := k.mine(bounded(ctx), &me); err != nil {
		return err
	}
	if err := strand.Err(ctx); err != nil {
		return err
	}
	if _, err := k.o.update(bounded(ctx), func(st *conditionState) error {
		if k.waits(st, me.ID) {
			return unchanged(nil)
		}
		st.Queue = append(st.Queue, me)
		return nil
	}); err != nil {
		return err
	}
	levels, err := k.lock.free(ctx, true)
	if err != nil {
		k.leave(ctx, me.ID)
		return err
	}
	err = k.o.await(ctx, s, k, sess, me.ID, func(st *conditionState) (bool, error) { return !k.waits(st, me.ID), nil })
	if err != nil && !k.leave(ctx, me.ID) && !sess.isLost() {
		err = nil // it was notified all the same
	}
	return errors.Join(err, k.reacquire(ctx, s, levels))
}

// reacquire takes the lock again, whatever has become of ctx.
func (k *Condition) reacquire(ctx context.Context, s *strand.Strand, levels int) error {
	ctx = bounded(ctx)
	sess, me, err := k.lock.o.claim(ctx, s, 0)
	if err == nil {
		me.Levels, me.Recover = levels, false
		err = k.lock.take(ctx, s, sess, me, true)
	}
	if err != nil {
		return fmt.Errorf("%w: the lock of %v could not be acquired again: %w", tristrand.ErrNotHeld, k, err)
	}
	return nil
}

func (k *Condition) waits(st *conditionState, id string) bool {
	return slices.ContainsFunc(st.Queue, func(q claimant) bool { return q.ID == id })
}

// leave takes a wait out, and reports whether it was in.
func (k *Condition) leave(ctx context.Context, id string) (was bool) {
	_, _ = k.o.update(bounded(ctx), func(st *conditionState) error {
		if was = k.waits(st, id); !was {
			return unchanged(nil)
		}
		st.Queue = slices.DeleteFunc(st.Queue, func(q claimant) bool { return q.ID == id })
		return nil
	})
	return was
}

// Notify wakes n of those who wait, all with n < 0.
func (k *Condition) Notify(ctx context.Context, n int) error {
	s := strand.Enter(ctx, strand.Op{Verb: "notify", On: k, Write: true})
	ctx = bounded(ctx)
	_, me, err := k.o.claim(ctx, s, 0)
	if err != nil {
		return err
	}
	if err := k.mine(ctx, &me); err != nil {
		return err
	}
	if _, err := k.o.read(ctx); err != nil {
		return err
	}
	_, err = k.o.update(ctx, func(st *conditionState) error {
		m := n
		if m < 0 || m > len(st.Queue) {
			m = len(st.Queue)
		}
		if m == 0 {
			return unchanged(nil)
		}
		st.Queue = slices.Delete(st.Queue, 0, m)
		return nil
	})
	return err
}

// State returns how many wait.
func (k *Condition) State(ctx context.Context) (tristrand.ConditionState, error) {
	st, err := k.o.read(bounded(ctx))
	if err != nil {
		return tristrand.ConditionState{}, err
	}
	waiting := len(st.Queue)
	if waiting > 0 { // one that is in the queue and has yet to give up the lock does not wait
		held, err := k.lock.o.read(bounded(ctx))
		if err != nil {
			return tristrand.ConditionState{}, err
		}
		if held.Holder != nil && !held.Died && slices.ContainsFunc(st.Queue, func(q claimant) bool { return held.Holder.same(&q) }) {
			waiting--
		}
	}
	return tristrand.ConditionState{Waiting: waiting}, nil
}
