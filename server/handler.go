package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"syscall"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/registry"
)

// A Handler serves one connection, on a strand of its own: ctx names it. The
// connection is closed when ServeConn returns, whose error goes to
// [Server.OnError]; a client that hung up ([io.EOF], a reset), a time-out and
// [ErrServerClosed] are ordinary ends, which are only counted. A panic costs its
// own connection.
//
// A Handler that is also a [Verifier], [Setupper] or [Finisher] has those called
// around ServeConn, on the same strand.
type Handler interface {
	ServeConn(ctx context.Context, c *Conn) error
}

// HandlerFunc is a function as a Handler.
type HandlerFunc func(ctx context.Context, c *Conn) error

// ServeConn calls the function.
func (f HandlerFunc) ServeConn(ctx context.Context, c *Conn) error { return f(ctx, c) }

// A Verifier looks at a connection before anything else: after an error it is
// closed, and neither set up, served nor finished. [Server.Admit] is for a look
// at the address alone, before a strand is started.
type Verifier interface {
	Verify(ctx context.Context, c *Conn) error
}

// A Setupper prepares a connection; after an error it is neither served nor
// finished.
type Setupper interface {
	Setup(ctx context.Context, c *Conn) error
}

// A Finisher is told the outcome of every ServeConn that was begun, a
// *tristrand.PanicError if it panicked, tristrand.ErrGoexit if it ended its goroutine.
// What it returns takes its place, but for that last one.
type Finisher interface {
	Finish(ctx context.Context, c *Conn, err error) error
}

// named are the handlers that Handle has registered.
var named struct {
	sync.Mutex
	all map[string]*namedHandler
}

// A namedHandler is one that other processes of the program find by its name.
type namedHandler struct {
	Handler
	name string
}

// Handle gives fn a name, by which worker processes find it: the Handler that it
// returns works with every model. It is called for a package variable:
//
//	var Echo = server.Handle("example.echo", func(ctx context.Context, c *server.Conn) error { … })
//
// It panics if the name is empty or taken, and after process.Init.
func Handle(name string, fn func(ctx context.Context, c *Conn) error) Handler {
	if fn == nil {
		panic(fmt.Sprintf("server: Handle(%q): the function is nil", name))
	}
	return Register(name, HandlerFunc(fn))
}

// Register is Handle for a Handler that is not a function.
func Register(name string, h Handler) Handler {
	switch by := registry.FrozenBy(); {
	case h == nil:
		panic(fmt.Sprintf("server: Register(%q): the handler is nil", name))
	case name == "":
		panic("server: a handler needs a name: worker processes find it by that")
	case by != "":
		panic(fmt.Sprintf("server: handler %q is registered after %s: do it in a package variable, so that every process has it", name, by))
	}
	named.Lock()
	defer named.Unlock()
	if named.all[name] != nil {
		panic(fmt.Sprintf("server: there are two handlers named %q", name))
	}
	if named.all == nil {
		named.all = make(map[string]*namedHandler)
	}
	n := &namedHandler{h, name}
	named.all[name] = n
	return n
}

// plain returns the handler that a name was given to.
func plain(h Handler) Handler {
	if n, ok := h.(*namedHandler); ok {
		return n.Handler
	}
	return h
}

// errVerify marks what a Verifier returned.
var errVerify = errors.New("server: refused by Verify")

// handle takes a connection through all that a Handler does. It returns the
// outcome, a panic as an error. A Goexit goes on through it.
func handle(ctx context.Context, h Handler, c *Conn) (err error) {
	h = plain(h)
	if v, ok := h.(Verifier); ok {
		if err := guarded(ctx, c, v.Verify); err != nil {
			return fmt.Errorf("%w: %w", errVerify, err)
		}
	}
	if s, ok := h.(Setupper); ok {
		if err := guarded(ctx, c, s.Setup); err != nil {
			return err
		}
	}
	f, ok := h.(Finisher)
	if !ok {
		return guarded(ctx, c, h.ServeConn)
	}
	finish := func(ctx context.Context, c *Conn) error { return f.Finish(ctx, c, err) }
	returned := false
	defer func() {
		if !returned { // its Goexit goes on after this
			err = errGoexit(c)
			_ = guarded(ctx, c, finish)
		}
	}()
	err = guarded(ctx, c, h.ServeConn)
	returned = true
	return guarded(ctx, c, finish)
}

// guarded calls fn and makes an error of its panic. A Goexit goes on through it.
func guarded(ctx context.Context, c *Conn, fn func(context.Context, *Conn) error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = panicked(c, v)
		}
	}()
	return fn(ctx, c)
}

func panicked(c *Conn, v any) error {
	return &tristrand.PanicError{Value: v, Stack: debug.Stack(), Task: "connection of " + c.String()}
}

// simple returns the function that a handler is, nil if there is more to it.
func simple(h Handler) HandlerFunc {
	f, _ := plain(h).(HandlerFunc)
	return f
}

// An ending says how a connection ended, for the counters and the report.
type ending uint8

const (
	endedWell    ending = iota
	endedHangup         // the client is gone
	endedTimeout        // a time-out of the server's, or a deadline
	endedClosed         // the server shut down
	endedRefused        // Verify, TLS or PROXY
	endedFailed         // the handler's own error
	endedPanic
)

// judge sorts the outcome of a connection.
func judge(err error) ending {
	var panicked *tristrand.PanicError
	switch {
	case err == nil:
		return endedWell
	case errors.As(err, &panicked), errors.Is(err, tristrand.ErrGoexit):
		return endedPanic
	case errors.Is(err, errVerify), errors.Is(err, ErrHandshake):
		return endedRefused
	case errors.Is(err, ErrServerClosed):
		return endedClosed
	case errors.Is(err, os.ErrDeadlineExceeded):
		return endedTimeout
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return endedHangup
	default:
		return endedFailed
	}
}
