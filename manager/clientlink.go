package manager

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/tristrand/tristrand/internal/gtoken"
	"github.com/tristrand/tristrand/internal/mpwire"
	"github.com/tristrand/tristrand/internal/pickle"
	"github.com/tristrand/tristrand/strand"
)

func containsAny(s string, parts ...string) bool {
	for _, p := range parts {
		if strings.Contains(s, p) {
			return true
		}
	}
	return false
}

// errNotSent says that a call was not sent: it may be tried again.
var errNotSent = errors.New("the connection broke before the call was sent")

// a clientLink is the client's side of a link, see linkName. Who reads it is told
// in reader.go.
type clientLink struct {
	c    *Client
	nc   net.Conn
	r    *mpwire.Reader
	out  linkWriter
	lead chan struct{} // tells the reading goroutine that it reads
	over chan struct{} // closed when it has ended

	reading pickle.Options // of the reader, as is found
	found   []*Proxy       // in the answer that is read
	peek    *peeker        // of the reader; nil: the goroutine reads all the time
	blocker strand.Blocker // of the call that reads

	mu      sync.Mutex // guards the rest
	read    bool       // somebody reads
	mine    *linkCall  // the call that does
	woken   bool       // its read has been ended by a deadline
	alone   int        // how many of the last calls found no other waiting
	next    int64
	calls   map[int64]*linkCall
	err     error // why it broke
	strands map[strand.ID]bool
	places  map[uintptr]any // what strand.Place says of callers
}

// a linkCall is a call that has no answer yet.
type linkCall struct {
	w       strand.Wait
	done    bool
	kind    string
	v       any
	is      []error
	proxies []*Proxy
	err     error // of the link
}

func newClientLink(c *Client, nc net.Conn, r *mpwire.Reader) *clientLink {
	lk := &clientLink{c: c, nc: nc, r: r, alone: lonelyAfter, lead: make(chan struct{}, 1), over: make(chan struct{}), calls: map[int64]*linkCall{}, strands: map[strand.ID]bool{}, places: map[uintptr]any{}}
	lk.blocker = strand.Blocker{Block: lk.block, Wake: lk.interrupt, Leave: lk.leave}
	lk.reading = c.reading(&lk.found)
	lk.out.write = func(b []byte) error {
		_, err := nc.Write(b)
		return err
	}
	if lk.peek = newPeeker(nc); lk.peek == nil {
		lk.read = true
		signal(lk.lead)
	}
	go lk.reads()
	return lk
}

// end breaks the link: all calls end with err.
func (lk *clientLink) end(err error) {
	lk.mu.Lock()
	if lk.err == nil {
		lk.err = err
	}
	err = lk.err
	calls := lk.calls
	lk.calls = map[int64]*linkCall{}
	for _, p := range calls {
		p.done, p.err = true, err
	}
	lk.mu.Unlock()
	lk.c.forget(lk)
	_ = lk.nc.Close() // the reader sees it
	signal(lk.lead)   // the last time
	for _, p := range calls {
		p.w.Grant()
	}
}

// one reads an answer and gives it to who waits for it. It returns true when the
// reader need not read on: a call has its answer, or the goroutine's time is over.
func (lk *clientLink) one() (enough bool, err error) {
	data, err := lk.r.Next()
	if err != nil {
		return false, err
	}
	lk.found = nil
	v, err := pickle.Unmarshal(data, lk.reading)
	if err != nil {
		return false, err
	}
	t, ok := v.(pickle.Tuple)
	if !ok || len(t) != 4 {
		return false, errLink
	}
	n, ok1 := t[0].(int64)
	kind, ok2 := t[1].(string)
	if !ok1 || !ok2 {
		return false, errLink
	}
	lk.mu.Lock()
	p := lk.calls[n]
	delete(lk.calls, n)
	if p != nil {
		p.kind, p.v, p.is, p.proxies, p.done = kind, t[2], decode(t[3]), lk.found, true
	}
	if lk.mine != nil {
		enough = p == lk.mine
	} else if enough = len(lk.calls) == 0 && lk.alone == lonelyAfter && lk.peek != nil; enough {
		lk.read = false
	}
	mine := p == lk.mine
	lk.mu.Unlock()
	if p != nil && !mine { // block says so
		p.w.Grant()
	}
	return enough, nil
}

// decode reads a code, see there.
func decode(v any) []error {
	t, ok := v.(pickle.Tuple)
	if !ok {
		return nil
	}
	var is []error
	dead := &strand.DeadlockError{}
	for _, x := range t {
		switch x := x.(type) {
		case string:
			for _, c := range codes {
				if c.code == x {
					is = append(is, c.err)
				}
			}
		case pickle.Tuple:
			if len(x) == 4 {
				l := strand.Link{}
				for i, to := range []*string{&l.Waiter, &l.On, &l.Holder, &l.TakenAt} {
					*to, _ = x[i].(string)
				}
				dead.Cycle = append(dead.Cycle, l)
			}
		}
	}
	if len(dead.Cycle) > 0 {
		is = append(is, dead)
	}
	return is
}

