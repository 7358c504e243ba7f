package coro

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/gtoken"
)

// What a switch, or whoever is switched to, may return. Match with errors.Is.
var (
	// ErrKilled is what a greenlet's Switch and a coroutine's blocking calls
	// return when it shall end. It is also context.Canceled.
	ErrKilled error = killedError{}

	// ErrDead says that the greenlet has ended.
	ErrDead = errors.New("coro: the greenlet has ended; make a new one with New")

	// ErrElsewhere says that the caller is not the one that runs: it is another
	// goroutine, or a coroutine with greenlets of its own.
	ErrElsewhere = errors.New("coro: it belongs to another goroutine; only the code that runs there can switch to it")

	// ErrThreadLocked says that the caller is locked to its operating system
	// thread. A switch would end the program.
	ErrThreadLocked = errors.New("coro: the goroutine is locked to its thread; call runtime.UnlockOSThread before it switches or waits, or do the locked part in Await")
)

type killedError struct{}

func (killedError) Error() string        { return "coro: killed" }
func (killedError) Is(target error) bool { return target == context.Canceled }

// A Greenlet is a function with a stack of its own that is switched to and from
// by name, passing values both ways. One of those that belong together runs at a
// time, and only a Switch, a Throw or an end changes which.
//
// The first Switch calls the function with the value; later ones are returned by
// the Switch at which the greenlet left. When the function returns, its value or
// error goes to the parent: the greenlet that made this one, or the goroutine
// itself. A panic travels as *tristrand.PanicError, runtime.Goexit as
// tristrand.ErrGoexit.
//
// Whoever makes a greenlet sees to its end: one that is left suspended keeps its
// stack. Close ends one, Greenlets and a hub end those left behind in them.
type Greenlet struct {
	name    atomic.Pointer[string]
	fn      func(v any) (any, error)
	fam     atomic.Pointer[family]
	state   atomic.Int32
	parent  *Greenlet // nil: the goroutine that switches to it first
	fib     *fiber
	n       int  // order of starting
	closing bool // it has been told to end and may not leave again
}

// The states of a greenlet.
const (
	unstarted int32 = iota
	started
	dead
)

// New returns a greenlet that will run fn. It costs no stack until it is first
// switched to. It panics if fn is nil.
func New(fn func(v any) (any, error)) *Greenlet {
	if fn == nil {
		panic("coro: New: the function is nil")
	}
	g := &Greenlet{fn: fn}
	if f := here(); f != nil {
		fam := f.family()
		g.parent = fam.cur
		g.fam.Store(fam)
	}
	return g
}

// Switch goes on in g, giving it v, and returns what is given when somebody
// switches back: a value, or the error of a Throw or of a greenlet that ended and
// has this one as its parent. If it cannot switch it returns ErrDead, ErrElsewhere
// or ErrThreadLocked and the caller goes on. A switch to the caller itself
// returns v.
func (g *Greenlet) Switch(v any) (any, error) {
	fam := g.fam.Load()
	if fam == nil {
		return g.enter(v)
	}
	// The usual case in one piece, transfer and switchTo included: after a switch
	// the processor guesses every return wrong, so that each call costs much.
	t := fam.trunk
	from := t.running()
	token, free := gtoken.Free()
	if from == nil || from.token.Load() != token || !free || from.fam != fam || fam.careful {
		return g.enter(v)
	}
	to := g.fib
	if to == nil || to == from { // not started, dead, or the caller
		return g.enter(v)
	}
	fam.cur, fam.v, t.cur = g, v, to
	for {
		if to.below != nil {
			from.below = nil
			from.yield(struct{}{})
			break // whoever resumes it means it
		}
		if to.next == nil {
			to.start()
		}
		to.below = from
		to.next()
		if t.ended != nil {
			t.reap()
		}
		if to = t.cur; to == from {
			break
		}
	}
	if fam.careful {
		return fam.returned(fam.v, fam.err)
	}
	return fam.v, nil
}

// enter is Switch for all cases.
func (g *Greenlet) enter(v any) (any, error) {
	fam := g.fam.Load()
	if fam == nil {
		if fam = g.bind(); fam == nil {
			return nil, fmt.Errorf("%w: %v", ErrElsewhere, g)
		}
	}
	if err := g.reachable(fam); err != nil {
		return nil, err
	}
	return fam.transfer(g, v, nil, "switch")
}

// Throw goes on in g with an error, which its Switch returns there. One that has
// not started ends with it at once, and the error goes to its parent. nil is
// ErrKilled; a greenlet that ends with ErrKilled has not failed: its parent is
// given ErrKilled as a value.
func (g *Greenlet) Throw(err error) (any, error) {
	if err == nil {
		err = ErrKilled
	}
	fam := g.fam.Load()
	if fam == nil {
		if fam = g.bind(); fam == nil {
			return nil, fmt.Errorf("%w: %v", ErrElsewhere, g)
		}
	}
	if e := g.reachable(fam); e != nil {
		return nil, e
	}
	return fam.transfer(g, nil, err, "throw")
}

