package conformance

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/tristrand/tristrand/strand"
)

// A run is one run of one rule in one world. Its methods may be called by any
// strand of the rule.
type run struct {
	testing.TB // its FailNow and all that call it are replaced, or not used

	world World
	seed  uint64
	kind  strand.Kind // of the strands that it starts
	began time.Time

	mu      sync.Mutex // guards parties
	parties []*party
}

func newRun(t *testing.T, w World, seed uint64) *run {
	return &run{TB: t, world: w, seed: seed, kind: strand.Thread, began: time.Now()}
}

// patience is how long a rule waits for what must come. It is not a measure of
// anything: a busy machine may take seconds for what takes microseconds.
const patience = time.Minute

// tick is between two looks at something, and longer than any fair lock's own
// patience with newcomers.
const tick = 2 * time.Millisecond

// Fatalf ends the calling strand.
func (r *run) Fatalf(format string, args ...any) {
	r.Helper()
	r.Errorf(format, args...)
	runtime.Goexit()
}

// must ends the calling strand if err is not nil.
func (r *run) must(err error, what string) {
	r.Helper()
	if err != nil {
		r.Fatalf("%s: %v", what, err)
	}
}

// is checks that err matches every one of the targets.
func (r *run) is(err error, what string, targets ...error) {
	r.Helper()
	for _, target := range targets {
		if !errors.Is(err, target) {
			r.Errorf("%s: the error is %v, want one that is %q", what, err, target)
		}
	}
}

// now returns the time since the run began.
func (r *run) now(ctx context.Context) time.Duration {
	if c, ok := strand.Current(ctx).Scheduler().(interface{ Now() time.Duration }); ok {
		return c.Now()
	}
	return time.Since(r.began)
}

// took checks that since began just d has passed; in real time, at least d.
func (r *run) took(ctx context.Context, began, d time.Duration, what string) {
	r.Helper()
	if got := r.now(ctx) - began; got < d || got > d && r.world.virtual() {
		r.Errorf("%s took %v, want %v", what, got, d)
	}
}

// until waits for something that must come about.
func (r *run) until(ctx context.Context, what string, cond func() bool) {
	r.Helper()
	for began := r.now(ctx); !cond(); {
		if r.now(ctx)-began > patience {
			r.Fatalf("%s has not come about", what)
		}
		r.must(strand.Sleep(ctx, tick), "waiting until "+what)
	}
}

// settle lets everybody go on who can. What must not happen has had its chance
// then; in real time only some chance.
func (r *run) settle(ctx context.Context) {
	r.Helper()
	r.must(strand.Sleep(ctx, 2*tick), "settling")
}

// rand returns random numbers for one strand, the i-th to ask.
func (r *run) rand(i int) *rand.Rand { return rand.New(rand.NewPCG(r.seed, uint64(i))) }

// many returns n, or less where every step is dear.
func (r *run) many(n int) int {
	switch {
	case r.world == Searched:
		return max(3, n/10)
	case testing.Short():
		return max(3, n/2)
	default:
		return n
	}
}

// withCancel returns a child of ctx and a function that ends it. Under a search
// the children of package context will not do: they tell of their end from
// goroutines of their own.
func (r *run) withCancel(ctx context.Context) (context.Context, func(cause error)) {
	if r.world.open() {
		return context.WithCancelCause(ctx)
	}
	c := new(strand.Context)
	c.Init(ctx)
	c.Bind(strand.Named(ctx), time.Time{})
	return c, func(cause error) { c.End(&cancelError{cause}) }
}

// ended returns a child of ctx that has ended.
func (r *run) ended(ctx context.Context) context.Context {
	child, cancel := r.withCancel(ctx)
	cancel(errGaveUp)
	return child
}

// errGaveUp is the cause of cancellations.
var errGaveUp = errors.New("the caller gave up")

type cancelError struct{ cause error }

func (e *cancelError) Error() string   { return context.Canceled.Error() + ": " + e.cause.Error() }
func (e *cancelError) Unwrap() []error { return []error{context.Canceled, e.cause} }

// A party is a strand that a rule has started.
type party struct {
	strand *strand.Strand

	mu    sync.Mutex // guards the rest
	over  bool
	err   error
	waits []strand.Wait
}

// start starts a thread. It may end by Fatalf.
func (r *run) start(ctx context.Context, name string, body func(ctx context.Context) error) *party {
	p := new(party)
	r.mu.Lock()
	r.parties = append(r.parties, p)
	r.mu.Unlock()
	err := errUnfinished
	p.strand = strand.Go(ctx, strand.Options{Kind: r.kind, Name: name}, func(ctx context.Context) {
		defer func() { p.end(err) }()
		err = body(ctx)
	})
	return p
}

var errUnfinished = errors.New("the strand was ended by a failed check")

func (p *party) end(err error) {
	p.mu.Lock()
	p.over, p.err = true, err
	waits := p.waits
	p.waits = nil
	p.mu.Unlock()
	for _, w := range waits {
		w.Grant()
	}
}

// ended reports whether the body has returned.
func (p *party) ended() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.over
}

// join waits for p and returns what its body returned.
func (p *party) join(ctx context.Context) error {
	s := strand.Enter(ctx, strand.Op{Verb: "join", On: p})
	p.mu.Lock()
	if p.over {
		defer p.mu.Unlock()
		return p.err
	}
	w := s.NewWait()
	p.waits = append(p.waits, w)
	p.mu.Unlock()
	if err := w.Park(ctx, p); err != nil {
		return err
	}
	return p.err
}

// String names the party to those who look at waits.
func (p *party) String() string { return "a strand of the rule" }

// Releasers says that anyone could: a rule's own waits are never in a deadlock.
func (p *party) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) { return buf, false }

// joinAll waits for all of ps and reports errors.
func (r *run) joinAll(ctx context.Context, ps ...*party) {
	r.Helper()
	for _, p := range ps {
		if err := p.join(ctx); err != nil {
			r.Errorf("strand %d: %v", p.strand.ID(), err)
		}
	}
}

// allEnded waits until every strand of the rule is over, as nothing may be left
// behind. In a bubble or under a scheduler they have no choice.
func (r *run) allEnded() {
	for began := time.Now(); ; time.Sleep(tick) {
		left := 0
		r.mu.Lock()
		for _, p := range r.parties {
			if p.strand != nil && p.strand.State() != strand.Ended {
				left++
			}
		}
		r.mu.Unlock()
		if left == 0 {
			return
		}
		if time.Since(began) > patience {
			r.Errorf("%d strands of the rule have not ended", left)
			return
		}
	}
}

// A room is where only so many may be at a time. Its fields have no lock of
// their own, so the race detector sees a primitive that lets strands in without
// order.
type room struct{ inside, most, passed int }

// visit goes in and out and counts.
func (v *room) visit(ctx context.Context) error {
	v.inside++
	v.most = max(v.most, v.inside)
	passed := v.passed
	err := strand.Yield(ctx)
	v.passed = passed + 1
	v.inside--
	return err
}

// check reports a room that was crowded or that lost a visit.
func (v *room) check(r *run, visits int) {
	r.Helper()
	if v.most > 1 || v.passed != visits || v.inside != 0 {
		r.Errorf("%d of %d visits were counted, up to %d at once", v.passed, visits, v.most)
	}
}