// who is the caller as the server shall know it.
func (lk *clientLink) who(ctx context.Context, s *strand.Strand, cl call) any {
	if !cl.owner {
		return nil
	}
	id, name := int64(s.ID()), s.Name()
	if id == 0 {
		id, name = -int64(gtoken.Get()>>1)-1, fmt.Sprintf("a goroutine of %s", lk.c.name)
	} else {
		lk.remember(s)
	}
	_, timed := ctx.Deadline()
	return pickle.Tuple{id, name, lk.place(cl.place), timed}
}

// place is where a call is made, a str.
func (lk *clientLink) place(pc uintptr) any {
	lk.mu.Lock()
	defer lk.mu.Unlock()
	at, ok := lk.places[pc]
	if !ok {
		at = strand.Place(pc)
		lk.places[pc] = at
	}
	return at
}

// remember sees to it that the server is told when the strand ends.
func (lk *clientLink) remember(s *strand.Strand) {
	id := s.ID()
	lk.mu.Lock()
	known := lk.strands[id]
	lk.strands[id] = true
	lk.mu.Unlock()
	if known {
		return
	}
	s.AtEnd(func() {
		lk.mu.Lock()
		delete(lk.strands, id)
		over := lk.err != nil
		lk.mu.Unlock()
		if !over && lk.out.add(pickle.Tuple{int64(0), int64(id)}) == nil {
			_ = lk.out.flush() // a link that broke has told the server
		}
	})
}

// do does a call.
func (lk *clientLink) do(ctx context.Context, cl call) (any, error) {
	s := strand.Enter(ctx, strand.Op{Verb: cl.method, On: cl.on, Write: true})
	p := &linkCall{w: s.NewWait()}
	n, mine, err := lk.begin(p, s.Scheduler() == nil)
	if err != nil {
		p.w.Cancel()
		return nil, err
	}
	err = lk.out.add(pickle.Tuple{n, cl.ident, cl.method, cl.args, cl.kwds, lk.who(ctx, s, cl)})
	if err == nil {
		err = lk.out.flush()
	}
	if err != nil {
		lk.mu.Lock()
		delete(lk.calls, n)
		lk.mu.Unlock()
		if mine {
			lk.leave()
		}
		p.w.Cancel()
		if _, ok := errors.AsType[*pickle.WriteError](err); !ok {
			err = fmt.Errorf("%w: %w", ErrConnection, err)
			lk.end(err)
		}
		return nil, err
	}
	if mine {
		err = p.w.ParkIn(ctx, lk.on(cl), &lk.blocker)
	} else {
		err = p.w.Park(ctx, lk.on(cl))
	}
	if err != nil {
		if dead, ok := errors.AsType[*strand.DeadlockError](err); ok && ctx.Err() == nil {
			err = dead
		}
		if !lk.cancel(ctx, s, p, n, cl) {
			return nil, err
		}
	}
	return lk.result(ctx, p)
}

// on is what the call waits for.
func (lk *clientLink) on(cl call) strand.Resource {
	if cl.on != nil {
		return cl.on
	}
	return lk
}

// String names the link to those who look at waits.
func (lk *clientLink) String() string { return "manager " + lk.c.addr }

// Releasers says that it is not known here who could answer.
func (lk *clientLink) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) { return buf, false }

// cancel gives a call up, whose ctx has ended, and waits for the answer, which
// says whether it was done all the same. It returns false when none comes: the
// link is broken then, so that the server undoes it.
func (lk *clientLink) cancel(ctx context.Context, s *strand.Strand, p *linkCall, n int64, cl call) bool {
	lk.mu.Lock()
	if p.done {
		lk.mu.Unlock()
		return true
	}
	p.w = s.NewWait()
	lk.mu.Unlock()
	if lk.out.add(pickle.Tuple{n, nil}) == nil {
		_ = lk.out.flush() // the reader sees it
	}
	later := context.WithoutCancel(ctx)
	if !cl.patient {
		var stop context.CancelFunc
		later, stop = context.WithTimeout(later, lk.c.o.Timeout)
		defer stop()
	}
	if err := p.w.Park(later, lk.on(cl)); err == nil {
		return true
	}
	lk.end(fmt.Errorf("%w: it does not answer within %v", ErrConnection, lk.c.o.Timeout))
	return false
}

// result returns what the answer says.
func (lk *clientLink) result(ctx context.Context, p *linkCall) (any, error) {
	lk.mu.Lock()
	err := p.err
	lk.mu.Unlock()
	if err != nil {
		return nil, err
	}
	v, err := outcome(p.kind, p.v, p.is)
	if err != nil && ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		err = strand.Err(ctx)
		for _, e := range p.is {
			if dead, ok := errors.AsType[*strand.DeadlockError](e); ok {
				err = errors.Join(err, dead)
			}
		}
	}
	if err == nil {
		err = lk.c.adopt(ctx, p.proxies)
	}
	return v, err
}
