package strand_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/strand"
)

// A meeting holds a number of strands until all are there, again and again. It
// is no part of the wait-for graph.
type meeting struct {
	n    int
	mu   sync.Mutex
	here int
	all  chan struct{}
}

func newMeeting(n int) *meeting { return &meeting{n: n, all: make(chan struct{})} }

func (m *meeting) meet() {
	m.mu.Lock()
	all := m.all
	if m.here++; m.here == m.n {
		m.here, m.all = 0, make(chan struct{})
		close(all)
	}
	m.mu.Unlock()
	<-all
}

// ring has n strands take one lock each and then their neighbour's, again and
// again: each round is a deadlock, of which one strand must be refused.
func ring(t *testing.T, ctx context.Context, n, rounds int) {
	t.Helper()
	locks := make([]*local.Lock, n)
	for i := range locks {
		locks[i] = local.NewLock(fmt.Sprint("lock ", i))
	}
	m := newMeeting(n)
	var victims atomic.Int64
	var bodies []func(context.Context) error
	for i := range n {
		bodies = append(bodies, func(ctx context.Context) error {
			for range rounds {
				if err := locks[i].Acquire(ctx); err != nil {
					return err
				}
				m.meet() // all have their first lock
				next := locks[(i+1)%n]
				err := next.Acquire(ctx)
				var dead *strand.DeadlockError
				switch {
				case err == nil:
					err = next.Release(ctx)
				case errors.As(err, &dead):
					victims.Add(1)
					err = checkCycle(dead, n)
				}
				if err := errors.Join(err, locks[i].Release(ctx)); err != nil {
					return err
				}
				m.meet() // the next round
			}
			return nil
		})
	}
	if err := threads(ctx, bodies...); err != nil {
		t.Error(err)
	}
	if int(victims.Load()) != rounds {
		t.Errorf("%d strands were refused in %d deadlocks", victims.Load(), rounds)
	}
}

// checkCycle checks that each link's holder is the next one's waiter, and that
// nothing is there twice.
func checkCycle(e *strand.DeadlockError, n int) error {
	if len(e.Cycle) != n {
		return fmt.Errorf("a cycle of %d, want %d: %w", len(e.Cycle), n, e)
	}
	seen := map[string]bool{}
	for i, l := range e.Cycle {
		if next := e.Cycle[(i+1)%n]; l.Holder != next.Waiter || seen[l.Waiter] || seen[l.On] || !strings.Contains(l.TakenAt, "deadlock_test.go:") {
			return fmt.Errorf("link %d, %+v, of: %w", i, l, e)
		}
		seen[l.Waiter], seen[l.On] = true, true
	}
	return nil
}

func TestInvariant4ExactlyOneVictim(t *testing.T) {
	for _, n := range []int{2, 3, 7} {
		t.Run(fmt.Sprintf("strands=%d", n), func(t *testing.T) { ring(t, adopt(t), n, many(20_000)) })
	}
}

// Rings that share their first strand's patience: several deadlocks at once, in
// one process, must not be taken for one.
func TestInvariant4ExactlyOneVictimOfEach(t *testing.T) {
	ctx := adopt(t)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { ring(t, ctx, 2, many(20_000)) })
	}
	wg.Wait()
}

