package strand_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/tristrand/tristrand/conformance/schedule"
	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/strand"
)

// A hub that has nothing to run parks its own strand, through that strand's
// scheduler: others go on meanwhile. Package schedule tests hubs in hubs.
func TestInvariant6AnIdleHubParksItsOwnStrand(t *testing.T) {
	body := func(ctx context.Context) error {
		sem := local.NewSemaphore(0)
		done := local.NewSemaphore(0)
		hub := strand.Go(ctx, strand.Options{Kind: strand.Thread, Name: "hub"}, func(ctx context.Context) {
			schedule.Cooperative(ctx, func(ctx context.Context) {
				if err := errors.Join(sem.Acquire(ctx), done.Release(ctx, 1)); err != nil {
					t.Error(err)
				}
			})
		})
		for hub.State() != strand.Waiting {
			if err := strand.Sleep(ctx, time.Millisecond); err != nil {
				return err
			}
		}
		if on := hub.Waiting(); on == nil || strings.Contains(on.String(), "semaphore") {
			t.Errorf("the idle hub waits for %v", on)
		}
		return errors.Join(sem.Release(ctx, 1), done.Acquire(ctx))
	}
	t.Run("in a thread", func(t *testing.T) {
		if err := body(adopt(t)); err != nil {
			t.Error(err)
		}
	})
	t.Run("in a search", func(t *testing.T) {
		for seed := range uint64(20) {
			if o := schedule.Search(t.Context(), seed, body); o.Err != nil {
				t.Fatalf("%v\n%s", o.Err, o.Trace())
			}
		}
	})
}

func TestInvariant7ReadyFromAnyGoroutineIsPrompt(t *testing.T) {
	wake := func(t *testing.T, ctx context.Context) {
		for range 100 {
			g := new(gate)
			go func() { // no strand, and not of the scheduler
				for g.waiting() == 0 {
					time.Sleep(10 * time.Microsecond)
				}
				g.set()
			}()
			if err := g.wait(ctx); err != nil {
				t.Error(err)
			}
		}
	}
	t.Run("free", func(t *testing.T) { wake(t, adopt(t)) })
	t.Run("parallel", func(t *testing.T) {
		p := newParallel()
		p.run(t.Context(), func(ctx context.Context) { wake(t, ctx) })
		p.balanced(t)
	})
	t.Run("hub", func(t *testing.T) {
		schedule.Cooperative(t.Context(), func(ctx context.Context) { wake(t, ctx) })
	})
}

func TestInvariant7ReadyFromOutsideASearchIsAnError(t *testing.T) {
	o := schedule.Search(t.Context(), 1, func(ctx context.Context) error {
		w := strand.Current(ctx).NewWait()
		done := make(chan struct{})
		go grantFromOutside(w, done)
		<-done // with the turn: nothing else runs
		return w.Park(ctx, new(gate))
	})
	var outside *schedule.OutsideError
	if !errors.As(o.Err, &outside) || !strings.Contains(outside.Caller, "grantFromOutside") {
		t.Errorf("%v", o.Err)
	}
}

func grantFromOutside(w strand.Wait, done chan struct{}) {
	defer close(done)
	w.Grant()
}

