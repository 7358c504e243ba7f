package conformance

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tristrand/tristrand/conformance/schedule"
	"github.com/tristrand/tristrand/strand"
)

// A World decides whose turn it is and what time it is.
type World int

// The worlds.
const (
	Bubble      World = iota // the Go runtime in a synctest bubble: time is fake
	RealTime                 // the Go runtime
	Cooperative              // one strand at a time, first come first served; time is fake
	Searched                 // one strand at a time, by random numbers; time is virtual
)

var worldNames = [...]string{"bubble", "realtime", "cooperative", "searched"}

func (w World) String() string { return worldNames[w] }

// virtual reports whether waiting for a time costs none, and is exact.
func (w World) virtual() bool { return w != RealTime }

// scheduled reports whether strands run one at a time.
func (w World) scheduled() bool { return w == Cooperative || w == Searched }

// open reports whether goroutines that are no strands may take part.
func (w World) open() bool { return w != Searched }

// Options say how a suite is run. The zero value is right for objects of this
// process.
type Options struct {
	// Worlds to run the rules in; nil is all. Objects that do real input and
	// output can only be in RealTime.
	Worlds []World

	// Seeds is how many schedules of each rule the searched world runs; 0 is
	// 20, or 5 with -short.
	Seeds int

	// Cooperative, if not nil, is the cooperative world, instead of the one of
	// package schedule: it runs body as a coroutine and returns when it and all
	// coroutines that it has started have ended.
	Cooperative func(ctx context.Context, body func(ctx context.Context)) error

	// Skip says for rules, by name, why this kind of object cannot keep them.
	Skip map[string]string
}

// seedEnv names the environment variable that holds the one seed to search
// with.
const seedEnv = "TRISTRAND_SEED"

func (o Options) seeds(t *testing.T) (first, n uint64) {
	if text := os.Getenv(seedEnv); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("%s=%q: it must be the number that a failure named", seedEnv, text)
		}
		return seed, 1
	}
	switch {
	case o.Seeds > 0:
		return 1, uint64(o.Seeds)
	case testing.Short():
		return 1, 5
	default:
		return 1, 20
	}
}

// A rule is one thing that every object of a kind must keep.
type rule[M any] struct {
	name   string
	clause string // of the contract
	needs  need
	check  func(ctx context.Context, r *run, mk M)
}

// A need says in which worlds a rule makes sense.
type need int

const (
	anyWorld   need = iota
	openWorld       // goroutines that are no strands take part
	fakeTime        // it waits for long
	scheduling      // strands run one at a time
)

func (n need) in(w World) bool {
	switch n {
	case openWorld:
		return w.open()
	case fakeTime:
		return w.virtual()
	case scheduling:
		return w.scheduled()
	default:
		return true
	}
}

// runRules runs every rule in every world.
func runRules[M any](t *testing.T, rules []rule[M], mk M, o Options) {
	t.Helper()
	names := map[string]bool{}
	for _, rl := range rules {
		names[rl.name] = true
	}
	for name := range o.Skip {
		if !names[name] {
			t.Errorf("Options.Skip: there is no rule %q", name)
		}
	}
	worlds := o.Worlds
	if worlds == nil {
		worlds = []World{Bubble, RealTime, Cooperative, Searched}
	}
	for _, w := range worlds {
		t.Run(w.String(), func(t *testing.T) {
			for _, rl := range rules {
				if !rl.needs.in(w) {
					continue
				}
				t.Run(rl.name, func(t *testing.T) {
					if why := o.Skip[rl.name]; why != "" {
						t.Skip(why)
					}
					w.run(t, o, rl.clause, func(ctx context.Context, r *run) { rl.check(ctx, r, mk) })
				})
			}
		})
	}
}

// run calls check as the root strand of the world and waits for all strands
// that it started.
func (w World) run(t *testing.T, o Options, clause string, check func(ctx context.Context, r *run)) {
	defer func() {
		if t.Failed() {
			t.Logf("the rule: %s", clause)
		}
	}()
	switch w {
	case Bubble:
		synctest.Test(t, func(t *testing.T) { w.runFree(t, check) })
	case RealTime:
		w.runFree(t, check)
	case Cooperative:
		synctest.Test(t, func(t *testing.T) {
			r := newRun(t, w, 0)
			if o.Cooperative == nil {
				schedule.Cooperative(t.Context(), func(ctx context.Context) { check(ctx, r) })
			} else {
				r.kind = strand.Coroutine
				if err := o.Cooperative(t.Context(), func(ctx context.Context) { check(ctx, r) }); err != nil {
					t.Error(err)
				}
			}
			r.allEnded()
		})
	case Searched:
		first, n := o.seeds(t)
		for seed := first; seed < first+n && !t.Failed(); seed++ {
			w.runSearched(t, seed, check)
		}
	}
}

func (w World) runFree(t *testing.T, check func(ctx context.Context, r *run)) {
	r := newRun(t, w, uint64(time.Now().UnixNano()))
	done := make(chan struct{})
	strand.Go(t.Context(), strand.Options{Kind: strand.Main, Name: "main"}, func(ctx context.Context) {
		defer close(done)
		check(ctx, r)
	})
	<-done
	r.allEnded()
}

func (w World) runSearched(t *testing.T, seed uint64, check func(ctx context.Context, r *run)) {
	r := newRun(t, w, seed)
	out := schedule.Search(t.Context(), seed, func(ctx context.Context) error {
		check(ctx, r)
		return nil
	})
	if out.Err != nil {
		t.Error(out.Err)
	}
	r.allEnded()
	if t.Failed() {
		t.Logf("to run this schedule alone: %s=%d go test -run '%s'\n%s", seedEnv, seed, t.Name(), tail(out.Trace(), 4000))
	}
}

// tail cuts a text to its last n bytes.
func tail(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return fmt.Sprintf("… %d bytes before\n%s", len(text)-n, text[len(text)-n:])
}