// Random acquisitions in lock order can never be deadlocked, and none may be
// called so.
func TestInvariant4NoPhantoms(t *testing.T) {
	ctx := adopt(t)
	const strands = 8
	locks := make([]*local.Lock, 6)
	for i := range locks {
		locks[i] = new(local.Lock)
	}
	rounds := many(1_000_000) / strands / 3 // three acquisitions each, on average
	var bodies []func(context.Context) error
	for i := range strands {
		bodies = append(bodies, func(ctx context.Context) error {
			rng := rand.New(rand.NewPCG(uint64(i), 2))
			for range rounds {
				want := rng.IntN(1 << len(locks))
				for k, l := range locks {
					if want>>k&1 == 0 {
						continue
					}
					if err := l.Acquire(ctx); err != nil {
						return fmt.Errorf("in lock order: %w", err)
					}
				}
				if rng.IntN(8) == 0 {
					runtime.Gosched() // with locks held, for others to wait
				}
				for k, l := range locks {
					if want>>k&1 == 0 {
						continue
					}
					if err := l.Release(ctx); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	if err := threads(ctx, bodies...); err != nil {
		t.Error(err)
	}
}

// With time-outs, cancellations and re-entrance in the game there are deadlocks
// and near misses; whoever has a deadline is never refused, and everybody gets
// on.
func TestInvariant4WhoeverHasADeadlineIsNotRefused(t *testing.T) {
	ctx := adopt(t)
	locks := []*local.Lock{new(local.Lock), new(local.Lock), new(local.Lock)}
	rounds := many(10_000)
	var refused atomic.Int64
	var bodies []func(context.Context) error
	for i := range 4 {
		bodies = append(bodies, func(ctx context.Context) error {
			rng := rand.New(rand.NewPCG(uint64(i), 3))
			for range rounds {
				a, b := rng.IntN(3), rng.IntN(2)
				first, second := locks[a], locks[(a+1+b)%3]
				if err := first.Acquire(ctx); err != nil {
					return err // nobody holds one and waits here for it alone
				}
				short, cancel := strand.WithTimeout(ctx, time.Duration(rng.IntN(300))*time.Microsecond)
				timed := rng.IntN(2) == 0
				if !timed {
					cancel()
					short = ctx
				}
				err := second.Acquire(short)
				cancel()
				var dead *strand.DeadlockError
				switch {
				case err == nil:
					err = second.Release(ctx)
				case timed && errors.Is(err, context.DeadlineExceeded):
					err = nil
				case !timed && errors.As(err, &dead):
					refused.Add(1)
					err = nil
				}
				if err := errors.Join(err, first.Release(ctx)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := threads(ctx, bodies...); err != nil {
		t.Error(err)
	}
	t.Logf("%d refused", refused.Load())
}

func TestDeadlineInTheSetMeansATimeOutWithTheCycle(t *testing.T) {
	ctx := adopt(t)
	a, b := local.NewLock("a"), local.NewLock("b")
	if err := a.Acquire(ctx); err != nil {
		t.Fatal(err)
	}
	err := threads(ctx, func(ctx context.Context) error {
		if err := b.Acquire(ctx); err != nil {
			return err
		}
		other := make(chan error)
		strand.Go(ctx, strand.Options{Kind: strand.Thread, Name: "late"}, func(ctx context.Context) {
			other <- errors.Join(b.Acquire(ctx), b.Release(ctx)) // on no cycle, and gets b in the end
		})
		short, cancel := strand.WithTimeout(ctx, 10*time.Millisecond)
		defer cancel()
		err := a.Acquire(short)
		var dead *strand.DeadlockError
		if !errors.Is(err, context.DeadlineExceeded) || errors.As(err, &dead) {
			return fmt.Errorf("a wait for one who runs: %w", err)
		}
		return errors.Join(b.Release(ctx), <-other)
	})
	if err != nil {
		t.Error(err)
	}
}

// A nameless strand is never called a deadlock, nor is one that waits for it.
func TestNamelessIsNoDeadlock(t *testing.T) {
	ctx := adopt(t)
	a, b := new(local.Lock), new(local.Lock)
	if err := a.Acquire(ctx); err != nil {
		t.Fatal(err)
	}
	got := make(chan error)
	go func() { got <- b.Acquire(ctx) }() // with a borrowed ctx
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	go func() { got <- a.Acquire(context.Background()) }() // with none
	until(t, "the nameless one waits", func() bool {
		st, err := a.State(ctx)
		return err == nil && st.Waiting == 1
	})
	short, cancel := strand.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	err := b.Acquire(short)
	var dead *strand.DeadlockError
	if !errors.Is(err, context.DeadlineExceeded) || errors.As(err, &dead) {
		t.Errorf("a wait for what a nameless strand holds: %v", err)
	}
	if err := errors.Join(a.Release(ctx), <-got); err != nil {
		t.Error(err)
	}
}

// A closed set may have several members: all of them must wait.
func TestDeadlockOfASetOfReleasers(t *testing.T) {
	ctx := adopt(t)
	var workers [2]*strand.Strand
	gates := [2]*gate{new(gate), new(gate)}
	done := make(chan error, 2)
	start := make(chan struct{})
	for i := range workers {
		workers[i] = strand.Go(ctx, strand.Options{Kind: strand.Worker, Name: fmt.Sprint("worker ", i)}, func(ctx context.Context) {
			<-start
			done <- gates[i].wait(ctx)
		})
	}
	main := strand.Current(ctx).Ref()
	pool := &gate{of: []strand.Releaser{{Ref: workers[0].Ref()}, {Ref: workers[1].Ref()}}}
	gates[0].of = []strand.Releaser{{Ref: main}}
	close(start)
	until(t, "both workers wait", func() bool {
		return gates[0].waiting()+gates[1].waiting() == 2 &&
			workers[0].State() == strand.Waiting && workers[1].State() == strand.Waiting
	})

	// The second worker waits for what anyone could open, so there is hope.
	short, cancel := strand.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	var dead *strand.DeadlockError
	if err := pool.wait(short); !errors.Is(err, context.DeadlineExceeded) || errors.As(err, &dead) {
		t.Errorf("with one worker that could go on: %v", err)
	}
	gates[1].set()
	if err := <-done; err != nil {
		t.Error(err)
	}

	// Now it is gone, and the first one waits for whoever waits for it.
	pool = &gate{of: pool.of[:1]}
	err := pool.wait(ctx)
	if !errors.As(err, &dead) || len(dead.Cycle) != 2 || dead.Cycle[0].Waiter != "main" || dead.Cycle[0].Holder != "worker 0" {
		t.Errorf("with the pool waiting for its client: %v", err)
	}
	gates[0].set()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A latent gate turns out to be a closed set later, as if its other waiter had
// published itself and not yet looked around.
type latent struct {
	gate
	shut *atomic.Bool
}

func (l *latent) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) {
	return append(buf, l.of...), l.shut.Load()
}

// wait is gate's, for the whole of it.
func (l *latent) wait(ctx context.Context) error {
	w := strand.Current(ctx).NewWait()
	l.mu.Lock()
	l.waits = append(l.waits, w)
	l.mu.Unlock()
	return w.Park(ctx, l)
}

// A worker that is in a deadlock with somebody else goes on when one of the two
// is refused, so who waits for it or for another one is in no deadlock yet.
func TestADeadlockOfOthersIsTheirs(t *testing.T) {
	ctx := adopt(t)
	done, begin := make(chan error, 3), make(chan struct{})
	var shut atomic.Bool
	a, b := &latent{shut: &shut}, &latent{shut: &shut}
	c := &gate{of: []strand.Releaser{{Ref: strand.Current(ctx).Ref()}}}
	workers := []*strand.Strand{
		waitsFor(ctx, "a", begin, a.wait, done),
		waitsFor(ctx, "b", begin, b.wait, done),
		waitsFor(ctx, "c", begin, c.wait, done),
	}
	a.of, b.of = []strand.Releaser{{Ref: workers[1].Ref()}}, []strand.Releaser{{Ref: workers[0].Ref()}}
	close(begin)
	until(t, "all wait", func() bool {
		return !slices.ContainsFunc(workers, func(s *strand.Strand) bool { return s.State() != strand.Waiting })
	})
	shut.Store(true) // a and b are locked together, and will hear of it

	pool := &gate{of: []strand.Releaser{{Ref: workers[0].Ref()}, {Ref: workers[2].Ref()}}}
	go func() {
		for pool.waiting() == 0 {
			runtime.Gosched()
		}
		time.Sleep(10 * time.Millisecond) // for the walk to come to its wrong end
		pool.set()
	}()
	if err := pool.wait(ctx); err != nil {
		t.Errorf("a wait for c, which waits for it, or a, which is in another deadlock: %v", err)
	}
	a.set()
	b.set()
	c.set()
	for range workers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// remote is a part of the wait-for graph held elsewhere: strand 7 of process 9
// waits for a lock that a strand of this process holds.
type remote struct {
	on       strand.Resource
	deadline time.Time
}

func (g *remote) Waiting(r strand.Ref) (strand.Resource, time.Time, bool) {
	return g.on, g.deadline, r == strand.Ref{Process: 9, Strand: 7}
}

func (g *remote) Strands(context.Context) iter.Seq2[strand.View, error] {
	return func(yield func(strand.View, error) bool) {
		yield(strand.View{Ref: strand.Ref{Process: 9, Strand: 7}, Name: "far away", State: strand.Waiting}, nil)
	}
}

func TestDeadlockThroughAnotherProcess(t *testing.T) {
	ctx := adopt(t)
	mine := local.NewLock("mine")
	if err := mine.Acquire(ctx); err != nil {
		t.Fatal(err)
	}
	theirs := &gate{of: []strand.Releaser{{Ref: strand.Ref{Process: 9, Strand: 7}}}}
	g := &remote{on: mine}
	remove := strand.Publish(g)
	err := theirs.wait(ctx)
	var dead *strand.DeadlockError
	if !errors.As(err, &dead) || len(dead.Cycle) != 2 || dead.Cycle[1].On != mine.String() {
		t.Errorf("a cycle through another process: %v", err)
	}
	try := func(what string) {
		t.Helper()
		short, cancel := strand.WithTimeout(ctx, 5*time.Millisecond)
		defer cancel()
		var dead *strand.DeadlockError
		if err := theirs.wait(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", what, err)
		} else if what != "with its deadline" && errors.As(err, &dead) {
			t.Errorf("%s: %v", what, err)
		}
	}
	g.deadline = time.Now().Add(time.Hour)
	try("with its deadline")
	remove()
	try("when the other process is gone")
	if err := mine.Release(ctx); err != nil {
		t.Error(err)
	}
}

func TestDeadlockErrorReadsWell(t *testing.T) {
	e := &strand.DeadlockError{Cycle: []strand.Link{
		{Waiter: "a", On: `lock "x"`, Holder: "b", TakenAt: "p/f.go:1"},
		{Waiter: "b", On: "a job", Holder: "a"},
	}}
	want := `deadlock: "a" waits for lock "x", held by "b" since p/f.go:1; "b" waits for a job, held by "a"`
	if got := e.Error(); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// A strand that waits for a deadlock, and is on no cycle of it, has only to wait
// until the one victim lets go: it must not be refused, in whatever order they
// come.
func TestInvariant4WhoOnlyWaitsForADeadlockIsNoVictim(t *testing.T) {
	ctx := adopt(t)
	a, b := local.NewLock("a"), local.NewLock("b")
	rounds := many(20_000)
	m := newMeeting(4)
	var victims, wrong atomic.Int64
	both := func(first, second *local.Lock) func(context.Context) error {
		return func(ctx context.Context) error {
			for range rounds {
				if err := first.Acquire(ctx); err != nil {
					return err
				}
				m.meet()
				err := second.Acquire(ctx)
				var dead *strand.DeadlockError
				switch {
				case err == nil:
					err = second.Release(ctx)
				case errors.As(err, &dead):
					victims.Add(1)
					err = checkCycle(dead, 2)
				}
				if err := errors.Join(err, first.Release(ctx)); err != nil {
					return err
				}
				m.meet()
			}
			return nil
		}
	}
	onlooker := func(l *local.Lock) func(context.Context) error {
		return func(ctx context.Context) error {
			for range rounds {
				m.meet()
				if err := l.Acquire(ctx); err != nil {
					if wrong.Add(1) == 1 {
						t.Errorf("on no cycle: %v", err)
					}
				} else if err := l.Release(ctx); err != nil {
					return err
				}
				m.meet()
			}
			return nil
		}
	}
	if err := threads(ctx, both(a, b), both(b, a), onlooker(a), onlooker(b)); err != nil {
		t.Error(err)
	}
	if int(victims.Load()) != rounds {
		t.Errorf("%d strands were refused in %d deadlocks", victims.Load(), rounds)
	}
	if n := wrong.Load(); n > 0 {
		t.Errorf("%d strands that were on no cycle were refused", n)
	}
}
