package manager

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/tristrand/tristrand/internal/mpwire"
	"github.com/tristrand/tristrand/internal/pickle"
	"github.com/tristrand/tristrand/manager/internal/host"
)

// readBytes is what a connection keeps to read into. Most requests fit.
const readBytes = 1 << 10

// conn is one connection of a client.
type conn struct {
	s   *Server
	net net.Conn // perhaps TLS on raw
	raw net.Conn
	at  net.Addr // of the listener
	r   *mpwire.Reader
	pid int // of the peer, 0 if it is not known

	seat *seat // nil: a goroutine waits for what comes
}

// sit has the server's loop wait for what comes, if it can. Afterwards net and raw
// are the seat, whose turn the caller has.
func (c *conn) sit() bool {
	if c.net != c.raw { // TLS has state of its own
		return false
	}
	l := c.s.sessions()
	if l == nil {
		return false
	}
	st, err := newSeat(l, c.raw, c.r, c.s.WriteTimeout)
	if err != nil {
		return false // what is wrong with it is seen by who reads
	}
	c.seat = st
	c.s.exchange(c.raw, st)
	return true
}

// rise closes the seat.
func (c *conn) rise() {
	c.s.exchange(c.seat, c.raw)
	c.seat.end()
}

// run does the handshake and the first request, and what comes of it. An error
// is for the server's log: the peer is told nothing that it has not to know.
func (c *conn) run(ctx context.Context) error {
	if d := c.s.HandshakeTimeout; d > 0 {
		if err := c.net.SetDeadline(time.Now().Add(d)); err != nil {
			return loud(err) // closed meanwhile
		}
	}
	c.r = mpwire.NewReader(c.net, readBytes)
	c.r.Before = mpwire.QuickAck(c.raw)
	if !c.s.NoAuth {
		if err := c.s.auth().Welcome(c.r, c.net); err != nil {
			return loud(err)
		}
	}
	c.r.Most = c.s.MaxMessageBytes
	data, err := c.r.Next()
	if err != nil {
		return loud(err)
	}
	c.s.settled(c.raw)
	c.r.Before = nil
	c.pid = peerPID(c.raw)
	if err := c.net.SetDeadline(time.Time{}); err != nil {
		return loud(err) // closed meanwhile
	}
	rq, err := c.decode(data)
	if err != nil {
		return c.reply(traceback, failure(err))
	}
	return c.first(ctx, rq)
}

// loud returns err if somebody should hear of it: not that a peer went away or
// never spoke.
func loud(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	var op *net.OpError
	var sys *os.SyscallError
	if (errors.As(err, &op) || errors.As(err, &sys)) && !errors.Is(err, mpwire.ErrAuth) {
		return nil
	}
	return err
}

// a request is what a client sends: a function or a method, and its arguments.
type request struct {
	ident any
	name  string
	args  pickle.Tuple
	kwds  *pickle.Dict
}

func (c *conn) decode(data []byte) (request, error) {
	v, err := pickle.Unmarshal(data, c.s.read)
	if err != nil {
		return request{}, err
	}
	return asRequest(v)
}

// asRequest checks the shape of a request.
func asRequest(v any) (request, error) {
	t, ok := v.(pickle.Tuple)
	if !ok || len(t) != 4 {
		return request{}, fmt.Errorf("ValueError: a request is a tuple of ident, name, arguments and keywords")
	}
	rq := request{ident: t[0]}
	if rq.name, ok = t[1].(string); !ok {
		return request{}, fmt.Errorf("TypeError: the name of a method must be a str, not %s", pickle.TypeName(t[1]))
	}
	switch args := t[2].(type) {
	case pickle.Tuple:
		rq.args = args
	default:
		items, err := pickle.Iterate(args)
		if err != nil {
			return request{}, err
		}
		rq.args = items
	}
	switch kwds := t[3].(type) {
	case *pickle.Dict:
		for k := range kwds.All() {
			if _, ok := k.(string); !ok {
				return request{}, fmt.Errorf("TypeError: keywords must be strings")
			}
		}
		rq.kwds = kwds
	case nil:
	default:
		return request{}, fmt.Errorf("TypeError: keywords must be a dict, not %s", pickle.TypeName(kwds))
	}
	return rq, nil
}

// The kinds of answers.
const (
	returned       = "#RETURN"
	raised         = "#ERROR"
	newProxy       = "#PROXY"
	traceback      = "#TRACEBACK"
	unserializable = "#UNSERIALIZABLE"
)

// kindValue is a kind as a value that needs no memory.
func kindValue(kind string) any {
	switch kind {
	case returned:
		return returned
	case raised:
		return raised
	default:
		return kind
	}
}

// buffers are for answers.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// largeBuffer is above what is kept.
const largeBuffer = 64 << 10

// reply sends an answer. An error says that the connection is over.
func (c *conn) reply(kind string, v any) error {
	b := newBuffer()
	defer buffers.Put(b)
	frame, err := c.frame(b, kind, v)
	if err != nil {
		return err
	}
	return c.write(frame)
}

// answer is reply for who must not wait: rest does what is left.
func (st *seat) answer(c *conn, kind string, v any) (rest func() error, err error) {
	b := newBuffer()
	defer buffers.Put(b)
	frame, err := c.frame(b, kind, v)
	if err != nil {
		return nil, err
	}
	return st.send(frame)
}

