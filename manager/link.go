package manager

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/mpwire"
	"github.com/tristrand/tristrand/internal/pickle"
	"github.com/tristrand/tristrand/manager/internal/host"
	"github.com/tristrand/tristrand/strand"
)

// A Go client has one connection for all its strands, a link: a function of the
// server like accept_connection, which other servers answer with an error. Each
// message is one pickle:
//
//	(n, ident, method, args, kwds, who)  call n; ident None is a function of the server
//	(n, None)                            call n is not waited for any more
//	(0, owner)                           the owner has ended
//	(n, kind, value, code)               the answer to call n
//
// who is None or (owner, name, place, timed): the number of the strand, below 0
// for one that is nameless. Code names an error of package tristrand, "" none. n
// 0 wants no answer.
const (
	linkName    = "tristrand_link"
	linkVersion = 1

	maxWaiting = 1 << 16 // calls of one link that wait
	maxIdle    = 1 << 10 // owners that are kept although they hold nothing
	flushBytes = 64 << 10
)

// a link is the server's side.
type link struct {
	*conn
	ctx  context.Context //nolint:containedctx // the link's own
	peer string
	host string
	pid  int

	anyone *host.Owner           // whose calls without an owner are
	owners map[int64]*host.Owner // the reader's own
	out    linkWriter

	mu      sync.Mutex // guards the rest
	refs    map[string]int
	waiting map[int64]func(cause error) // how the calls that wait are given up
	wg      sync.WaitGroup

	turning atomic.Bool // a turn goes on, and sends what there is at its end
}

// a linkWriter collects messages while others are being written.
type linkWriter struct {
	write func([]byte) error
	most  int64 // bytes of a message; 0 is no bound

	mu   sync.Mutex
	buf  []byte
	busy bool
	err  error
}

// add appends one message.
func (w *linkWriter) add(v any) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	start := len(w.buf)
	b, err := pickle.MarshalMost(mpwire.Begin(w.buf), v, w.most)
	if err != nil {
		w.buf = w.buf[:start]
		return err
	}
	frame := mpwire.End(b, start)
	w.buf = b[:start+copy(b[start:], frame)] // close the gap before a short header
	return w.err
}

// flush writes what there is, or leaves it to who is writing.
func (w *linkWriter) flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.buf) > 0 && !w.busy && w.err == nil {
		b := w.buf
		w.buf, w.busy = nil, true
		w.mu.Unlock()
		err := w.write(b)
		w.mu.Lock()
		w.busy = false
		if w.err = err; w.buf == nil && cap(b) <= flushBytes {
			w.buf = b[:0]
		}
	}
	return w.err
}

// some writes as much as try takes without waiting, and reports whether that was
// all. It leaves it to who is writing.
func (w *linkWriter) some(try func([]byte) (int, error)) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.buf) == 0 || w.busy || w.err != nil {
		return true, w.err
	}
	n, err := try(w.buf)
	w.buf = w.buf[:copy(w.buf, w.buf[n:])]
	if cap(w.buf) > flushBytes && len(w.buf) == 0 {
		w.buf = nil
	}
	w.err = err
	return len(w.buf) == 0, err
}

func (w *linkWriter) large() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.buf) >= flushBytes
}

