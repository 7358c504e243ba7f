package manager

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/tristrand/tristrand/internal/pickle"
	"github.com/tristrand/tristrand/manager/internal/host"
	"github.com/tristrand/tristrand/strand"
)

// a session is what one thread of a Python program has: it sends a request and
// waits for the answer, in turns. It owns the locks that it takes.
type session struct {
	*conn
	ctx   context.Context //nolint:containedctx // the session's own: it names its strand
	owner *host.Owner
	watch *watch // while a call waits
}

// session serves a connection that has become one.
func (c *conn) session(ctx context.Context, name string) error {
	ctx, end := strand.Become(ctx, strand.Options{Kind: strand.Adopted, Name: name})
	defer end()
	ss := &session{conn: c, ctx: ctx, owner: &host.Owner{Name: name, PID: c.pid}}
	defer c.s.locks.End(ss.owner)
	if c.sit() {
		defer c.rise()
		c.seat.one = ss.turn
		return loud(c.seat.attend())
	}
	for {
		data, err := c.r.Next()
		if err != nil {
			return loud(err)
		}
		if len(data) == 0 {
			return nil // as Python's unpickler has it
		}
		rq, err := ss.decode(data)
		if err != nil {
			err = ss.reply(traceback, failure(err))
		} else {
			err = ss.perform(rq)
		}
		if err != nil {
			return loud(err)
		}
	}
}

// turn does one request on the server's loop, or as much of it as takes no time.
func (ss *session) turn(data []byte) (rest func() error, err error) {
	if len(data) == 0 {
		return nil, io.EOF // as Python's unpickler has it
	}
	rq, err := ss.decode(data)
	if err != nil {
		return ss.seat.answer(ss.conn, traceback, failure(err))
	}
	if host.TakesLong(rq.name) {
		return func() error { return ss.perform(rq) }, nil
	}
	call := &host.Call{Args: rq.args, Kwds: rq.kwds, Owner: ss.owner, Wait: mayNotWait}
	var later *laterAnswer
	if host.AnswersLater(rq.name) {
		later = &laterAnswer{ss: ss}
		call.Later = later.begin
	}
	kind, v, err := ss.s.call(rq, call, ss.at)
	switch {
	case err == nil:
	case errors.Is(err, host.ErrLater):
		return later.await()
	case errors.Is(err, host.ErrWouldWait):
		return func() error { return ss.perform(rq) }, nil
	}
	if call.Woke {
		ss.seat.l.handed.Store(true)
	}
	rest, err = ss.seat.answer(ss.conn, kind, v)
	ss.told(rq, kind, v, err)
	return rest, err
}

// perform does one request, however long it takes. An error says that the session
// is over.
func (ss *session) perform(rq request) error {
	kind, v, _ := ss.s.call(rq, &host.Call{Args: rq.args, Kwds: rq.kwds, Owner: ss.owner, Wait: ss.wait}, ss.at)
	if ss.watch != nil {
		gone := ss.watch.end()
		ss.watch = nil
		if gone {
			ss.s.undo(rq, kind, v)
			return io.EOF
		}
	}
	err := ss.reply(kind, v)
	ss.told(rq, kind, v, err)
	return err
}

// told notes what the peer has got with an answer: a reference with a #PROXY. If
// it could not be sent, what the call got is given up.
func (ss *session) told(rq request, kind string, v any, err error) {
	if err != nil {
		ss.s.undo(rq, kind, v)
		return
	}
	if t, ok := v.(pickle.Tuple); ok && kind == newProxy {
		ss.s.peers.count(ss.pid, t[1].(*host.Token).ID, 1)
	}
}

// undo gives up what a call has got for a client that is gone.
func (s *Server) undo(rq request, kind string, v any) {
	if kind == newProxy {
		_ = s.table.Decref(v.(pickle.Tuple)[1].(*host.Token).ID) // it was made just now
	}
	id, _ := rq.ident.(string)
	e, err := s.table.Find(id)
	if kind != returned || err != nil {
		return
	}
	if u, ok := e.Object.(interface{ Undo(method string, v any) }); ok {
		u.Undo(rq.name, v)
	}
}