// Every operation of a primitive is a step of its strand, contended or not.
func TestInvariant9EveryOperationIsAStep(t *testing.T) {
	o := schedule.Search(t.Context(), 1, func(ctx context.Context) error {
		l, r, m, e := new(local.Lock), new(local.RLock), local.NewSemaphore(1), new(local.Event)
		c, b, q := local.NewCondition(r), local.NewBarrier(1), local.NewQueue[int](1)
		_, berr := b.Wait(ctx)
		_, gerr := func() (int, error) {
			if err := q.Put(ctx, 1); err != nil {
				return 0, err
			}
			return q.Get(ctx)
		}()
		terr := q.TryPut(ctx, 1)
		_, gterr := q.TryGet(ctx)
		return errors.Join(
			l.Acquire(ctx), l.Release(ctx), l.TryAcquire(ctx), l.Release(ctx),
			r.Acquire(ctx), r.Acquire(ctx), c.Notify(ctx, 1), r.Release(ctx), r.Release(ctx),
			m.Acquire(ctx), m.Release(ctx, 1), m.TryAcquire(ctx),
			e.Set(ctx), e.Wait(ctx), e.Clear(ctx),
			berr, gerr, terr, gterr, q.TaskDone(ctx), q.TaskDone(ctx), q.Join(ctx),
			strand.Yield(ctx), strand.Sleep(ctx, 0),
		)
	})
	if o.Err != nil {
		t.Fatal(o.Err)
	}
	//nolint:dupword // a sleep of no time is a yield, too
	want := `start, wait barrier #1, put queue[int] #2, get queue[int] #2, tryput queue[int] #2, tryget queue[int] #2,
		acquire lock #3, release lock #3, tryacquire lock #3, release lock #3,
		acquire rlock #4, acquire rlock #4, notify condition #5, release rlock #4, release rlock #4,
		acquire semaphore #6, release semaphore #6, tryacquire semaphore #6,
		set event #7, wait event #7, clear event #7,
		taskdone queue[int] #2, taskdone queue[int] #2, join queue[int] #2, yield, yield, end`
	var got []string
	for line := range strings.Lines(o.Trace()) {
		got = append(got, strings.TrimSpace(strings.TrimPrefix(line, "main")))
	}
	if g, w := strings.Join(got, ", "), strings.Join(strings.Fields(want), " "); g != w {
		t.Errorf("the steps were\n%s\nwant\n%s", g, w)
	}
}

// mix is a body with choices.
func mix(ctx context.Context) error {
	l, m := new(local.Lock), local.NewSemaphore(0)
	for range 3 {
		strand.Go(ctx, strand.Options{Kind: strand.Thread}, func(ctx context.Context) {
			for range 3 {
				_ = errors.Join(l.Acquire(ctx), strand.Yield(ctx), l.Release(ctx))
			}
			_ = m.Release(ctx, 1)
		})
	}
	return errors.Join(m.Acquire(ctx), m.Acquire(ctx), m.Acquire(ctx))
}

const hashEnv = "TRISTRAND_PRINT_HASH"

func TestInvariant10EqualSeedsGiveEqualHashes(t *testing.T) {
	hash := func() string {
		var all []string
		for seed := range uint64(20) {
			o := schedule.Search(t.Context(), seed, mix)
			if o.Err != nil {
				t.Fatalf("%v\n%s", o.Err, o.Trace())
			}
			all = append(all, time.Duration(o.Hash>>1).String())
		}
		return strings.Join(all, " ")
	}
	first := hash()
	if os.Getenv(hashEnv) != "" {
		t.Logf("<<%s>>", first)
		return
	}
	if again := hash(); again != first {
		t.Errorf("twice in one process:\n%s\n%s", first, again)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, "-test.run=^TestInvariant10EqualSeedsGiveEqualHashes$", "-test.v")
	cmd.Env = append(os.Environ(), hashEnv+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "<<"+first+">>") {
		t.Errorf("in another process: %v\n%s\nhere:\n%s", err, out, first)
	}
}

