package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/gtoken"
	"github.com/tristrand/tristrand/internal/wire"
	"github.com/tristrand/tristrand/strand"
)

// An object is a shared primitive: a small document in the store that is replaced by
// compare and swap, and whose changes the store tells everyone who waits. A state is its
// contents.
type object[S any] struct {
	c    *Cluster
	kind string
	name string
	subj string

	// reap takes a session that has died out of a state, and reports whether that changed
	// anything; sessions yields those that are in it.
	reap     func(s *S, session string) bool
	sessions func(s *S) []string
	start    func() *S                                                // a new object's state
	inspect  func(ctx context.Context, ids []string) map[string]error // says which waits are in vain

	kept  int  // how many changes a state names
	again bool // changes see what they have done before, however long ago

	// concerns names the one wait that a change is of interest to, so that others need not
	// look at it; "" is all of them.
	concerns func(s *S) string

	mu    sync.Mutex // guards the rest
	seq   uint64
	data  []byte // of the newest state that is known
	known bool
	heard time.Time    // when seq was
	seen  *S           // what data says, once it was decoded; it is only looked at
	last  *envelope[S] // what this process stored last, for its next change
	made  uint64       // the sequence of last
	waits map[string]*waiting
	vain  map[string]error // waits that are to end
	busy  bool             // somebody changes it
	line  []strand.Wait    // of those who want to
	news  []strand.Wait    // of those who were too late to, and want the newest state
	users int              // of sub: waits, those about to begin too
	sub   *nats.Subscription
	timer *time.Timer

	looked time.Time // for the dead, by who did not wait
}

// A waiting is a strand that waits for a change.
type waiting struct {
	w    strand.Wait
	seq  uint64 // of the state that it has seen
	done bool
}

func newObject[S any](c *Cluster, kind, name string) *object[S] {
	return &object[S]{
		c: c, kind: kind, name: name, subj: "v." + kind + "." + escape(name), waits: make(map[string]*waiting),
		reap: func(*S, string) bool { return false }, sessions: func(*S) []string { return nil }, start: func() *S { return new(S) },
		concerns: func(*S) string { return "" }, kept: keptOps,
	}
}

func (o *object[S]) String() string { return fmt.Sprintf("%s %q of the cluster", o.kind, o.name) }

// A claimant is a strand as the states know it.
type claimant struct {
	Session string    `cbor:"1,keyasint"`
	Strand  strand.ID `cbor:"2,keyasint,omitempty"`
	Guest   uint64    `cbor:"3,keyasint,omitempty"` // the goroutine of a nameless one
	Name    string    `cbor:"4,keyasint,omitempty"`
	Host    string    `cbor:"5,keyasint,omitempty"`
	PID     int       `cbor:"6,keyasint,omitempty"`
	At      string    `cbor:"7,keyasint,omitempty"`
	ID      string    `cbor:"8,keyasint"` // of the wait, or the call
	Recover bool      `cbor:"9,keyasint,omitempty"`
	Until   bool      `cbor:"10,keyasint,omitempty"` // it waits with a deadline
	Since   int64     `cbor:"11,keyasint,omitempty"` // of the servers' time
	Levels  int       `cbor:"12,keyasint,omitempty"` // to have when it has the lock
	Offset  int32     `cbor:"13,keyasint,omitempty"` // of At, in this program
}

// same reports whether two claims are of one strand.
func (a *claimant) same(b *claimant) bool {
	return a.Session == b.Session && a.Strand == b.Strand && a.Guest == b.Guest
}

var claims atomic.Uint64

// claim describes the calling strand.
func (o *object[S]) claim(ctx context.Context, s *strand.Strand, place uintptr) (*session, claimant, error) {
	sess, err := o.c.sessionOf(context.WithoutCancel(ctx))
	if err != nil {
		return nil, claimant{}, fmt.Errorf("%v: %w", o, err)
	}
	host, pid := processName()
	me := claimant{Session: sess.id, Strand: s.ID(), Name: s.Name(), Host: host, PID: pid, ID: strconv.FormatUint(claims.Add(1), 36) + "." + sess.id[:6]}
	if s.ID() == 0 {
		me.Guest = uint64(gtoken.Get())
	}
	if place != 0 {
		me.Offset = s.Offset(place)
		me.At = strand.Place(strand.PlaceAt(me.Offset))
	}
	_, me.Until = ctx.Deadline()
	me.Since = o.c.clock.now().UnixNano()
	return sess, me, nil
}

