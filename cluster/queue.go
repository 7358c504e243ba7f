package cluster

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/items"
	"github.com/tristrand/tristrand/strand"
)

// A Queue hands items from strand to strand of the cluster, first in first out, and serves
// those who wait in their order. It is one document, so that it holds at most 384 KiB of
// items: a Put of more waits, as for a full one. An item that was handed to a process that
// died before it had taken it comes back in front. For work to be done by many, use a Pool.
type Queue[T any] struct {
	o   *object[queueState]
	cap int
}

type queueState struct {
	Cap        int        `cbor:"1,keyasint,omitempty"`
	Items      []parcelOf `cbor:"2,keyasint,omitempty"`
	Handed     []handed   `cbor:"3,keyasint,omitempty"` // to those who waited, and not yet taken
	Getters    []claimant `cbor:"4,keyasint,omitempty"`
	Putters    []putting  `cbor:"5,keyasint,omitempty"`
	Unfinished int        `cbor:"6,keyasint,omitempty"`
	Down       bool       `cbor:"7,keyasint,omitempty"`
	Joiners    []claimant `cbor:"8,keyasint,omitempty"`
	Bytes      int        `cbor:"9,keyasint,omitempty"`
}

type parcelOf struct {
	Body []byte `cbor:"1,keyasint"`
	Raw  bool   `cbor:"2,keyasint,omitempty"`
}

type handed struct {
	To   claimant `cbor:"1,keyasint"`
	Item parcelOf `cbor:"2,keyasint"`
}

type putting struct {
	Who  claimant `cbor:"1,keyasint"`
	Item parcelOf `cbor:"2,keyasint"`
}

// queueBytes bounds the items of a queue, so that its state fits into a message.
const queueBytes = 384 << 10

var _ tristrand.JoinableQueue[int] = (*Queue[int])(nil)

// NewQueue returns the queue of that name, which holds up to bound items, a bound of 0 being
// none. It panics if it is below 0.
func NewQueue[T any](c *Cluster, name string, bound int) *Queue[T] {
	if bound < 0 {
		panic(fmt.Sprintf("cluster: NewQueue(%q) with a bound of %d: it must not be below 0", name, bound))
	}
	o := newObject[queueState](c, "queue", name)
	o.start = func() *queueState { return &queueState{Cap: bound} }
	o.reap = func(s *queueState, session string) bool { return s.reap(session) }
	o.sessions = func(s *queueState) []string {
		all := slices.Clone(s.Getters)
		all = append(all, s.Joiners...)
		for _, p := range s.Putters {
			all = append(all, p.Who)
		}
		for _, h := range s.Handed {
			all = append(all, h.To)
		}
		return sessionsIn(all)
	}
	return &Queue[T]{o, bound}
}

// reap takes a dead session out. What was handed to it and not taken comes back in front.
func (s *queueState) reap(session string) bool {
	was := len(s.Getters) + len(s.Putters) + len(s.Joiners) + len(s.Handed)
	gone := func(q claimant) bool { return q.Session == session }
	s.Getters = slices.DeleteFunc(s.Getters, gone)
	s.Joiners = slices.DeleteFunc(s.Joiners, gone)
	s.Putters = slices.DeleteFunc(s.Putters, func(p putting) bool { return p.Who.Session == session })
	for _, h := range slices.Backward(s.Handed) {
		if h.To.Session == session {
			s.Items = slices.Insert(s.Items, 0, h.Item)
			s.Bytes += len(h.Item.Body)
		}
	}
	s.Handed = slices.DeleteFunc(s.Handed, func(h handed) bool { return h.To.Session == session })
	s.move()
	return len(s.Getters)+len(s.Putters)+len(s.Joiners)+len(s.Handed) != was
}

// room reports whether an item can be put.
func (s *queueState) room(n int) bool {
	return (s.Cap == 0 || len(s.Items) < s.Cap) && (s.Bytes+n <= queueBytes || len(s.Items) == 0)
}

// push puts an item in.
func (s *queueState) push(item parcelOf) {
	s.Items = append(s.Items, item)
	s.Bytes += len(item.Body)
	s.Unfinished++
}

func (s *queueState) pop() parcelOf {
	item := s.Items[0]
	s.Items = slices.Delete(s.Items, 0, 1)
	s.Bytes -= len(item.Body)
	return item
}

// move hands items to those who wait for them, and lets those put who wait for room.
func (s *queueState) move() {
	for {
		switch {
		case len(s.Items) > 0 && len(s.Getters) > 0:
			s.Handed = append(s.Handed, handed{s.Getters[0], s.pop()})
			s.Getters = slices.Delete(s.Getters, 0, 1)
		case len(s.Putters) > 0 && !s.Down && s.room(len(s.Putters[0].Item.Body)):
			s.push(s.Putters[0].Item)
			s.Putters = slices.Delete(s.Putters, 0, 1)
		default:
			return
		}
	}
}