// call calls a method and returns the kind of the answer and the answer; err is
// what a raised answer is to a Go client.
func (s *Server) call(rq request, call *host.Call, at any) (kind string, v any, err error) {
	id, ok := rq.ident.(string)
	if !ok {
		return traceback, fmt.Sprintf("KeyError: %s\n", pickle.Repr(rq.ident, 200)), nil
	}
	e, err := s.table.Find(id)
	if err != nil {
		return traceback, failure(err), nil
	}
	v, err = callSafely(e.Object, call, rq.name)
	if errors.Is(err, host.ErrNoMethod) {
		kind, v = fallback(e, rq.name)
		return kind, v, nil
	}
	if err != nil {
		kind, v = s.failed(err)
		return kind, v, err
	}
	made, ok := v.(host.Created)
	if !ok {
		return returned, v, nil
	}
	e, err = s.table.Add(s.types[made.Type], made.Object)
	if err != nil {
		return raised, s.raise(err), err
	}
	t := &host.Token{Type: e.Type.ID, Address: addressOf(at), ID: e.ID}
	return newProxy, pickle.Tuple{names(e.Type.Exposed), t}, nil
}

// failed is the answer to a call that failed, if it is one.
func (s *Server) failed(err error) (kind string, v any) {
	if errors.Is(err, host.ErrLater) || errors.Is(err, host.ErrWouldWait) {
		return "", nil
	}
	return raised, s.raise(err)
}

// callSafely calls a method; a panic of a user's type is an error of the call.
func callSafely(o host.Object, c *host.Call, method string) (v any, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = host.Builtin("RuntimeError", fmt.Sprintf("the server's method panicked: %v", r))
		}
	}()
	return o.Call(c, method)
}

// makeSafely makes an object; a panic of a user's New is an error of the call.
func makeSafely(ty *host.Type, c *host.Call) (o host.Object, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = host.Builtin("RuntimeError", fmt.Sprintf("making a %s panicked: %v", ty.ID, r))
		}
	}()
	return ty.New(c)
}

// raise returns what a Python client shall raise for err.
func (s *Server) raise(err error) *host.PythonError {
	if e, ok := host.AsException(err); ok {
		return e
	}
	return host.Builtin("RuntimeError", err.Error())
}

// maxRepr bounds what str() of an object returns.
const maxRepr = 16 << 20

// fallback answers what every object has.
func fallback(e *host.Entry, method string) (kind string, v any) {
	switch method {
	case "__str__", "__repr__":
		return returned, e.Object.Repr(maxRepr)
	case "#GETVALUE":
		v, err := e.Object.Value()
		if err != nil {
			return unserializable, failure(err)
		}
		return returned, v
	}
	exposed := slices.Clone(e.Type.Exposed)
	slices.Sort(exposed)
	name := pickle.Repr(method, 200)
	return traceback, fmt.Sprintf("method %s of a %s is not in exposed=%q\nKeyError: %s\n", name, e.Type.ID, slices.Compact(exposed), name)
}

// A watch looks whether a client is still there while its call waits.
type watch struct {
	ss     *session
	ctx    context.Context //nolint:containedctx // the wait's own
	cancel context.CancelCauseFunc
	done   chan struct{}
}

var errGone = errors.New("the client is gone")

// wait is called before a call blocks.
func (ss *session) wait() (ctx, gone context.Context, err error) {
	if ss.watch == nil {
		w := &watch{ss: ss, done: make(chan struct{})}
		w.ctx, w.cancel = context.WithCancelCause(ss.ctx)
		ss.watch = w
		if ss.seat != nil {
			ss.seat.waits(w.cancel)
		} else {
			go w.look()
		}
	}
	return ss.watch.ctx, ss.watch.ctx, nil
}

// look reads until the client is gone or the wait is over. What a client sends
// meanwhile, out of turn, is kept.
func (w *watch) look() {
	defer close(w.done)
	for {
		switch err := w.ss.r.Fill(); {
		case err == nil:
		case errors.Is(err, io.ErrShortBuffer) || isTimeout(err):
			return
		default:
			w.cancel(errGone)
			return
		}
	}
}

// end ends the watch and reports whether the client is gone.
func (w *watch) end() bool {
	if st := w.ss.seat; st != nil {
		defer w.cancel(nil)
		return st.waits(nil) || w.ctx.Err() != nil
	}
	_ = w.ss.net.SetReadDeadline(past) // a closed connection ends the read, too
	<-w.done
	_ = w.ss.net.SetReadDeadline(time.Time{})
	gone := w.ctx.Err() != nil
	w.cancel(nil)
	return gone
}

// past is a deadline that ends a read at once.
var past = time.Unix(1, 0)

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
