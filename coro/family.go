package coro

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tristrand/tristrand/internal/gtoken"
	"github.com/tristrand/tristrand/strand"
)

// A family is the greenlets of one goroutine, or of one coroutine of a hub: one
// of them, or what the goroutine itself does, runs at a time.
type family struct {
	trunk   *trunk
	root    *Greenlet      // the goroutine itself; it has no function
	cur     *Greenlet      // the one that runs
	s       *strand.Strand // that they all are; nil if it is not known
	alive   map[*Greenlet]struct{}
	count   int
	careful bool // a switch has more to do than to give a value; see caution
	closing int  // greenlets that have been told to end and have not
	kept    bool // by Greenlets or a hub, which end what is left

	// What the switch under way takes along.
	v      any
	err    error
	event  string
	origin *Greenlet
	trace  func(event string, from, to *Greenlet) // from or to nil: the goroutine itself
}

func newFamily(t *trunk, f *fiber, s *strand.Strand) *family {
	fam := &family{trunk: t, s: s, careful: true, alive: make(map[*Greenlet]struct{})}
	fam.root = &Greenlet{fib: f}
	fam.root.state.Store(started)
	fam.root.fam.Store(fam)
	fam.cur = fam.root
	f.fam = fam
	return fam
}

// caution finds out whether switches have more to do than to give a value: to tell
// the strand or a hook, to give an error, to see that a greenlet that closes does not
// leave again, or that the last one has ended.
func (fam *family) caution() {
	fam.careful = fam.s != nil || fam.trace != nil || fam.err != nil || fam.closing > 0 || len(fam.alive) == 0
}

// family returns the family whose greenlets run on f, made by the first call.
// The caller runs on f.
func (f *fiber) family() *family {
	if f.fam == nil {
		var s *strand.Strand
		if h := hubOf(f.trunk); h != nil && h.cur != nil {
			s = h.cur.s
		}
		newFamily(f.trunk, f, s).kept = s != nil
	}
	return f.fam
}

// bind finds out whose greenlet g is: that of whoever switches to it first. It
// returns nil if another has been quicker.
func (g *Greenlet) bind() *family {
	f := here()
	if f == nil {
		f = newRoot(false)
	}
	fam := f.family()
	if !g.fam.CompareAndSwap(nil, fam) {
		return nil
	}
	if g.parent == nil {
		g.parent = fam.root
	}
	return fam
}

// newRoot makes the calling goroutine one that greenlets can run on.
func newRoot(kept bool) *fiber {
	t := &trunk{enrol: true}
	t.init(maxIdleGreenlets)
	enrol(&t.base)
	newFamily(t, &t.base, nil).kept = kept
	return &t.base
}

// maxIdleGreenlets is how many stacks of ended greenlets a goroutine keeps.
const maxIdleGreenlets = 64

// transfer switches to g, which is reachable, and returns what is given when the
// caller is switched to again.
func (fam *family) transfer(g *Greenlet, v any, err error, event string) (any, error) {
	me := fam.cur
	if g == me {
		return v, err
	}
	if err != nil && g.state.Load() == unstarted {
		return fam.stillborn(g, err)
	}
	fam.trunk.switchTo(fam.aim(g, v, err, event))
	return fam.returned(fam.v, fam.err)
}

// returned ends a switch in the greenlet that has been switched to again, and been
// given v or err.
func (fam *family) returned(v any, err error) (any, error) {
	fam.v, fam.err = nil, nil
	fam.caution()
	fam.arrive()
	if fam.cur == fam.root && len(fam.alive) == 0 && !fam.kept {
		fam.disband()
	}
	if fam.trace != nil {
		fam.traced()
	}
	return v, err
}

// stillborn ends g, which has not started, with err, which its parent gets.
func (fam *family) stillborn(g *Greenlet, err error) (any, error) {
	g.state.Store(dead)
	to, v, err := fam.heir(g, nil, err)
	return fam.transfer(to, v, err, "throw")
}

// heir returns who gets what g has ended with, and what that is. Those on the
// way that have not started end with an error that they would get.
func (fam *family) heir(g *Greenlet, v any, err error) (*Greenlet, any, error) {
	if errors.Is(err, ErrKilled) {
		v, err = ErrKilled, nil
	}
	for to := g.parent; to != nil; to = to.parent {
		switch {
		case to.state.Load() == dead:
		case err != nil && to.state.Load() == unstarted:
			to.state.Store(dead)
		default:
			return to, v, err
		}
	}
	return fam.root, v, err
}