func TestSleepAndWithTimeout(t *testing.T) {
	check := func(t *testing.T, ctx context.Context, now func() time.Duration) {
		began := now()
		if err := strand.Sleep(ctx, 3*time.Millisecond); err != nil || now()-began < 3*time.Millisecond {
			t.Errorf("Sleep: %v after %v", err, now()-began)
		}
		for _, d := range []time.Duration{0, -time.Second} {
			if err := strand.Sleep(ctx, d); err != nil {
				t.Errorf("Sleep(%v): %v", d, err)
			}
			none, cancel := strand.WithTimeout(ctx, d)
			if !errors.Is(none.Err(), context.DeadlineExceeded) {
				t.Errorf("WithTimeout(%v): %v, want that it has ended", d, none.Err())
			}
			cancel()
		}
		began = now()
		short, cancel := strand.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		if d, ok := short.Deadline(); !ok || time.Until(d) > time.Millisecond {
			t.Errorf("the deadline is %v, %v", d, ok)
		}
		if err := strand.Sleep(short, time.Hour); !errors.Is(err, context.DeadlineExceeded) || now()-began < time.Millisecond {
			t.Errorf("Sleep under a time-out: %v after %v", err, now()-began)
		}
		if err := strand.Sleep(short, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Sleep after the time-out: %v", err)
		}
		if err := strand.Yield(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Yield after the time-out: %v", err)
		}
		// A child's time does not outlast its parent's.
		child, cancel2 := strand.WithTimeout(short, time.Hour)
		defer cancel2()
		if !errors.Is(child.Err(), context.DeadlineExceeded) {
			t.Errorf("a child of what has ended: %v", child.Err())
		}
		long, cancel3 := strand.WithTimeout(ctx, time.Hour)
		cancel3()
		cancel3()
		if !errors.Is(long.Err(), context.Canceled) || context.Cause(long) == nil {
			t.Errorf("after cancel: %v", long.Err())
		}
		if ctx.Err() != nil {
			t.Errorf("the parent: %v", ctx.Err())
		}
	}
	clock := func() func() time.Duration {
		began := time.Now()
		return func() time.Duration { return time.Since(began) }
	}
	t.Run("free", func(t *testing.T) { check(t, adopt(t), clock()) })
	t.Run("hub", func(t *testing.T) {
		schedule.Cooperative(t.Context(), func(ctx context.Context) { check(t, ctx, clock()) })
	})
	t.Run("search", func(t *testing.T) {
		o := schedule.Search(t.Context(), 1, func(ctx context.Context) error {
			check(t, ctx, strand.Current(ctx).Scheduler().(interface{ Now() time.Duration }).Now)
			return nil
		})
		if o.Err != nil {
			t.Error(o.Err)
		}
	})
}

// A context that a strand derives by package context ends its waits on the
// searched turn too, as long as it ends with one of strand's own.
func TestTimeOutsReachWaitsThroughDerivedContexts(t *testing.T) {
	type key struct{}
	o := schedule.Search(t.Context(), 1, func(ctx context.Context) error {
		short, cancel := strand.WithTimeout(ctx, time.Second)
		defer cancel()
		derived := context.WithValue(context.WithValue(short, key{}, 1), key{}, 2)
		if err := local.NewSemaphore(0).Acquire(derived); !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		return nil
	})
	if o.Err != nil {
		t.Error(o.Err)
	}
}

// keeper is a scheduler that wants threads only.
type keeper struct{ *parallel }

func (keeper) Keeps(k strand.Kind) bool { return k == strand.Thread || k == strand.Main }

func TestChildrenHaveTheirParentsScheduler(t *testing.T) {
	p := newParallel()
	p.run(t.Context(), func(ctx context.Context) {
		if got := strand.Go(ctx, strand.Options{Kind: strand.Worker}, func(context.Context) {}).Scheduler(); got != strand.Scheduler(p) {
			t.Errorf("a child has %v", got)
		}
		own, end := strand.Adopt(ctx, "nested")
		if got := strand.Current(own).Scheduler(); got != strand.Scheduler(p) {
			t.Errorf("a strand nested on the goroutine has %v", got)
		}
		end()
		done := make(chan struct{})
		go func() {
			defer close(done)
			own, end := strand.Adopt(ctx, "adopted")
			defer end()
			if got := strand.Current(own).Scheduler(); got != nil {
				t.Errorf("a goroutine without the turn has %v", got)
			}
		}()
		<-done
	})
	k := keeper{newParallel()}
	strand.Go(t.Context(), strand.Options{Kind: strand.Main, Scheduler: k}, func(ctx context.Context) {
		if got := strand.Inherited(ctx, strand.Worker); got != nil {
			t.Errorf("a kind that is not kept has %v", got)
		}
		if got := strand.Inherited(ctx, strand.Thread); got != strand.Scheduler(k) {
			t.Errorf("a kind that is kept has %v", got)
		}
	})
	k.wg.Wait()
}
