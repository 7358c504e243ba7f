package shm

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/fxamacker/cbor/v2"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/parcel"
	"github.com/tristrand/tristrand/internal/segment"
	"github.com/tristrand/tristrand/strand"
)

// A line is a queue of encoded items: an object for its state and for waiting, and
// a segment for what is in it. A nil one is that of a zero Queue.
type line struct {
	obj object

	// mu keeps the other goroutines of this process away while one has the guard,
	// for which the others would each block a thread, and Close away from both.
	mu   sync.Mutex
	cell *lineCell // nil: a zero value, or closed
	seg  *segment.Segment
	done runtime.Cleanup // of seg
}

// lineCell is the object's part.
type lineCell struct {
	cell
	capacity uint64
	want     [lanes]atomic.Uint32 // somebody may be waiting; set with the guard held
	store    storeHead
}

// The queues of those who wait.
const (
	getters = iota
	putters
	joiners
	lanes
)

var errNothing = errors.New("nothing")

func newLine(name string, capacity, ring int) (*line, error) {
	seg, err := segment.NewSparse("tristrand queue", ring)
	if err != nil {
		return nil, fmt.Errorf("shm: memory for a queue: %w", err)
	}
	q := new(line)
	if err := q.obj.make(kindCell, name, units[lineCell]()); err != nil {
		seg.Release()
		return nil, err
	}
	q.open(seg)
	q.cell.capacity = uint64(capacity)
	return q, nil
}

func (q *line) open(seg *segment.Segment) {
	q.cell, q.seg = cellAt[lineCell](q.obj.a, q.obj.unit), seg
	q.done = runtime.AddCleanup(q, (*segment.Segment).Release, seg)
}