// link serves a connection that has become one.
func (c *conn) link(ctx context.Context, rq request) error {
	if len(rq.args) != 4 || rq.args[0] != any(int64(linkVersion)) {
		return c.reply(traceback, fmt.Sprintf("ValueError: a link of version %d is wanted\n", linkVersion))
	}
	lk := &link{
		conn: c, owners: map[int64]*host.Owner{}, refs: map[string]int{}, waiting: map[int64]func(error){},
	}
	c.pid = 0 // the link counts for itself
	lk.out.write, lk.out.most = c.write, c.s.MaxMessageBytes
	lk.peer, _ = rq.args[1].(string)
	lk.host, _ = rq.args[2].(string)
	pid, _ := rq.args[3].(int64)
	lk.pid = int(pid)
	lk.anyone = &host.Owner{Name: lk.peer, Host: lk.host, PID: lk.pid, Go: true, Nameless: true}
	if err := c.reply(returned, pickle.Tuple{int64(linkVersion), addressOf(c.at)}); err != nil {
		return loud(err)
	}
	sits := c.sit()
	if sits {
		defer c.rise() // the last thing: calls that wait write, too
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer lk.end()
	defer cancel(errGone)
	lk.ctx = ctx
	if sits {
		c.seat.one, c.seat.flush = lk.turn, lk.push
		return loud(c.seat.attend())
	}
	for {
		data, err := c.r.Next()
		if err != nil {
			return loud(err)
		}
		if err := lk.one(data); err != nil {
			return loud(err)
		}
		if !c.r.HasFrame() || lk.out.large() {
			if err := lk.out.flush(); err != nil {
				return loud(err)
			}
		}
	}
}

// turn does one message on the server's loop.
func (lk *link) turn(data []byte) (rest func() error, err error) {
	lk.turning.Store(true)
	if err := lk.one(data); err != nil {
		return nil, err
	}
	if lk.out.large() {
		return lk.push()
	}
	return nil, nil
}

// push writes what there is room for; rest writes the rest.
func (lk *link) push() (rest func() error, err error) {
	lk.turning.Store(false)
	all, err := lk.out.some(func(b []byte) (int, error) { return lk.seat.try(b) })
	if all || err != nil {
		return nil, err
	}
	return lk.out.flush, nil
}

// end gives up everything that the link had. Its ctx has ended.
func (lk *link) end() {
	lk.mu.Lock()
	waiting := slices.Collect(maps.Values(lk.waiting))
	lk.mu.Unlock()
	for _, giveUp := range waiting {
		giveUp(errGone)
	}
	lk.wg.Wait()
	lk.s.locks.End(lk.anyone)
	for _, o := range lk.owners {
		lk.s.locks.End(o)
	}
	for id, n := range lk.refs {
		for range n {
			if err := lk.s.table.Decref(id); err != nil {
				break // somebody has counted it down
			}
		}
	}
}

var errLink = errors.New("manager: a message that is none of a link's")

// one does one message. An error ends the link.
func (lk *link) one(data []byte) error {
	v, err := pickle.Unmarshal(data, lk.s.read)
	t, ok := v.(pickle.Tuple)
	if err != nil {
		return lk.unread(data, err)
	}
	if !ok || len(t) != 2 && len(t) != 6 {
		return errLink
	}
	n, ok := t[0].(int64)
	if !ok || n < 0 {
		return errLink
	}
	if len(t) == 6 {
		rq, err := asRequest(t[1:5])
		if err != nil {
			return lk.answer(n, traceback, failure(err), nil)
		}
		return lk.call(n, rq, t[5])
	}
	if n > 0 {
		lk.mu.Lock()
		cancel := lk.waiting[n]
		lk.mu.Unlock()
		if cancel != nil {
			cancel(context.Canceled)
		}
		return nil
	}
	id, _ := t[1].(int64)
	if o := lk.owners[id]; o != nil {
		delete(lk.owners, id)
		lk.s.locks.End(o)
	}
	return nil
}

// unread answers a call that could not be read: its number comes first, so that
// much of it can be.
func (lk *link) unread(data []byte, err error) error {
	n, ok := pickle.FirstInt(data)
	if !ok {
		return errors.Join(errLink, err)
	}
	return lk.answer(n, traceback, failure(err), err)
}

// answer sends the answer to call n.
func (lk *link) answer(n int64, kind string, v any, err error) error {
	if n == 0 {
		return nil
	}
	werr := lk.out.add(pickle.Tuple{n, kindValue(kind), v, code(err)})
	if w, ok := errors.AsType[*pickle.WriteError](werr); ok {
		return lk.out.add(pickle.Tuple{n, unserializable, failure(w), nil})
	}
	return werr
}

// owner returns whose call it is.
func (lk *link) owner(who any) (o *host.Owner, place string, timed bool, err error) {
	if who == nil {
		return lk.anyone, "", false, nil
	}
	t, ok := who.(pickle.Tuple)
	if !ok || len(t) != 4 {
		return nil, "", false, errLink
	}
	id, ok1 := t[0].(int64)
	name, ok2 := t[1].(string)
	place, ok3 := t[2].(string)
	timed, ok4 := t[3].(bool)
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return nil, "", false, errLink
	}
	o = lk.owners[id]
	if o == nil {
		if len(lk.owners) >= maxIdle {
			lk.sweep()
		}
		o = &host.Owner{Name: name, Host: lk.host, PID: lk.pid, Go: true, Nameless: id <= 0}
		o.Ref.Strand = strand.ID(max(id, 0))
		lk.owners[id] = o
	}
	return o, place, timed, nil
}

// sweep forgets owners that hold and do nothing.
func (lk *link) sweep() {
	for id, o := range lk.owners {
		if !lk.s.locks.Busy(o) {
			delete(lk.owners, id)
		}
	}
}