// aim makes g the one that runs and returns its fiber, to be switched to.
func (fam *family) aim(g *Greenlet, v any, err error, event string) *fiber {
	fam.v, fam.err = v, err
	if err != nil || len(fam.alive) == 0 {
		fam.careful = true
	}
	if fam.trace != nil {
		fam.event, fam.origin = event, fam.cur
	}
	fam.cur = g
	if g.fib == nil {
		if g.fam.CompareAndSwap(nil, fam) && g.parent == nil { // it was only a parent so far
			g.parent = fam.root
		}
		g.state.Store(started)
		fam.count++
		g.n = fam.count
		fam.alive[g] = struct{}{}
		g.fib = fam.trunk.new(g)
		g.fib.fam = fam
	}
	return g.fib
}

// arrive is called first by whoever has been switched to.
func (fam *family) arrive() {
	if fam.s != nil {
		fam.s.Move()
	}
}

func (fam *family) take() (any, error) {
	v, err := fam.v, fam.err
	fam.v, fam.err = nil, nil
	fam.caution()
	return v, err
}

// traced tells the hook of the switch that has just been made.
func (fam *family) traced() {
	hook, event, origin := fam.trace, fam.event, fam.origin
	if hook == nil || event == "" {
		return
	}
	fam.event = ""
	defer func() {
		if v := recover(); v != nil {
			fam.trace = nil // a hook that panics is not called again
			panic(v)
		}
	}()
	hook(event, outward(origin), outward(fam.cur))
}

func outward(g *Greenlet) *Greenlet {
	if g.fn == nil {
		return nil
	}
	return g
}

// disband ends the idle stacks of a goroutine that has no greenlet left that has
// started. The goroutine stays known: the runtime uses its descriptor again for
// another one, never frees it, and so the roll has a bound, too.
func (fam *family) disband() {
	t := fam.trunk
	for _, f := range t.idle {
		f.stop()
	}
	t.idle = nil
	t.gone.Wait()
}

// Current returns the greenlet that the caller runs in, nil if it is none.
func Current() *Greenlet {
	f := here()
	if f == nil || f.fam == nil {
		return nil
	}
	return outward(f.fam.cur)
}

// Trace has fn called at every switch between the greenlets of the calling
// goroutine, in the greenlet that has been switched to, with the event, "switch"
// or "throw", and both sides; nil stands for the goroutine itself. It returns the
// function that was there before; nil ends it. If fn panics the panic is raised
// in the greenlet that was switched to, and fn is not called again.
func Trace(fn func(event string, from, to *Greenlet)) (before func(event string, from, to *Greenlet)) {
	f := here()
	if f == nil {
		f = newRoot(false)
	}
	fam := f.family()
	before, fam.trace, fam.event = fam.trace, fn, ""
	fam.caution()
	return before
}

// A LeftError names the greenlets, or generators, that were suspended when their owner
// ended.
// They have been ended.
type LeftError struct{ Left []string }

func (e *LeftError) Error() string {
	return fmt.Sprintf("coro: %d were left suspended, and have been ended: %s", len(e.Left), strings.Join(e.Left, ", "))
}

// Greenlets calls fn and then ends the greenlets that fn has made on this
// goroutine and left suspended, of which it tells by a *LeftError beside fn's
// error. It keeps the stacks of ended greenlets for new ones meanwhile. Inside a
// greenlet or a coroutine, which has an owner, it only calls fn.
func Greenlets(fn func() error) (err error) {
	if gtoken.Locked() {
		return ErrThreadLocked
	}
	f := here()
	switch {
	case f == nil:
		f = newRoot(true)
	case f != &f.trunk.base || hubOf(f.trunk) != nil || f.fam.kept:
		return fn()
	default: // it had greenlets before; those are not this call's
		f.fam.kept = true
	}
	fam, before := f.fam, f.fam.count
	defer func() {
		if left := fam.closeAll(before); left != nil {
			err = errors.Join(err, left)
		}
		fam.kept = false
		if len(fam.alive) == 0 {
			fam.disband()
		}
	}()
	return fn()
}

// closeAll ends every greenlet that is suspended and was started after so many
// others, the oldest first. It runs on the family's root.
func (fam *family) closeAll(after int) error {
	left := make([]*Greenlet, 0, len(fam.alive))
	for g := range fam.alive {
		if g.n > after {
			left = append(left, g)
		}
	}
	if len(left) == 0 {
		return nil
	}
	slices.SortFunc(left, func(a, b *Greenlet) int { return a.n - b.n })
	e := &LeftError{}
	errs := []error{e}
	for _, g := range left {
		e.Left = append(e.Left, g.String())
		if err := g.Close(); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