func (q *line) close() error {
	if q == nil {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.cell == nil {
		return nil
	}
	q.done.Stop()
	q.seg.Release()
	q.cell, q.seg = nil, nil
	return q.obj.Close()
}

// usable returns an error for a zero queue and one that is closed.
func (q *line) usable() error {
	if q == nil {
		return new(object).usable("queue")
	}
	return q.obj.usable("queue")
}

func (q *line) lineName() string {
	if q == nil {
		return new(object).name("queue")
	}
	return q.obj.name("queue")
}

// hold keeps Close away; the caller unlocks mu.
func (q *line) hold() error {
	if q == nil {
		return q.usable()
	}
	q.mu.Lock()
	if q.cell == nil {
		q.mu.Unlock()
		return q.usable()
	}
	return nil
}

// lock begins a change, or a look, that nobody else sees half.
func (q *line) lock(ctx context.Context) error { return q.lockBy(ctx, (*guard).lockUnder) }

// lockAnyway is lock for what has to be done although ctx may have ended, or is not
// waited for.
func (q *line) lockAnyway(ctx context.Context) error { return q.lockBy(ctx, (*guard).lockAnyway) }

func (q *line) lockBy(ctx context.Context, lock func(*guard, context.Context, *arena) error) error {
	if err := q.hold(); err != nil {
		return err
	}
	return q.cell.guard.lockHeld(ctx, q.obj.a, q.obj.unit, &q.mu, q.hold, lock)
}

func (q *line) unlock() {
	q.cell.guard.unlock(q.obj.a)
	q.mu.Unlock()
}

func (q *line) items() store { return store{&q.cell.store, q.seg} }

func (q *line) errShutdown() error {
	return fmt.Errorf("%w: %s", tristrand.ErrShutdown, q.lineName())
}

// put puts an item in, or returns errNoRoom. more says that there is room for
// another. The caller has locked.
func (q *line) put(item []byte) (more bool, err error) {
	st, bound := q.items(), q.cell.capacity
	s, err := st.now()
	switch {
	case err != nil:
		return false, err
	case s.down != 0:
		return false, q.errShutdown()
	case bound > 0 && s.items >= bound:
		return false, errNoRoom
	}
	if s, err = st.put(s, item); err == nil {
		st.commit(s)
	}
	return bound == 0 || s.items < bound, err
}

// get appends the first item to buf, or returns errNothing. The caller has locked.
func (q *line) get(buf []byte) (item []byte, err error) {
	st := q.items()
	s, err := st.now()
	switch {
	case err != nil:
		return nil, err
	case s.items == 0 && s.down != 0:
		return nil, q.errShutdown()
	case s.items == 0:
		return nil, errNothing
	}
	if s, item, err = st.take(s, buf); err != nil {
		return nil, err
	}
	st.commit(s)
	if s.calm >= calmAfter {
		err = st.relax(s)
	}
	return item, err
}

// tryPut puts an item in, or returns errNoRoom. lock is one of those above.
func (q *line) tryPut(ctx context.Context, lock func(context.Context) error, item []byte) error {
	if err := segment.Room(len(item)); err != nil {
		return fmt.Errorf("shm: an item of %d bytes: %w", len(item), err)
	}
	if err := lock(ctx); err != nil {
		return err
	}
	_, err := q.put(item)
	if limit := q.seg.Size(); errors.Is(err, errNoRoom) && taken(len(item)) > uint64(limit) {
		err = fmt.Errorf("shm: an item of %d bytes: a queue takes up to %d; share large data as Bytes", len(item), limit-2*itemHeader)
	}
	wanted := err == nil && q.cell.want[getters].Load() != 0
	q.unlock()
	if wanted {
		q.tell(getters)
	}
	return err
}

// tryGet appends the first item to buf, or returns errNothing.
func (q *line) tryGet(ctx context.Context, lock func(context.Context) error, buf []byte) ([]byte, error) {
	if err := lock(ctx); err != nil {
		return nil, err
	}
	item, err := q.get(buf)
	wanted := err == nil && q.cell.want[putters].Load() != 0
	q.unlock()
	if wanted {
		q.tell(putters)
	}
	return item, err
}

// putWaiting is tryPut that waits for room.
func (q *line) putWaiting(ctx context.Context, on strand.Resource, s *strand.Strand, item []byte) error {
	more := false
	err := q.wait(ctx, on, s, putters, func() (err error) {
		more, err = q.put(item)
		return err
	})
	if err != nil {
		return err
	}
	q.tell(getters)
	if more { // one Get of a large item makes room for several
		q.tell(putters)
	}
	return nil
}

// getWaiting is tryGet that waits for an item.
func (q *line) getWaiting(ctx context.Context, on strand.Resource, s *strand.Strand, buf []byte) (item []byte, err error) {
	q.spin(s)
	err = q.wait(ctx, on, s, getters, func() (err error) {
		item, err = q.get(buf)
		return err
	})
	if err != nil {
		return nil, err
	}
	q.tell(putters)
	return item, nil
}

// spin waits a moment for a change: one that follows the last closely costs less
// to be waited for than a sleep and a wake.
func (q *line) spin(s *strand.Strand) {
	if s.Scheduler() != nil || runtime.GOMAXPROCS(0) == 1 {
		return
	}
	if q.hold() != nil {
		return
	}
	c := q.cell
	q.mu.Unlock()
	v := c.store.active.Load()
	for i := 0; i < getSpins && c.store.active.Load() == v; i++ {
		continue
	}
	runtime.KeepAlive(q) // the cell is in its arena
}

const getSpins = 4000

// wait calls try with the queue locked, until it returns something else than that
// there is nothing or no room, and waits in between.
func (q *line) wait(ctx context.Context, on strand.Resource, s *strand.Strand, lane uint64, try func() error) error {
	if err := q.usable(); err != nil {
		return err
	}
	t, err := q.obj.a.waiter(ctx, s, q.obj.unit)
	if err != nil {
		return err
	}
	defer t.done()
	for again := false; ; again = true {
		if err := q.lock(ctx); err != nil {
			if again { // a wake has come, and is not to be lost
				return q.last(lane, try, err)
			}
			return err
		}
		if err := try(); !errors.Is(err, errNothing) && !errors.Is(err, errNoRoom) {
			q.unlock()
			return err
		}
		q.cell.want[lane].Store(1)
		t.enter(ctx, lane, 0, again)
		q.unlock()
		err := t.park(ctx, on)
		switch p := t.leave(); {
		case p == passed:
			return nil
		case err == nil:
		case p == retry: // a wake that came before the end of ctx counts
			return q.last(lane, try, err)
		default:
			return err
		}
	}
}

// last tries once more for a wait that was ended by err and by a wake. If it cannot the
// wake is another's.
func (q *line) last(lane uint64, try func() error, err error) error {
	if lockErr := q.lockAnyway(over()); lockErr != nil {
		q.obj.a.wake(q.obj.unit, lane, 1, retry)
		return err
	}
	defer q.unlock()
	if tryErr := try(); !errors.Is(tryErr, errNothing) && !errors.Is(tryErr, errNoRoom) {
		return tryErr
	}
	return err
}

// tell wakes the one that has waited longest, if one does.
func (q *line) tell(lane uint64) { q.wake(lane, 1, retry) }

// wake ends the waits of n in a lane, all with n < 0.
func (q *line) wake(lane uint64, n int, as phase) {
	if q.hold() != nil {
		return
	}
	c := q.cell
	q.mu.Unlock()
	if c.want[lane].Load() == 0 || q.obj.a.wake(q.obj.unit, lane, n, as) > 0 {
		return
	}
	// Nobody was there. Who comes now sets it again.
	if q.lockAnyway(over()) == nil {
		if q.obj.a.count(q.obj.unit, lane) == 0 {
			q.cell.want[lane].Store(0)
		}
		q.unlock()
	}
}

func (q *line) taskDone(ctx context.Context) error {
	if err := q.lockAnyway(ctx); err != nil {
		return err
	}
	s, err := q.items().now()
	if err == nil && s.unfinished == 0 {
		err = fmt.Errorf("%w: %s: TaskDone with no item unfinished", tristrand.ErrOverRelease, q.lineName())
	}
	if err == nil {
		s.unfinished--
		q.items().commit(s)
	}
	q.unlock()
	if err == nil && s.unfinished == 0 {
		q.wake(joiners, -1, passed)
	}
	return err
}

func (q *line) join(ctx context.Context, on strand.Resource, s *strand.Strand) error {
	return q.wait(ctx, on, s, joiners, func() error {
		st, err := q.items().now()
		if err == nil && st.unfinished > 0 {
			return errNothing
		}
		return err
	})
}

func (q *line) shutdown(ctx context.Context, discard bool) error {
	if err := q.lockAnyway(ctx); err != nil {
		return err
	}
	st := q.items()
	s, err := st.now()
	if err == nil {
		s.down = 1
		if size := s.size; discard {
			s.unfinished -= min(s.items, s.unfinished)
			s = st.emptied(s)
			s.size, s.calm, s.most = firstRing, 0, 0
			st.commit(s)
			err = q.seg.Punch(0, int(size))
		} else {
			st.commit(s)
		}
	}
	q.unlock()
	q.wake(getters, -1, retry)
	q.wake(putters, -1, retry)
	if s.unfinished == 0 {
		q.wake(joiners, -1, passed)
	}
	return err
}

func (q *line) state() (tristrand.QueueState, error) {
	if err := q.lockAnyway(over()); err != nil {
		return tristrand.QueueState{}, err
	}
	defer q.unlock()
	q.obj.a.watch() // so that the dead are not counted for long
	s, err := q.items().now()
	return tristrand.QueueState{
		Len: int(s.items), Cap: int(q.cell.capacity), Unfinished: int(s.unfinished),
		Getting: q.obj.a.count(q.obj.unit, getters), Putting: q.obj.a.count(q.obj.unit, putters), Shutdown: s.down != 0,
	}, err
}

// A lineWire is how a queue is encoded.
type lineWire struct {
	_      struct{} `cbor:",toarray"`
	Object cbor.RawMessage
	Items  cbor.RawMessage
}

func (q *line) carry(p *parcel.Parcel) error {
	if err := q.hold(); err != nil {
		return err
	}
	defer q.mu.Unlock()
	q.done.Stop() // as for the object: it may be on its way when nothing here refers to it
	p.Segment(q.seg)
	return q.obj.Carry(p)
}

func (q *line) encode(what string) ([]byte, error) {
	if err := q.hold(); err != nil {
		return nil, err
	}
	defer q.mu.Unlock()
	object, err := q.obj.marshal(what)
	if err != nil {
		return nil, err
	}
	items, err := parcel.MarshalRef(parcel.Ref{What: what + " items", Key: q.seg.Key()})
	if err != nil {
		return nil, err
	}
	return cbor.Marshal(lineWire{Object: object, Items: items})
}

func decodeLine(data []byte, what string) (*line, error) {
	var w lineWire
	if err := cbor.Unmarshal(data, &w); err != nil {
		return nil, fmt.Errorf("shm: this is not an encoded %s: %w", what, err)
	}
	seg, _, err := parcel.UnmarshalRef(w.Items, what+" items", firstRing, 1)
	if err != nil {
		return nil, fmt.Errorf("shm: %w", err)
	}
	q := new(line)
	if err := q.obj.unmarshal(w.Object, what, kindCell); err != nil {
		seg.Release()
		return nil, err
	}
	q.open(seg)
	return q, nil
}