func newBuffer() *[]byte {
	if b, ok := buffers.Get().(*[]byte); ok {
		return b
	}
	return new([]byte)
}

// frame is the frame of an answer, perhaps in b.
func (c *conn) frame(b *[]byte, kind string, v any) ([]byte, error) {
	frame, err := pickle.MarshalMost(mpwire.Begin((*b)[:0]), pickle.Tuple{kindValue(kind), v}, c.s.MaxMessageBytes)
	if err != nil {
		text := pickle.Tuple{unserializable, failure(err)}
		if frame, err = pickle.Marshal(mpwire.Begin((*b)[:0]), text); err != nil {
			return nil, err
		}
	}
	if cap(frame) <= largeBuffer {
		*b = frame
	}
	return mpwire.End(frame, 0), nil
}

// write writes to the connection, for as long as the peer may take.
func (c *conn) write(frame []byte) error {
	if c.seat != nil {
		_, err := c.seat.Write(frame)
		return err
	}
	if d := c.s.WriteTimeout; d > 0 && len(frame) > surelyFits {
		if err := c.net.SetWriteDeadline(time.Now().Add(d)); err != nil {
			return err
		}
		defer func() { _ = c.net.SetWriteDeadline(time.Time{}) }() // it may be closed
	}
	_, err := c.net.Write(frame)
	return err
}

// surelyFits is what a socket's buffer takes of a peer that reads what it gets:
// a request in turn for each answer.
const surelyFits = 1 << 10

// failure is the text of an error for a client: its last line is "Type: what".
func failure(err error) string {
	if e, ok := host.AsException(err); ok {
		return e.Error() + "\n"
	}
	if _, ok := errors.AsType[*pickle.Error](err); ok {
		return "UnpicklingError: " + err.Error() + "\n"
	}
	if _, ok := errors.AsType[*pickle.WriteError](err); ok {
		return "PicklingError: " + err.Error() + "\n"
	}
	return err.Error() + "\n"
}

// first does the first request of a connection, a function of the server.
func (c *conn) first(ctx context.Context, rq request) error {
	if rq.name == "accept_connection" {
		name := fmt.Sprint("a client of ", c.net.RemoteAddr())
		if len(rq.args) > 0 {
			if text, ok := rq.args[0].(string); ok {
				name = text
			}
		}
		if err := c.reply(returned, nil); err != nil {
			return loud(err) // it went away
		}
		return c.session(ctx, name)
	}
	if rq.name == linkName {
		return c.link(ctx, rq)
	}
	v, err := c.function(ctx, rq)
	if err != nil {
		err = c.reply(traceback, failure(err))
	} else {
		err = c.reply(returned, v)
	}
	if rq.name == "shutdown" {
		c.s.stop()
	}
	return loud(err)
}

// function does a function of the server.
func (c *conn) function(ctx context.Context, rq request) (any, error) {
	switch rq.name {
	case "dummy", "shutdown":
		return nil, nil
	case "create":
		return c.create(ctx, rq)
	case "incref", "decref":
		id, err := rq.text(0)
		if err != nil {
			return nil, err
		}
		if rq.name == "incref" {
			err = c.s.table.Incref(id)
			if err == nil {
				c.s.peers.count(c.pid, id, 1)
			}
			return nil, err
		}
		if err = c.s.table.Decref(id); err == nil {
			c.s.peers.count(c.pid, id, -1)
		}
		return nil, err
	case inspectName:
		return c.s.inspect(), nil
	case "number_of_objects":
		return int64(c.s.table.Len()), nil
	case "debug_info":
		return c.s.table.Debug(), nil
	case "get_methods":
		if len(rq.args) == 1 {
			if t, ok := rq.args[0].(*host.Token); ok {
				e, err := c.s.table.Find(t.ID)
				if err != nil {
					return nil, err
				}
				return names(e.Type.Exposed), nil
			}
		}
		return nil, errors.New("TypeError: get_methods takes a Token")
	default:
		return nil, fmt.Errorf("AssertionError: %s unrecognized", pickle.Repr(rq.name, 100))
	}
}

// text returns an argument that has to be a str.
func (rq request) text(i int) (string, error) {
	if i < len(rq.args) {
		if s, ok := rq.args[i].(string); ok {
			return s, nil
		}
	}
	return "", fmt.Errorf("TypeError: %s takes a str", rq.name)
}

func names(list []string) pickle.Tuple {
	t := make(pickle.Tuple, len(list))
	for i, s := range list {
		t[i] = s
	}
	return t
}

// create makes an object of a type.
func (c *conn) create(ctx context.Context, rq request) (any, error) {
	id, err := rq.text(0)
	if err != nil {
		return nil, err
	}
	ty := c.s.types[id]
	if ty == nil || ty.New == nil {
		return nil, fmt.Errorf("KeyError: %s", pickle.Repr(id, 100))
	}
	call := &host.Call{Args: rq.args[1:], Kwds: rq.kwds, Owner: &host.Owner{Name: "create"}, Wait: func() (context.Context, context.Context, error) {
		return ctx, ctx, nil
	}}
	o, err := makeSafely(ty, call)
	if err != nil {
		return nil, err
	}
	e, err := c.s.table.Add(ty, o)
	if err != nil {
		return nil, err
	}
	c.s.peers.count(c.pid, e.ID, 1)
	return pickle.Tuple{e.ID, names(e.Type.Exposed)}, nil
}