func (q *Queue[T]) String() string { return q.o.String() }

// Releasers says that anyone could end the wait.
func (q *Queue[T]) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) { return buf, false }

func (q *Queue[T]) down() error { return fmt.Errorf("%w: %v", tristrand.ErrShutdown, q) }

// Put waits for room and puts v in.
func (q *Queue[T]) Put(ctx context.Context, v T) error { return q.put(ctx, v, true) }

// TryPut is Put that returns ErrFull instead of waiting.
func (q *Queue[T]) TryPut(ctx context.Context, v T) error { return q.put(bounded(ctx), v, false) }

func (q *Queue[T]) put(ctx context.Context, v T, wait bool) error {
	s := strand.Enter(ctx, strand.Op{Verb: "put", On: q, Write: true})
	if err := strand.Err(ctx); err != nil {
		return err
	}
	body, raw, err := pack("item", &v)
	if err != nil {
		return fmt.Errorf("%v: %w", q, err)
	}
	if len(body) > queueBytes {
		return fmt.Errorf("%v: an item of %d bytes: it can have %d: put where the data are instead", q, len(body), queueBytes)
	}
	item := parcelOf{body, raw}
	sess, me, err := q.o.claim(ctx, s, 0)
	if err != nil {
		return err
	}
	stored := false
	_, err = q.o.update(bounded(ctx), func(st *queueState) error {
		stored = false
		switch {
		case slices.ContainsFunc(st.Putters, func(p putting) bool { return p.Who.ID == me.ID }):
			return unchanged(nil)
		case st.Down:
			return unchanged(q.down())
		case len(st.Putters) == 0 && st.room(len(body)):
			stored = true
			st.push(item)
			st.move()
			return nil
		case !wait:
			return unchanged(fmt.Errorf("%w: %v has %d items", tristrand.ErrFull, q, len(st.Items)))
		}
		st.Putters = append(st.Putters, putting{me, item})
		return nil
	})
	if errors.Is(err, tristrand.ErrFull) && q.o.inTheWay(ctx) {
		return q.put(ctx, v, wait)
	}
	if err != nil || stored {
		return err
	}
	waits := func(st *queueState) bool {
		return slices.ContainsFunc(st.Putters, func(p putting) bool { return p.Who.ID == me.ID })
	}
	err = q.o.await(ctx, s, q, sess, me.ID, func(st *queueState) (bool, error) {
		if waits(st) && st.Down {
			return true, q.down()
		}
		return !waits(st), nil
	})
	if err == nil {
		return nil
	}
	err = q.o.withdraw(ctx, sess, err, func(st *queueState) bool {
		if !waits(st) {
			return false
		}
		st.Putters = slices.DeleteFunc(st.Putters, func(p putting) bool { return p.Who.ID == me.ID })
		st.move()
		return true
	})
	if errors.Is(err, tristrand.ErrLost) { // it was put, or taken out with the session
		return fmt.Errorf("%w: %w", tristrand.ErrOutcomeUnknown, errLease(q.o.String()))
	}
	return err
}

// Get waits for an item and takes it.
func (q *Queue[T]) Get(ctx context.Context) (T, error) { return q.get(ctx, true) }

// TryGet is Get that returns ErrEmpty instead of waiting.
func (q *Queue[T]) TryGet(ctx context.Context) (T, error) { return q.get(bounded(ctx), false) }

func (q *Queue[T]) get(ctx context.Context, wait bool) (v T, err error) {
	s := strand.Enter(ctx, strand.Op{Verb: "get", On: q, Write: true})
	if err := strand.Err(ctx); err != nil {
		return v, err
	}
	sess, me, err := q.o.claim(ctx, s, 0)
	if err != nil {
		return v, err
	}
	var item *parcelOf
	_, err = q.o.update(bounded(ctx), func(st *queueState) error {
		item = nil
		switch {
		case slices.ContainsFunc(st.Getters, func(g claimant) bool { return g.ID == me.ID }), st.find(me.ID) >= 0:
			return unchanged(nil)
		case len(st.Items) > 0:
			one := st.pop()
			item = &one
			st.move()
			return nil
		case st.Down:
			return unchanged(q.down())
		case !wait:
			return unchanged(fmt.Errorf("%w: %v", tristrand.ErrEmpty, q))
		}
		st.Getters = append(st.Getters, me)
		return nil
	})
	if errors.Is(err, tristrand.ErrEmpty) && q.o.inTheWay(ctx) {
		return q.get(ctx, wait)
	}
	if err != nil {
		return v, err
	}
	if item != nil {
		return v, unpack(item.Body, item.Raw, &v)
	}
	err = q.o.await(ctx, s, q, sess, me.ID, func(st *queueState) (bool, error) {
		if i := st.find(me.ID); i >= 0 {
			item = &st.Handed[i].Item
			return true, nil
		}
		if slices.ContainsFunc(st.Getters, func(g claimant) bool { return g.ID == me.ID }) {
			return false, nil
		}
		if !st.Down {
			return true, errLease(q.o.String())
		}
		return true, q.down()
	})
	if err = q.took(ctx, me.ID, &item, err); err != nil {
		return v, err
	}
	return v, unpack(item.Body, item.Raw, &v)
}