// reachable says why the caller cannot switch to g, which is of fam.
func (g *Greenlet) reachable(fam *family) error {
	f := fam.trunk.here()
	if f == nil || f.fam != fam {
		return fmt.Errorf("%w: %v", ErrElsewhere, g)
	}
	fam.cur.leaves()
	switch {
	case g.state.Load() == dead:
		return fmt.Errorf("%w: %v", ErrDead, g)
	case gtoken.Locked():
		return ErrThreadLocked
	default:
		return nil
	}
}

// Parent returns the greenlet that gets what this one ends with; nil is the
// goroutine, or the coroutine, that the greenlets run on.
func (g *Greenlet) Parent() *Greenlet {
	if p := g.parent; p != nil && p.fn != nil {
		return p
	}
	return nil
}

// SetParent changes who gets what g ends with; nil is the goroutine itself. A
// greenlet of another goroutine, or one that has g among its own parents, is an
// error.
func (g *Greenlet) SetParent(p *Greenlet) error {
	fam := g.fam.Load()
	if p == nil {
		g.parent = nil
		if fam != nil {
			g.parent = fam.root
		}
		return nil
	}
	if other := p.fam.Load(); fam != other && fam != nil && other != nil {
		return fmt.Errorf("%w: %v cannot be the parent of %v", ErrElsewhere, p, g)
	}
	for q := p; q != nil; q = q.parent {
		if q == g {
			return fmt.Errorf("coro: %v cannot be the parent of %v: it would be its own", p, g)
		}
	}
	if fam == nil && p.fam.Load() != nil {
		g.fam.Store(p.fam.Load())
	}
	g.parent = p
	return nil
}

// Dead reports whether the greenlet has ended.
func (g *Greenlet) Dead() bool { return g.state.Load() == dead }

// Started reports whether it has been switched to; it may have ended.
func (g *Greenlet) Started() bool { return g.state.Load() != unstarted }

// SetName gives the greenlet a name for errors and reports.
func (g *Greenlet) SetName(name string) { g.name.Store(&name) }

// String returns the name.
func (g *Greenlet) String() string {
	if n := g.name.Load(); n != nil {
		return fmt.Sprintf("greenlet %q", *n)
	}
	if g.fn == nil {
		return "the goroutine itself"
	}
	return fmt.Sprintf("greenlet %p", g)
}

// Close ends the greenlet: its Switch returns ErrKilled, and if it then tries to
// switch instead of returning, it is ended by runtime.Goexit, so that its
// deferred functions run. It returns when the greenlet is dead, with its error
// if it ended with another than ErrKilled. Closing a dead one does nothing.
func (g *Greenlet) Close() error {
	fam := g.fam.Load()
	if fam == nil || g.state.Load() == unstarted {
		g.state.Store(dead)
		return nil
	}
	if g.state.Load() == dead {
		return nil
	}
	if err := g.reachable(fam); err != nil {
		return err
	}
	if g == fam.cur {
		return fmt.Errorf("coro: %v cannot close itself: return from its function", g)
	}
	before := g.parent
	g.parent, g.closing = fam.cur, true
	fam.closing++
	fam.careful = true
	v, err := fam.transfer(g, nil, ErrKilled, "throw")
	for g.state.Load() != dead { // it switched away instead
		_, err = fam.transfer(g, nil, ErrKilled, "throw")
	}
	g.parent = before
	fam.closing--
	_ = v
	if errors.Is(err, ErrKilled) || errors.Is(err, tristrand.ErrGoexit) {
		return nil
	}
	return err
}

// run is the body of the greenlet's fiber.
func (g *Greenlet) run() {
	fam := g.fam.Load()
	fam.arrive()
	v, err := fam.take()
	if err != nil {
		g.end(nil, err)
		return
	}
	returned := false
	defer func() {
		if returned {
			return
		}
		if p := recover(); p != nil {
			err = &tristrand.PanicError{Value: p, Stack: debug.Stack(), Task: g.String()}
		} else {
			err = tristrand.ErrGoexit
		}
		g.end(nil, err)
	}()
	v, err = fam.call(g, v)
	returned = true
	if unlock() && err == nil {
		err = fmt.Errorf("%w: %v returned so", ErrThreadLocked, g)
	}
	g.end(v, err)
}

// call calls the function, unless the trace hook has panicked about it.
func (fam *family) call(g *Greenlet, v any) (any, error) {
	fam.traced()
	return g.fn(v)
}

// end gives what g ended with to its parent and says where its fiber goes.
func (g *Greenlet) end(v any, err error) {
	fam := g.fam.Load()
	unlock()
	g.state.Store(dead)
	fib := g.fib
	g.fib = nil
	delete(fam.alive, g)
	to, v, err := fam.heir(g, v, err)
	event := "switch"
	if err != nil {
		event = "throw"
	}
	fib.then = fam.aim(to, v, err, event)
}

// leaves is called before the current greenlet is left.
func (g *Greenlet) leaves() {
	if g.closing && g.fn != nil {
		runtime.Goexit() // it was told to end and would go away instead
	}
}
