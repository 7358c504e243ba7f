package coro

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"runtime/debug"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/gtoken"
)

// What a generator's methods return besides the errors of its function.
var (
	// ErrDone says that the generator has no more values.
	ErrDone = errors.New("coro: the generator is done")

	// ErrUnprimed says that Send came before the first Next.
	ErrUnprimed = errors.New("coro: the generator waits for nothing yet; call Next once before Send")

	// ErrBusy says that the generator is running: it was called by itself, or by
	// two goroutines at once.
	ErrBusy = errors.New("coro: the generator is running")

	// ErrClosed is what yield returns in a generator that was closed. It is also
	// ErrKilled.
	ErrClosed error = closedError{}
)

type closedError struct{}

func (closedError) Error() string { return "coro: the generator was closed" }
func (closedError) Is(target error) bool {
	return target == ErrKilled || target == context.Canceled
}

// A Generator is a function that gives values one after another, and may be sent
// one for each. It runs only inside Next, Send, Throw and Close, as part of
// whoever calls them. Only one may call it at a time. Whoever does not read it to
// its end closes it: a generator that is left keeps its stack. One that a coroutine
// has begun is its hub's, whose coroutines alone may go on with it, and which closes
// it at its end.
type Generator[In, Out any] struct {
	fn     func(yield func(Out) (In, error)) error
	state  genState
	next   func() (struct{}, bool) // of package iter
	stop   func()
	hub    *Hub   // whose coroutine has begun it, nil if none; the next two are set then
	resume func() // goes on until the next yield, or the end
	leave  func() // gives the turn back

	in     In    // sent
	inErr  error // thrown
	given  bool  // in or inErr, and nobody has taken it
	out    Out
	err    error // the function's; ErrDone if none
	closed bool
}

// A genState is how far a generator has come.
type genState uint8

const (
	genNew genState = iota
	genSuspended
	genRunning
	genDone
)

// NewGenerator returns a generator of the values that fn yields. yield returns
// what was sent, the zero value for Next; or the error of a Throw, or ErrClosed,
// after which fn should return. It panics if fn is nil.
func NewGenerator[In, Out any](fn func(yield func(Out) (In, error)) error) *Generator[In, Out] {
	if fn == nil {
		panic("coro: NewGenerator: the function is nil")
	}
	return &Generator[In, Out]{fn: fn}
}

// Next goes on until the next yield and returns its value. It returns the error
// that the function ended with, or ErrDone if it had none; afterwards always
// ErrDone.
func (g *Generator[In, Out]) Next() (Out, error) {
	// The usual case in one piece: each call that is open at a switch costs much.
	if _, free := gtoken.Free(); !free || g.state != genSuspended || g.next == nil {
		var none In
		return g.advance(none, nil)
	}
	g.state = genRunning
	g.next()
	if g.state == genDone {
		var none Out
		return none, g.ended()
	}
	g.state = genSuspended
	return g.out, nil
}

// Send is Next that makes the yield at which the function stands return v. It
// returns ErrUnprimed before the first Next.
func (g *Generator[In, Out]) Send(v In) (Out, error) {
	if g.state == genNew {
		var none Out
		return none, ErrUnprimed
	}
	return g.advance(v, nil)
}

// Throw is Next that makes the yield return err. A generator that has not begun
// ends with it.
func (g *Generator[In, Out]) Throw(err error) (Out, error) {
	var none Out
	var in In
	if err == nil {
		err = ErrKilled
	}
	if g.state == genNew {
		g.state = genDone
		return none, err
	}
	return g.advance(in, err)
}

// Close ends the generator: yield returns ErrClosed, and if the function yields
// once more it is ended by runtime.Goexit. It returns the error of the function
// if that is not ErrClosed. Closing one that is done does nothing.
func (g *Generator[In, Out]) Close() error {
	var none In
	switch g.state {
	case genNew:
		g.state = genDone
		return nil
	case genDone:
		return nil
	case genRunning:
		return errRunning
	case genSuspended:
	}
	g.closed = true
	_, err := g.advance(none, ErrClosed)
	if errors.Is(err, ErrDone) || errors.Is(err, ErrKilled) || errors.Is(err, tristrand.ErrGoexit) {
		return nil
	}
	return err
}

// All yields the values that are left; if the function ends with an error it is
// yielded last, with the zero value. Leaving the loop early closes the generator.
func (g *Generator[In, Out]) All() iter.Seq2[Out, error] {
	return func(yield func(Out, error) bool) {
		done := false
		defer func() {
			if !done {
				_ = g.Close() // the loop was left; nobody could be told
			}
		}()
		for {
			v, err := g.Next()
			if errors.Is(err, ErrDone) {
				done = true
				return
			}
			if !yield(v, err) {
				return
			}
			if err != nil {
				done = true
				return
			}
		}
	}
}