// call does call n, at once or, if it has to wait, in a goroutine of its own.
func (lk *link) call(n int64, rq request, who any) error {
	if rq.ident == nil {
		return lk.function(n, rq)
	}
	o, place, timed, err := lk.owner(who)
	if err != nil {
		return err
	}
	c := &host.Call{Owner: o, Args: rq.args, Kwds: rq.kwds, Place: place, Timed: timed, Wait: mayNotWait}
	if lk.seat != nil && host.AnswersLater(rq.name) {
		c.Later = func(giveUp func(error)) func(any, error) { return lk.later(n, c, giveUp) }
	}
	kind, v, err := lk.s.call(rq, c, lk.at)
	if c.Woke && lk.seat != nil {
		lk.seat.l.handed.Store(true)
	}
	switch {
	case errors.Is(err, host.ErrLater):
		return nil
	case !errors.Is(err, host.ErrWouldWait):
		return lk.done(n, kind, v, err)
	}
	lk.mu.Lock()
	defer lk.mu.Unlock()
	if len(lk.waiting) >= maxWaiting {
		err := fmt.Errorf("%d calls of this client wait already", maxWaiting)
		return lk.answer(n, raised, host.Builtin("RuntimeError", err.Error()), err)
	}
	ctx, cancel := context.WithCancelCause(lk.ctx)
	lk.waiting[n] = cancel
	lk.s.locks.Enter(o)
	lk.wg.Add(1)
	strand.Go(ctx, strand.Options{Kind: strand.Worker, Name: o.Name}, func(ctx context.Context) {
		defer lk.wg.Done()
		lk.waits(ctx, n, rq, c)
	})
	return nil
}

func mayNotWait() (context.Context, context.Context, error) { return nil, nil, host.ErrWouldWait }

// waits does a call that waits.
func (lk *link) waits(ctx context.Context, n int64, rq request, c *host.Call) {
	c.Wait = func() (context.Context, context.Context, error) { return ctx, lk.ctx, nil }
	kind, v, err := lk.s.call(rq, c, lk.at)
	lk.s.locks.Leave(c.Owner)
	lk.mu.Lock()
	cancel := lk.waiting[n]
	delete(lk.waiting, n)
	lk.mu.Unlock()
	cancel(nil)
	if lk.ctx.Err() != nil { // nobody is there to hear it
		lk.s.undo(rq, kind, v)
		return
	}
	if lk.done(n, kind, v, err) == nil {
		_ = lk.out.flush() // the reader sees it, too
	}
}

// done answers a call and counts the reference that it gives.
func (lk *link) done(n int64, kind string, v any, err error) error {
	if t, ok := v.(pickle.Tuple); ok && kind == newProxy {
		lk.count(t[1].(*host.Token).ID, 1)
	}
	return lk.answer(n, kind, v, err)
}

func (lk *link) count(id string, n int) {
	lk.mu.Lock()
	defer lk.mu.Unlock()
	if lk.refs[id] += n; lk.refs[id] == 0 {
		delete(lk.refs, id)
	}
}

// function does a function of the server.
func (lk *link) function(n int64, rq request) error {
	v, err := lk.conn.function(lk.ctx, rq)
	if err != nil {
		return lk.answer(n, traceback, failure(err), err)
	}
	switch rq.name {
	case "create":
		lk.count(v.(pickle.Tuple)[0].(string), 1)
	case "incref":
		lk.count(rq.args[0].(string), 1)
	case "decref":
		lk.count(rq.args[0].(string), -1)
	case "shutdown":
		err = errors.Join(lk.answer(n, returned, v, nil), lk.out.flush())
		lk.s.stop()
		return err
	}
	return lk.answer(n, returned, v, nil)
}

// codes name the errors of package tristrand.
var codes = []struct {
	code string
	err  error
}{
	{"owner-died", tristrand.ErrOwnerDied}, {"not-held", tristrand.ErrNotHeld}, {"over-release", tristrand.ErrOverRelease},
	{"broken", tristrand.ErrBroken}, {"full", tristrand.ErrFull}, {"empty", tristrand.ErrEmpty},
	{"shutdown", tristrand.ErrShutdown}, {"canceled", context.Canceled}, {"deadline", context.DeadlineExceeded},
}

// code tells a Go client what an error is: None, a str, or the codes and the
// cycle of a deadlock.
func code(err error) any {
	if err == nil {
		return nil
	}
	var found []string
	for _, c := range codes {
		if errors.Is(err, c.err) {
			found = append(found, c.code)
		}
	}
	dead, ok := errors.AsType[*strand.DeadlockError](err)
	if !ok {
		return names(found)
	}
	t := names(append(slices.Clone(found), "deadlock"))
	for _, l := range dead.Cycle {
		t = append(t, pickle.Tuple{l.Waiter, l.On, l.Holder, l.TakenAt})
	}
	return t
}