// read returns the newest state, as the leader of the store has it.
func (o *object[S]) read(ctx context.Context) (*S, error) {
	m, err := o.c.link.last(ctx, o.c.stream(streamSync), o.c.subject("s."+o.subj))
	if hasCode(err, codeNoStream) {
		if err = o.c.ensure(ctx, streamSync); err == nil {
			m, err = nil, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%v: %w", o, err)
	}
	if m == nil {
		o.learn(0, nil, "")
		return o.start(), nil
	}
	o.learn(m.Seq, m.Data, m.header(headerConcerns))
	return o.decode(m.Data)
}

// An envelope is a state as it is stored, with the last changes that made it: one that was
// stored without its author hearing of that is found there, and not made again.
type envelope[S any] struct {
	Ops   []string `cbor:"1,keyasint"`
	State *S       `cbor:"2,keyasint"`
}

// keptOps is how many, enough for what others do while an answer is waited for.
const keptOps = 64

func (o *object[S]) decode(data []byte) (*S, error) {
	e, err := o.open(data)
	return e.State, err
}

func (o *object[S]) open(data []byte) (envelope[S], error) {
	e := envelope[S]{}
	if data == nil {
		e.State = o.start()
		return e, nil
	}
	if err := wire.Decode(data, &e); err != nil || e.State == nil {
		return e, fmt.Errorf("%v: its state cannot be decoded: %w: is it of another kind?", o, err)
	}
	return e, nil
}

// headerConcerns has the ID of the wait that a stored state concerns.
const headerConcerns = "Tri-Concerns"

// view returns the newest state that is known, decoded once, to be looked at. The caller
// holds mu.
func (o *object[S]) view() (*S, error) {
	if o.seen == nil {
		var err error
		if o.seen, err = o.decode(o.data); err != nil {
			o.seen = nil
			return nil, err
		}
	}
	return o.seen, nil
}

// lateAnswer is how old an answer can be.
const lateAnswer = 2 * storeWait

// learn takes note of a state, and wakes those who wait for one and are concerned.
func (o *object[S]) learn(seq uint64, data []byte, concerned string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.known && seq <= o.seq { // objects are never deleted, so 0 is old, too
		return
	}
	// What was read before this process changed the object, and comes late, would hide that. A
	// store that is new has lower sequences for long.
	if seq < o.seq && time.Since(o.heard) < lateAnswer {
		return
	}
	o.heard = time.Now()
	o.seq, o.data, o.known, o.seen = seq, bytes.Clone(data), true, nil
	for _, w := range o.news {
		w.Grant()
	}
	o.news = nil
	for id, x := range o.waits {
		if !x.done && x.seq != seq && (concerned == "" || concerned == id) {
			x.done = true
			x.w.Grant()
		}
	}
}

// An undone says that an update changes nothing, with the error to return.
type undone struct{ err error }

func (e *undone) Error() string { return "unchanged" }

// unchanged ends an update without a change.
func unchanged(err error) error { return &undone{err} }

// casPatience is how long an update goes on trying.
const casPatience = 30 * time.Second

// update replaces the state by what change makes of it. change may be called again, also
// when its change has been stored and that was not heard of, so it must see what it has
// done before.
func (o *object[S]) update(ctx context.Context, change func(s *S) error) (uint64, error) {
	until := time.Now().Add(casPatience)
	fresh, unsure := false, false
	after := "" // the change before the one that may have been stored
	op := strconv.FormatUint(claims.Add(1), 36) + "." + o.c.id[:6]
	o.begin(ctx)
	defer o.finish()
	for {
		o.mu.Lock()
		known, seq, data := o.known, o.seq, o.data
		last := o.last
		if o.last = nil; o.made != seq || fresh {
			last = nil
		}
		o.mu.Unlock()
		if !known || fresh {
			if _, err := o.read(ctx); err != nil {
				if away(err) && time.Now().Before(until) && strand.Sleep(ctx, reconnectWait) == nil {
					continue
				}
				return 0, err
			}
			o.mu.Lock()
			seq, data, last = o.seq, o.data, nil
			o.mu.Unlock()
		}
		var e envelope[S]
		var err error
		if last != nil {
			e = *last
		} else if e, err = o.open(data); err != nil {
			return 0, err
		}
		if unsure && slices.Contains(e.Ops, op) {
			return seq, nil
		}
		if unsure && after != "" && len(e.Ops) == o.kept && !slices.Contains(e.Ops, after) && !o.again {
			return seq, fmt.Errorf("%w: %v: so much was done to it since that this is not found among it", tristrand.ErrOutcomeUnknown, o)
		}
		if err := change(e.State); err != nil {
			var same *undone
			if !errors.As(err, &same) {
				return seq, err
			}
			if known && !fresh { // what was known may be old, and nothing is compared
				fresh = true
				continue
			}
			return seq, same.err
		}
		if n := len(e.Ops); n > 0 && !unsure {
			after = e.Ops[n-1]
		}
		if e.Ops = append(e.Ops, op); len(e.Ops) > o.kept {
			e.Ops = slices.Delete(e.Ops, 0, len(e.Ops)-o.kept)
		}
		body := encode(&e)
		if len(body) > bigBody {
			return seq, fmt.Errorf("%v: its state would have %d bytes: it can have %d", o, len(body), bigBody)
		}
		hdr := nats.Header{"Nats-Expected-Last-Subject-Sequence": []string{strconv.FormatUint(seq, 10)}}
		concerned := o.concerns(e.State)
		if concerned != "" {
			hdr[headerConcerns] = []string{concerned}
		}
		r, err := readReceipt(o.c.link.call(ctx, o.String(), o.c.subject("s."+o.subj), hdr, body, writeWait))
		switch {
		case err == nil:
			o.learn(r.Seq, body, concerned)
			o.mu.Lock()
			o.last, o.made = &e, r.Seq
			o.mu.Unlock()
			return r.Seq, nil
		case hasCode(err, codeWrongLast, codeWrongConstant):
			fresh = !o.hears(ctx, seq)
			unsure = unsure || hasCode(err, codeWrongConstant)
		case away(err):
			fresh, unsure = true, true
			if time.Now().After(until) {
				return 0, fmt.Errorf("%w: %v: %w", tristrand.ErrOutcomeUnknown, o, err)
			}
			if err := strand.Sleep(ctx, reconnectWait); err != nil {
				return 0, err
			}
		default:
			return 0, fmt.Errorf("%v: %w", o, err)
		}
	}
}

// newsPatience is how long one who was too late to change an object waits to be told of the
// change that was first, which takes less than to ask.
const newsPatience = 20 * time.Millisecond

// hears waits to hear of a newer state than seq, and reports whether there is one.
func (o *object[S]) hears(ctx context.Context, seq uint64) bool {
	o.mu.Lock()
	if o.seq > seq || o.sub == nil {
		defer o.mu.Unlock()
		return o.sub != nil
	}
	w := strand.Current(ctx).NewWait()
	o.news = append(o.news, w)
	o.mu.Unlock()
	t := time.AfterFunc(newsPatience, func() { w.Grant() })
	_ = w.Park(bounded(ctx), pending("news of "+o.String())) // the timer ends it
	t.Stop()
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.seq > seq
}

// begin waits for the turn to change the object: the strands of one process would only get
// in each other's way.
func (o *object[S]) begin(ctx context.Context) {
	o.mu.Lock()
	if !o.busy {
		o.busy = true
		o.mu.Unlock()
		return
	}
	w := strand.Current(ctx).NewWait()
	o.line = append(o.line, w)
	o.mu.Unlock()
	_ = w.Park(bounded(ctx), pending("the turn to change "+o.String())) // it has no end but the turn
}

// finish passes the turn on.
func (o *object[S]) finish() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.line) > 0 {
		w := o.line[0]
		o.line = o.line[1:]
		if w.Grant() {
			return
		}
	}
	o.busy = false
}

