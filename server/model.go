package server

import (
	"context"

	"github.com/tristrand/tristrand/strand"
)

// A Model says on what connections are served: it is Threads, Processes,
// Coroutines or Inline.
type Model interface {
	// open starts what the model needs. base is the handlers' ctx.
	open(base context.Context, r *room) (engine, error)

	// bound is how many connections it has at once, 0 for any number.
	bound() int
}

// An engine serves connections.
type engine interface {
	// serve has c served, which is among the living. ctx is the handlers' parent. It
	// may wait for room.
	serve(ctx context.Context, c *Conn)

	// raise tells those whom the core does not reach how far the shutdown has come.
	raise(level int32)

	// close waits for what it has started, when no connection is left but those
	// that were cut.
	close() error
}

// Threads serves each connection on a goroutine of its own.
type Threads struct {
	// Max bounds the connections that are served at once, beside Server.MaxConns;
	// 0 does not.
	Max int
}

func (m Threads) bound() int { return m.Max }

func (m Threads) open(_ context.Context, r *room) (engine, error) { return threads{r.core}, nil }

// Inline serves one connection at a time, in the order in which they came.
type Inline struct{}

func (Inline) bound() int { return 1 }

func (Inline) open(_ context.Context, r *room) (engine, error) { return threads{r.core}, nil }

// threads is the engine of goroutines.
type threads struct{ core *core }

func (t threads) serve(ctx context.Context, c *Conn) { t.core.start(ctx, c, strand.Thread) }
func (t threads) raise(int32)                        {}
func (t threads) close() error                       { return nil }

// An accepter is an engine that has loops of its own.
type accepter interface {
	accept(base context.Context, l *listener) error
}
