package strand

import (
	"context"
	"runtime"
	"time"
)

// A Scheduler decides whose turn it is among its strands. A nil one is free:
// the Go runtime.
type Scheduler interface {
	// Spawn starts s: body must run on a goroutine of its own, on s's turn.
	Spawn(s *Strand, body func())
	// Step is called by s, which has the turn and is about to do op. It may
	// hand the turn over and return when s has it again.
	Step(s *Strand, op Op)
	// Park gives the turn up until Ready(s); a Ready that came first counts.
	Park(s *Strand)
	// Ready lets s go on. It is called from any goroutine, exactly once for
	// each Park; it never blocks and never runs user code.
	Ready(s *Strand)
	// After runs f on the scheduler's turn when its clock has advanced by d.
	// f only makes strands ready.
	After(d time.Duration, f func()) (stop func() bool)
}

// A Keeper is a Scheduler that does not want every kind of strand that its own
// strands start. Without the method a child has its parent's scheduler.
type Keeper interface {
	Keeps(k Kind) bool
}

// An Op is what a strand is about to do.
type Op struct {
	Verb  string   // "acquire", "release", "put", "yield" …
	On    Resource // nil for yield and sleep
	Write bool     // changes the resource for others
}

// Enter returns the strand that calls, as Current does, after the scheduler has
// given it the turn for op. Every operation of a primitive begins with it.
func Enter(ctx context.Context, op Op) *Strand {
	var s *Strand
	if c, ok := ctx.(*Context); ok && c.strand.Mine() { // Current, without the call
		s = c.strand
	} else {
		s = Current(ctx)
	}
	if s.sched != nil {
		s.sched.Step(s, op)
	}
	return s
}

// Yield is the check-in for code that makes no library calls: the scheduler may
// hand the turn over. It returns the error of a ctx that has ended. Under the
// Go runtime it does nothing else.
func Yield(ctx context.Context) error {
	s := Current(ctx)
	if s.sched != nil {
		s.sched.Step(s, Op{Verb: "yield"})
	}
	return Err(ctx)
}

// sleep is what a sleeping strand waits for: nobody ends it but the clock.
type sleep struct{}

func (sleep) String() string                                   { return "sleep" }
func (sleep) Releasers(buf []Releaser) (rs []Releaser, _ bool) { return buf, false }

// Sleep waits for d on the clock of the strand's scheduler, or until ctx ends;
// it returns ctx's error then. With d ≤ 0 it hands the turn over.
func Sleep(ctx context.Context, d time.Duration) error {
	verb := "sleep"
	if d <= 0 {
		verb = "yield"
	}
	s := Enter(ctx, Op{Verb: verb})
	if err := Err(ctx); err != nil {
		return err
	}
	if d <= 0 {
		if s.sched == nil {
			runtime.Gosched()
		}
		return nil
	}
	w := s.NewWait()
	stop := w.after(d)
	defer stop()
	return w.Park(ctx, sleep{})
}

// after grants w when the clock of its strand's scheduler has advanced by d.
func (w Wait) after(d time.Duration) (stop func() bool) {
	if w.s.sched != nil {
		return w.s.sched.After(d, func() { w.Grant() })
	}
	t := time.AfterFunc(d, func() { w.Grant() })
	return t.Stop
}

// WithTimeout returns a child of ctx that ends after d on the clock of the
// strand's scheduler, with context.DeadlineExceeded. The cancel function
// releases the timer.
func WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	s := Current(ctx)
	if s.sched == nil {
		return context.WithTimeout(ctx, d)
	}
	c := new(Context)
	c.Init(ctx)
	c.Bind(s, time.Now().Add(d))
	if d <= 0 {
		c.End(context.DeadlineExceeded)
		return c, func() {}
	}
	stop := s.sched.After(d, func() { c.End(context.DeadlineExceeded) })
	return c, func() {
		stop()
		c.End(context.Canceled)
	}
}

// After runs f when the clock of the strand's scheduler has advanced by d: on
// the scheduler's turn, or on a goroutine of its own when there is none.
func (s *Strand) After(d time.Duration, f func()) (stop func() bool) {
	if s.sched != nil {
		return s.sched.After(d, f)
	}
	return time.AfterFunc(d, f).Stop
}