// await waits until settled, called with each new state, returns true. on is what the
// caller waits for. The claim's session is watched: when it is lost the wait is.
func (o *object[S]) await(ctx context.Context, s *strand.Strand, on strand.Resource, sess *session, id string, settled func(s *S) (bool, error)) error {
	if err := o.listen(); err != nil {
		return err
	}
	defer o.unlisten(id)
	o.mu.Lock()
	known := o.known
	o.mu.Unlock()
	if !known { // what was changed before the subscription
		if _, err := o.read(bounded(ctx)); err != nil {
			return err
		}
	}
	lost := sess.whenLost(func() { o.wakeOne(id) })
	defer lost()
	for {
		w := s.NewWait()
		x := &waiting{w: w}
		o.mu.Lock()
		x.seq = o.seq
		state, err := o.view()
		o.waits[id] = x
		vain := o.vain[id]
		delete(o.vain, id)
		o.mu.Unlock()
		done := err != nil
		if err == nil {
			done, err = settled(state)
		}
		switch {
		case err == nil && sess.isLost(): // what was the claim's may have been taken out
			done, err = true, errLease(o.String())
		case done:
		case vain != nil:
			done, err = true, vain
		}
		if done {
			w.Cancel()
			return err
		}
		if err := w.Park(ctx, on); err != nil {
			return err
		}
	}
}

// withdraw takes out a claim whose wait has ended with err; remove reports whether it was
// in. It returns nil if the claim was granted all the same.
func (o *object[S]) withdraw(ctx context.Context, sess *session, err error, remove func(s *S) bool) error {
	left := false
	_, failed := o.update(bounded(ctx), func(st *S) error {
		if left = remove(st); !left {
			return unchanged(nil)
		}
		return nil
	})
	switch {
	case failed != nil:
		return fmt.Errorf("%w: %w", err, failed)
	case left:
		return err
	case sess.isLost():
		return fmt.Errorf("%w: %w", errLease(o.String()), err)
	default:
		return nil
	}
}

func (o *object[S]) wakeOne(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if x := o.waits[id]; x != nil && !x.done {
		x.done = true
		x.w.Grant()
	}
}

// bounded is the ctx of what is done whatever has become of the caller's.
func bounded(ctx context.Context) context.Context { return context.WithoutCancel(ctx) }
