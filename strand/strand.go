package strand

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/tristrand/tristrand/internal/gtoken"
)

// An ID is unique among the strands of a process, alive and ended. Zero is the
// nameless one's.
type ID uint64

// A Ref names a strand of any process. Process 0 is this one.
type Ref struct{ Process, Strand ID }

// A Kind says what sort of line of execution a strand is.
type Kind uint8

// The kinds.
const (
	Nameless  Kind = iota // a goroutine that no context names
	Main                  // the program's first strand
	Thread                // a goroutine started as a thread
	Worker                // a thread that runs the jobs of a pool
	Coroutine             // one that switches only where the code says so
	Adopted               // a goroutine that was there already
)

var kindNames = [...]string{"nameless", "main", "thread", "worker", "coroutine", "adopted"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// A State says what a strand does.
type State uint8

// The states.
const (
	New     State = iota // not yet running
	Running              // running, or blocked outside the library
	Waiting              // parked; Waiting says for what
	Ended
)

var stateNames = [...]string{"new", "running", "waiting", "ended"}

func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// A Strand is one line of execution. Its methods may be called from anywhere
// unless they say otherwise.
type Strand struct {
	ctx    Context        // the strand's own; its parent is what Go or Adopt was given
	token  atomic.Uintptr // of the goroutine while it runs, else 0
	sched  Scheduler
	id     ID
	slot   uint32
	kind   Kind
	timed  uint8 // whether its own ctx has a deadline: not yet known, no, yes
	parent ID
	name   atomic.Pointer[string]
	phase  atomic.Uint64 // of the current wait: its number<<4 | open, granted or over
	ended  atomic.Bool
	left   atomic.Int32         // locks that it held when it ended and nobody took since
	doom   atomic.Pointer[doom] // of a wait that Recheck has refused
	park   chan struct{}
	bubble int32 // the synctest bubble that park belongs to; 0 is none

	ownCtx  atomic.Bool             // the current wait is parked under the strand's own ctx, which is watched
	blocker atomic.Pointer[Blocker] // the current wait is parked in it

	// The edge of the current wait; whoever reads it holds the wait's reading bit.
	on      Resource
	onSeq   uint64
	onTimed bool // a deadline will end it

	// Touched by the strand's own goroutine alone.
	parked bool  // it has parked under its own ctx before
	held   int32 // locks held
	at     uintptr
	more   *extras     // nil until there is need of it
	looked [1]Releaser // room for what refuse asks for
	spare  any

	// The scheduler's.
	turn    any  // what it knows of the strand
	endsOwn bool // it calls OwnEnded
	inOwn   bool // parked under the strand's own ctx, with endsOwn; touched on its turn
}

// extras are what few strands need. There may be very many strands.
type extras struct {
	table   uint64 // of the seat
	seat    uint64
	atEnd   []func()
	locals  map[any]any
	unwatch func() bool // ends the watch on the strand's own ctx
}

// extra returns the strand's extras, made by the first call.
func (s *Strand) extra() *extras {
	if s.more == nil {
		s.more = new(extras)
	}
	return s.more
}

// nameless stands for every goroutine that no context names.
var nameless = newNameless()

func newNameless() *Strand {
	s := &Strand{kind: Nameless}
	s.ctx.strand = s
	name := "nameless"
	s.name.Store(&name)
	return s
}

// ID returns the strand's id: 0 for the nameless one.
func (s *Strand) ID() ID { return s.id }

// Ref returns the name that other processes know the strand by.
func (s *Strand) Ref() Ref { return Ref{Strand: s.id} }

// Name returns the strand's name.
func (s *Strand) Name() string {
	if name := s.name.Load(); name != nil {
		return *name
	}
	return fmt.Sprintf("%v-%d", s.kind, s.id)
}

// SetName changes the name. The nameless strand keeps its own.
func (s *Strand) SetName(name string) {
	if s.id != 0 {
		s.name.Store(&name)
	}
}

// Kind returns what sort of strand it is.
func (s *Strand) Kind() Kind { return s.kind }

// Parent returns the id of the strand that started it, 0 if nameless.
func (s *Strand) Parent() ID { return s.parent }

// Context returns the strand's own context, for a scheduler that waits on behalf of
// code that has none.
func (s *Strand) Context() context.Context { return &s.ctx }

// Scheduler returns the rule by which it takes turns; nil is the Go runtime.
func (s *Strand) Scheduler() Scheduler { return s.sched }

// State returns what the strand does now. The nameless strand always runs.
func (s *Strand) State() State {
	switch {
	case s.ended.Load():
		return Ended
	case s.Waiting() != nil:
		return Waiting
	case s.token.Load() == 0 && s.id != 0:
		return New
	default:
		return Running
	}
}

// Waiting returns what the strand waits for, or nil when it does not wait.
func (s *Strand) Waiting() Resource {
	e, ok := s.waiting()
	if !ok {
		return nil
	}
	return e.on
}

// String returns the name, kind and id.
func (s *Strand) String() string {
	return fmt.Sprintf("%s (%v %d)", s.Name(), s.kind, s.id)
}

// Turn returns what the strand's scheduler keeps with it; see Options.
func (s *Strand) Turn() any { return s.turn }

// SetTurn is for the scheduler's Spawn, before the strand runs.
func (s *Strand) SetTurn(turn any) { s.turn = turn }

// Move makes the calling goroutine the one that the strand is. It is for
// schedulers whose strands have more than one stack each and go from one to
// another; the goroutine that they leave must not run meanwhile.
func (s *Strand) Move() { s.token.Store(gtoken.Get()) }

// Mine reports whether the calling goroutine is the strand's. It is false for
// the nameless strand.
func (s *Strand) Mine() bool { return s.token.Load() == gtoken.Get() }

// Local returns the strand's own value for key, made by mk when there is none.
// The value lives as long as the strand. It must be called by the strand
// itself; for the nameless strand it returns a new value each time.
func (s *Strand) Local(key any, mk func() any) any {
	if s.id == 0 {
		return mk()
	}
	x := s.extra()
	v, ok := x.locals[key]
	if !ok {
		v = mk()
		if x.locals == nil {
			x.locals = make(map[any]any)
		}
		x.locals[key] = v
	}
	return v
}

// Spare returns what SetSpare was last given, nil if nothing. A strand waits for one
// thing at a time: what a primitive needs for a wait can be kept for the next one.
// Both must be called by the strand itself.
func (s *Strand) Spare() any { return s.spare }

// SetSpare is for Spare; see there. It does nothing for the nameless strand.
func (s *Strand) SetSpare(x any) {
	if s.id != 0 && s.kind != Nameless {
		s.spare = x
	}
}

// SetPlace makes pc the place of the strand's next acquisition. A function that
// acquires on its caller's behalf says so with it. It must be called by the
// strand itself and does nothing for the nameless one.
func (s *Strand) SetPlace(pc uintptr) {
	if s.id != 0 {
		s.at = pc
	}
}
