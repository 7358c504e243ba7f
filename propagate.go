package tristrand

import (
	"context"
	"fmt"

	"github.com/tristrand/tristrand/internal/registry"
)

// A Propagator carries values of a job's ctx to where the job runs, when that is
// another process or machine: a trace's context, a tenant, a deadline of one's
// own. OpenTelemetry's TextMapPropagator fits with a carrier of two lines. Its
// methods are called by many goroutines at once and must not block or panic.
type Propagator interface {
	// Inject calls set for each value of ctx, the one given to Submit, that
	// shall travel. Keys are best prefixed, as those of all propagators share
	// one space.
	Inject(ctx context.Context, set func(k, v string))
	// Extract returns a child of ctx, the job's, with the values that travelled.
	// get returns "" for a key that was not set. What it returns is nil to leave
	// ctx as it is.
	Extract(ctx context.Context, get func(k string) string) context.Context
}

// Propagate adds a propagator for all jobs that leave the process. Every process
// of the program must add the same, so call it before process.Init; it panics
// afterwards, and if p is nil. Several add up: each is asked, in the order of
// these calls. Within the process a job has its ctx's values anyway.
func Propagate(p Propagator) {
	if p == nil {
		panic("tristrand: Propagate: the propagator is nil")
	}
	mustBeOpen("Propagate", "call it before, at the start of main")
	registry.Propagate(p)
}

// mustBeOpen panics if declarations have been closed. how says how what was
// refused can be done right.
func mustBeOpen(what, how string) {
	if by := registry.FrozenBy(); by != "" {
		panic(fmt.Sprintf("tristrand: %s: too late, %s has been called; %s", what, by, how))
	}
}