// find returns where an item is that was handed to a wait, -1 if there is none.
func (s *queueState) find(id string) int {
	return slices.IndexFunc(s.Handed, func(h handed) bool { return h.To.ID == id })
}

// took takes a wait out of the state, with what was handed to it, which counts also when
// the wait has ended otherwise.
func (q *Queue[T]) took(ctx context.Context, id string, item **parcelOf, err error) error {
	had := *item != nil
	first := *item
	_, uerr := q.o.update(bounded(ctx), func(st *queueState) error {
		*item = first
		i := st.find(id)
		n := len(st.Getters)
		st.Getters = slices.DeleteFunc(st.Getters, func(g claimant) bool { return g.ID == id })
		if i < 0 && len(st.Getters) == n {
			if had { // it was handed to this wait, and taken back with a session that was taken for dead
				return unchanged(errLease(q.o.String()))
			}
			return unchanged(nil)
		}
		if i >= 0 {
			one := st.Handed[i].Item
			*item = &one
			st.Handed = slices.Delete(st.Handed, i, i+1)
		}
		return nil
	})
	switch {
	case *item != nil && uerr == nil:
		return nil
	case had:
		return uerr
	case err == nil:
		return errors.Join(q.down(), uerr)
	default:
		return err
	}
}

// TaskDone says that the work on one item that was got is done.
func (q *Queue[T]) TaskDone(ctx context.Context) error {
	strand.Enter(ctx, strand.Op{Verb: "task done", On: q, Write: true})
	_, err := q.o.update(bounded(ctx), func(st *queueState) error {
		if st.Unfinished == 0 {
			return unchanged(fmt.Errorf("%w: %v: TaskDone was called more often than items were put", tristrand.ErrOverRelease, q))
		}
		if st.Unfinished--; st.Unfinished == 0 {
			st.Joiners = nil
		}
		return nil
	})
	return err
}

// Join waits until the work on every item that was put is done.
func (q *Queue[T]) Join(ctx context.Context) error {
	s := strand.Enter(ctx, strand.Op{Verb: "join", On: q})
	if err := strand.Err(ctx); err != nil {
		return err
	}
	sess, me, err := q.o.claim(ctx, s, 0)
	if err != nil {
		return err
	}
	if _, err := q.o.read(bounded(ctx)); err != nil {
		return err
	}
	joins := func(st *queueState) bool {
		return slices.ContainsFunc(st.Joiners, func(g claimant) bool { return g.ID == me.ID })
	}
	_, err = q.o.update(bounded(ctx), func(st *queueState) error {
		if st.Unfinished == 0 || joins(st) {
			return unchanged(nil)
		}
		st.Joiners = append(st.Joiners, me)
		return nil
	})
	if err != nil {
		return err
	}
	err = q.o.await(ctx, s, q, sess, me.ID, func(st *queueState) (bool, error) { return !joins(st), nil })
	if err != nil {
		_, _ = q.o.update(bounded(ctx), func(st *queueState) error {
			if !joins(st) {
				return unchanged(nil)
			}
			st.Joiners = slices.DeleteFunc(st.Joiners, func(g claimant) bool { return g.ID == me.ID })
			return nil
		})
	}
	return err
}

// Shutdown refuses further Puts and wakes all who wait.
func (q *Queue[T]) Shutdown(ctx context.Context, how tristrand.Shutdown) error {
	strand.Enter(ctx, strand.Op{Verb: "shutdown", On: q, Write: true})
	_, err := q.o.update(bounded(ctx), func(st *queueState) error {
		st.Down, st.Getters = true, nil
		if how == tristrand.Discard {
			st.Unfinished -= len(st.Items)
			st.Items, st.Bytes = nil, 0
			if st.Unfinished = max(st.Unfinished, 0); st.Unfinished == 0 {
				st.Joiners = nil
			}
		}
		return nil
	})
	return err
}

// State returns what the queue looks like.
func (q *Queue[T]) State(ctx context.Context) (tristrand.QueueState, error) {
	st, err := q.o.read(bounded(ctx))
	if err != nil {
		return tristrand.QueueState{}, err
	}
	out := tristrand.QueueState{Len: len(st.Items), Cap: st.Cap, Unfinished: st.Unfinished, Getting: len(st.Getters), Shutdown: st.Down}
	if !st.Down {
		out.Putting = len(st.Putters)
	}
	return out, nil
}

// All yields items until the queue is shut down and empty.
func (q *Queue[T]) All(ctx context.Context) iter.Seq2[T, error] {
	return items.All(ctx, q.Get)
}
