package strand_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tristrand/tristrand/strand"
)

// long is how long a test waits for what must come, on a machine however busy.
const long = time.Minute

// many returns how often to repeat: n, a tenth of it under the race detector or
// with -short, and 20 times as often in a soak.
func many(n int) int {
	switch {
	case os.Getenv("TRISTRAND_SOAK") != "":
		return 20 * n
	case racing || testing.Short():
		return max(1, n/10)
	default:
		return n
	}
}

// adopt makes the test's goroutine a strand until the test ends.
func adopt(t *testing.T) context.Context {
	t.Helper()
	ctx, end := strand.Adopt(t.Context(), "main")
	t.Cleanup(end)
	return ctx
}

// threads runs bodies as threads and waits for all of them.
func threads(ctx context.Context, bodies ...func(ctx context.Context) error) error {
	errs := make([]error, len(bodies))
	var wg sync.WaitGroup
	for i, body := range bodies {
		wg.Add(1)
		strand.Go(ctx, strand.Options{Kind: strand.Thread, Name: fmt.Sprint("t", i)}, func(ctx context.Context) {
			defer wg.Done()
			errs[i] = body(ctx)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// until waits until cond is true.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for began := time.Now(); !cond(); time.Sleep(100 * time.Microsecond) {
		if time.Since(began) > long {
			t.Fatalf("%s has not come about", what)
		}
	}
}

// A gate is a thing to wait for that any strand can open: the least primitive
// that can be made of the waist.
type gate struct {
	mu    sync.Mutex
	open  bool
	waits []strand.Wait
	of    []strand.Releaser // who could open it; nil: anyone
}

func (g *gate) String() string { return "gate" }

func (g *gate) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) {
	return append(buf, g.of...), g.of != nil
}

func (g *gate) wait(ctx context.Context) error {
	s := strand.Enter(ctx, strand.Op{Verb: "wait", On: g})
	g.mu.Lock()
	if g.open {
		g.mu.Unlock()
		return nil
	}
	w := s.NewWait()
	g.waits = append(g.waits, w)
	g.mu.Unlock()
	err := w.Park(ctx, g)
	if err != nil {
		g.mu.Lock()
		g.waits = slices.DeleteFunc(g.waits, func(x strand.Wait) bool { return x == w })
		g.mu.Unlock()
	}
	return err
}

func (g *gate) waiting() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waits)
}

// set opens the gate and returns how many were granted.
func (g *gate) set() (n int) {
	g.mu.Lock()
	g.open = true
	waits := g.waits
	g.waits = nil
	g.mu.Unlock()
	for _, w := range waits {
		if w.Grant() {
			n++
		}
	}
	return n
}

// A parallel is a scheduler that lets all strands run at once and counts: every
// Park must be matched by one Ready.
type parallel struct {
	parks, readies atomic.Int64
	faults         atomic.Int64

	mu    sync.Mutex
	turns map[*strand.Strand]chan struct{}
	wg    sync.WaitGroup
}

func newParallel() *parallel { return &parallel{turns: map[*strand.Strand]chan struct{}{}} }

func (p *parallel) turn(s *strand.Strand) chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.turns[s]
	if c == nil {
		c = make(chan struct{}, 1)
		p.turns[s] = c
	}
	return c
}

func (p *parallel) Spawn(_ *strand.Strand, body func()) { p.wg.Go(body) }
func (p *parallel) Step(*strand.Strand, strand.Op)      {}

func (p *parallel) Park(s *strand.Strand) {
	p.parks.Add(1)
	<-p.turn(s)
}

func (p *parallel) Ready(s *strand.Strand) {
	p.readies.Add(1)
	select {
	case p.turn(s) <- struct{}{}:
	default:
		p.faults.Add(1) // a second Ready for one Park
	}
}

func (p *parallel) After(d time.Duration, f func()) (stop func() bool) {
	return time.AfterFunc(d, f).Stop
}

// run runs body as a strand of p and waits for all that it started.
func (p *parallel) run(ctx context.Context, body func(ctx context.Context)) {
	strand.Go(ctx, strand.Options{Kind: strand.Main, Name: "main", Scheduler: p}, body)
	p.wg.Wait()
}

// balanced checks that each Park had its Ready, and none is left over.
func (p *parallel) balanced(t *testing.T) {
	t.Helper()
	if p.parks.Load() != p.readies.Load() || p.faults.Load() != 0 {
		t.Errorf("%d Parks and %d Readies, %d of them while another was pending", p.parks.Load(), p.readies.Load(), p.faults.Load())
	}
}
