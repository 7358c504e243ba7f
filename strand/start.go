package strand

import (
	"context"
	"runtime/pprof"

	"github.com/tristrand/tristrand/internal/gtoken"
)

// Options say what strand [Go] or [Become] makes.
type Options struct {
	Kind Kind   // Nameless is Thread: the kind is that of a goroutine without a strand
	Name string // "" is the kind and the id

	// Scheduler is the strand's; nil is that of the strand named by ctx, if
	// that one keeps this kind, and the Go runtime otherwise.
	Scheduler Scheduler

	// Turn is for the scheduler: what Strand.Turn returns.
	Turn any

	// Label makes the name a pprof label of the goroutine, "strand", which
	// goroutines that it starts inherit. It costs about 500 ns.
	Label bool
}

// Current returns the strand that calls: the one that ctx names, if the calling
// goroutine is its own, and the nameless one otherwise. It is never nil.
func Current(ctx context.Context) *Strand {
	c, ok := ctx.(*Context)
	if !ok {
		if c, ok = ctx.Value(strandKey{}).(*Context); !ok {
			return nameless
		}
	}
	if s := c.strand; s.token.Load() == gtoken.Get() {
		return s
	}
	return nameless
}

// Named returns the strand that ctx names, whoever calls, and the nameless one
// if it names none. It is for naming a parent, not a caller.
func Named(ctx context.Context) *Strand {
	if c, ok := ctx.Value(strandKey{}).(*Context); ok {
		return c.strand
	}
	return nameless
}

func newStrand(ctx context.Context, o Options) *Strand {
	if o.Kind == Nameless { // one has a slot only while it waits
		o.Kind = Thread
	}
	parent := Named(ctx)
	s := &Strand{kind: o.Kind, parent: parent.id, sched: o.Scheduler, turn: o.Turn}
	if s.sched == nil {
		s.sched = Inherited(ctx, o.Kind)
	}
	s.ctx.Init(ctx)
	s.ctx.strand = s
	register(s)
	if o.Name != "" {
		name := o.Name // o itself shall not escape
		s.name.Store(&name)
	}
	return s
}

// Inherited returns the scheduler that a strand of kind k has from the strand
// named by ctx; nil is the Go runtime.
func Inherited(ctx context.Context, k Kind) Scheduler {
	sched := Named(ctx).sched
	if kr, ok := sched.(Keeper); ok && !kr.Keeps(k) {
		return nil
	}
	return sched
}

// Go starts body on a goroutine of its own, as a strand, and returns the
// strand. The context that body gets is a child of ctx and names the strand.
// Whoever calls Go sees to it that body ends and that somebody waits for it.
func Go(ctx context.Context, o Options, body func(ctx context.Context)) *Strand {
	s := newStrand(ctx, o)
	run := func() {
		s.begin(o)
		defer s.end()
		body(&s.ctx)
	}
	if s.sched != nil {
		s.sched.Spawn(s, run)
	} else {
		go run()
	}
	return s
}

// Adopt makes a strand of the calling goroutine and returns a context that
// names it, and a function that ends the strand; it must be called by the same
// goroutine. Strands may be nested on a goroutine, the last one first to end.
func Adopt(ctx context.Context, name string) (context.Context, func()) {
	return Become(ctx, Options{Kind: Adopted, Name: name})
}

// Become is Adopt with all options. A scheduler that is not nil must already
// have given this goroutine the turn.
func Become(ctx context.Context, o Options) (context.Context, func()) {
	parent := Named(ctx)
	s := newStrand(ctx, o)
	if parent.sched != nil && o.Scheduler == nil && !parent.Mine() {
		s.sched = nil // the turn of a scheduler is its own strands' alone
	}
	s.begin(o)
	return &s.ctx, s.end
}

// Make returns a strand that has not begun. It is for schedulers that start their
// strands themselves: on the goroutine that is to be the strand they call Begin,
// and at its end, there, End. Everybody else calls Go.
func Make(ctx context.Context, o Options) *Strand { return newStrand(ctx, o) }

// Begin makes the calling goroutine the strand; see Make.
func (s *Strand) Begin() { s.token.Store(gtoken.Get()) }

// End ends the strand on its own goroutine; see Make.
func (s *Strand) End() { s.end() }

func (s *Strand) begin(o Options) {
	if o.Label {
		pprof.SetGoroutineLabels(pprof.WithLabels(&s.ctx, pprof.Labels("strand", s.Name())))
	}
	s.token.Store(gtoken.Get())
}

// end ends the strand on its own goroutine. Locks that it still holds are told
// to those who wait for them.
func (s *Strand) end() {
	if s.ended.Load() {
		return
	}
	if s.more != nil {
		s.endExtras()
	}
	if s.held <= 0 {
		s.ended.Store(true)
		s.token.Store(0)
		unregister(s)
		return
	}
	s.left.Store(s.held)
	s.ended.Store(true)
	s.token.Store(0)
	for t := range slots() {
		if e, ok := t.waiting(); ok {
			e.tellEnded(s)
		}
	}
}

func (s *Strand) endExtras() {
	for i := 0; i < len(s.more.atEnd); i++ { // one may add another
		s.more.atEnd[i]()
	}
	if s.more.unwatch != nil {
		s.more.unwatch()
	}
	s.more = nil
}

// An OwnerEnder is a resource that wants to know when a strand that held it has
// ended, because strands may be waiting for it.
type OwnerEnder interface {
	OwnerEnded(s *Strand)
}