// Values is All for functions that have no error to tell: it panics with one.
func (g *Generator[In, Out]) Values() iter.Seq[Out] {
	return func(yield func(Out) bool) {
		for v, err := range g.All() {
			if err != nil {
				panic(err)
			}
			if !yield(v) {
				return
			}
		}
	}
}

func (g *Generator[In, Out]) advance(in In, thrown error) (Out, error) {
	var none Out
	if gtoken.Locked() {
		return none, ErrThreadLocked
	}
	switch g.state {
	case genSuspended:
	case genNew:
		g.begin()
	case genDone:
		return none, ErrDone
	case genRunning:
		return none, errRunning
	}
	if g.hub != nil && !g.hub.here() {
		return none, fmt.Errorf("%w: the generator is one of %v", ErrElsewhere, g.hub)
	}
	g.state = genRunning
	g.in, g.inErr, g.given = in, thrown, true
	if g.next != nil {
		g.next()
	} else {
		g.resume()
	}
	if g.state == genDone {
		return none, g.ended()
	}
	g.state = genSuspended
	return g.out, nil
}

var errRunning = fmt.Errorf("%w: it was called from its own function", ErrBusy)

// ended lets go of the stack and returns what the function ended with.
func (g *Generator[In, Out]) ended() error {
	if g.stop != nil && errors.Is(g.err, tristrand.ErrGoexit) {
		done := make(chan struct{})
		go func() { // in which the Goexit goes on, instead of in the caller
			defer close(done)
			g.stop()
		}()
		<-done
	}
	if g.hub != nil {
		delete(g.hub.begun, g)
	}
	g.next, g.stop, g.hub, g.resume, g.leave = nil, nil, nil, nil, nil
	return g.err
}

// begin prepares the function's stack: on a fiber of the hub when a coroutine
// calls, so that the function waits as that coroutine; by package iter otherwise.
func (g *Generator[In, Out]) begin() {
	if f := here(); f != nil {
		if h := hubOf(f.trunk); h != nil {
			g.onHub(h)
			return
		}
	}
	g.next, g.stop = iter.Pull(func(pulled func(struct{}) bool) {
		returned := false
		defer func() {
			if !returned {
				pulled(struct{}{}) // until it is stopped
			}
		}()
		g.run(func(v Out) (In, error) {
			var none In
			if _, free := gtoken.Free(); !free || g.closed {
				if err := g.leaves(); err != nil {
					return none, err
				}
			}
			g.out = v
			pulled(struct{}{})
			if g.given {
				return g.take()
			}
			return none, nil
		})
		returned = true
	})
}

// onHub runs the function on a fiber of the hub, as the coroutine that resumes.
func (g *Generator[In, Out]) onHub(h *Hub) {
	g.hub = h
	h.hasBegun(g)
	t := &h.trunk
	var caller *fiber
	fib := t.new(nil)
	fib.body = bodyFunc(func() {
		defer func() {
			fib.then = caller
		}()
		g.arrive(h)
		g.run(func(v Out) (In, error) {
			if err := g.leaves(); err != nil {
				var none In
				return none, err
			}
			g.out = v
			g.leave()
			return g.take()
		})
	})
	g.resume = func() {
		caller = t.running()
		t.switchTo(fib)
		g.arrive(h)
	}
	g.leave = func() {
		t.switchTo(caller)
		g.arrive(h)
	}
}

func (g *Generator[In, Out]) arrive(h *Hub) {
	if h.cur != nil {
		h.cur.s.Move()
	}
}

// run calls the function and keeps its error. It does not return if the function
// ends its goroutine.
func (g *Generator[In, Out]) run(yield func(Out) (In, error)) {
	returned := false
	defer func() {
		if v := recover(); v != nil {
			g.err = &tristrand.PanicError{Value: v, Stack: debug.Stack()}
		} else if !returned {
			g.err = tristrand.ErrGoexit
		}
		if unlock() && g.err == ErrDone { //nolint:errorlint // set here alone
			g.err = fmt.Errorf("%w: the generator's function returned so", ErrThreadLocked)
		}
		g.state = genDone
	}()
	g.err = ErrDone
	if err := g.fn(yield); err != nil {
		g.err = err
	}
	returned = true
}

// leaves says, before a yield, why the function cannot be left.
func (g *Generator[In, Out]) leaves() error {
	if g.closed {
		runtime.Goexit() // it was told to end
	}
	if gtoken.Locked() {
		return ErrThreadLocked
	}
	return nil
}

// take returns, after a yield, what has been sent or thrown.
func (g *Generator[In, Out]) take() (in In, err error) {
	in, g.in = g.in, in
	err, g.inErr = g.inErr, nil
	g.given = false
	return in, err
}
