package strand_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/strand"
)

// borrowers are ways in which a goroutine comes to another strand's ctx. Each
// calls f there and waits for it.
func borrowers(t *testing.T) map[string]func(ctx context.Context, f func(ctx context.Context)) {
	return map[string]func(context.Context, func(context.Context)){
		"a plain goroutine": func(ctx context.Context, f func(context.Context)) {
			var wg sync.WaitGroup
			wg.Go(func() { f(ctx) })
			wg.Wait()
		},
		"a group of goroutines under a child": func(ctx context.Context, f func(context.Context)) { // as errgroup has them
			child, cancel := context.WithCancelCause(ctx)
			defer cancel(nil)
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() { f(child) })
			}
			wg.Wait()
		},
		"a handler of net/http": func(ctx context.Context, f func(context.Context)) {
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { f(req.Context()) }))
			srv.Config.BaseContext = func(net.Listener) context.Context { return ctx }
			srv.Start()
			defer srv.Close()
			resp, err := http.Get(srv.URL)
			if err != nil {
				t.Error(err)
				return
			}
			_, err = io.Copy(io.Discard, resp.Body)
			if err := errors.Join(err, resp.Body.Close()); err != nil {
				t.Error(err)
			}
		},
		"context.AfterFunc": func(ctx context.Context, f func(context.Context)) {
			child, cancel := context.WithCancel(ctx)
			done := make(chan struct{})
			context.AfterFunc(child, func() { defer close(done); f(context.WithoutCancel(child)) })
			cancel()
			<-done
		},
	}
}

func TestInvariant5ABorrowedContextIsNameless(t *testing.T) {
	for name, borrow := range borrowers(t) {
		t.Run(name, func(t *testing.T) {
			ctx := adopt(t)
			l := new(local.RLock)
			if err := l.Acquire(ctx); err != nil {
				t.Fatal(err)
			}
			borrow(ctx, func(ctx context.Context) {
				s := strand.Current(ctx)
				if s.ID() != 0 || s.Kind() != strand.Nameless || s.Name() != "nameless" || s.Mine() {
					t.Errorf("a borrower is %v", s)
				}
				if got := strand.Named(ctx).Name(); got != "main" {
					t.Errorf("its ctx names %q", got)
				}
				if err := l.TryAcquire(ctx); !errors.Is(err, tristrand.ErrBusy) {
					t.Errorf("TryAcquire of what the strand holds: %v", err)
				}
				if err := l.Release(ctx); !errors.Is(err, tristrand.ErrNotHeld) {
					t.Errorf("Release of what the strand holds: %v", err)
				}
			})
			if err := l.Release(ctx); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAdoptGivesAStrandOfItsOwn(t *testing.T) {
	for name, borrow := range borrowers(t) {
		t.Run(name, func(t *testing.T) {
			ctx := adopt(t)
			me := strand.Current(ctx)
			l := new(local.RLock)
			borrow(ctx, func(ctx context.Context) {
				own, end := strand.Adopt(ctx, "adopted")
				s := strand.Current(own)
				if s.ID() == 0 || s.Name() != "adopted" || s.Kind() != strand.Adopted || s.Parent() != me.ID() || !s.Mine() {
					t.Errorf("the adopted strand is %v, child of %d", s, s.Parent())
				}
				if strand.Current(ctx).ID() != 0 {
					t.Error("the borrowed ctx names it now")
				}
				for range 2 {
					if err := l.Acquire(own); err != nil {
						t.Errorf("Acquire: %v", err)
					}
				}
				if err := errors.Join(l.Release(own), l.Release(own)); err != nil {
					t.Error(err)
				}
				end()
				if strand.Current(own).ID() != 0 || s.State() != strand.Ended {
					t.Errorf("after its end it is %v, in state %v", strand.Current(own), s.State())
				}
				end() // again is harmless
			})
		})
	}
}

func TestStrandsNestOnAGoroutine(t *testing.T) {
	ctx := adopt(t)
	outer := strand.Current(ctx)
	inner, end := strand.Adopt(ctx, "inner")
	if s := strand.Current(inner); s.Name() != "inner" || s.Parent() != outer.ID() {
		t.Errorf("inside: %v, child of %d", s, s.Parent())
	}
	if strand.Current(ctx) != outer {
		t.Errorf("the outer ctx names %v", strand.Current(ctx))
	}
	end()
	if strand.Current(ctx) != outer || strand.Current(inner).ID() != 0 {
		t.Errorf("afterwards: %v and %v", strand.Current(ctx), strand.Current(inner))
	}
}

func TestDerivedContextsNameTheStrand(t *testing.T) {
	ctx := adopt(t)
	want := strand.Current(ctx)
	type key struct{}
	derived := context.WithValue(ctx, key{}, 1)
	derived, cancel := context.WithCancel(derived)
	defer cancel()
	derived, cancel2 := strand.WithTimeout(context.WithoutCancel(derived), long)
	defer cancel2()
	if got := strand.Current(derived); got != want {
		t.Errorf("%v, want %v", got, want)
	}
	for _, ctx := range []context.Context{context.Background(), context.TODO(), t.Context()} {
		if s := strand.Current(ctx); s == nil || s.ID() != 0 || strand.Named(ctx).ID() != 0 {
			t.Errorf("a ctx of no strand names %v", s)
		}
	}
}

func TestIDsAreNeverGivenTwice(t *testing.T) {
	ctx := adopt(t)
	seen := map[strand.ID]bool{strand.Current(ctx).ID(): true}
	var old *strand.Strand
	for range many(20_000) { // slots are used again and again
		c, end := strand.Adopt(ctx, "short")
		s := strand.Current(c)
		if seen[s.ID()] || s.ID() == 0 {
			t.Fatalf("id %d was given twice", s.ID())
		}
		seen[s.ID()] = true
		if strand.Find(s.ID()) != s {
			t.Fatalf("strand %d is not found", s.ID())
		}
		end()
		if strand.Find(s.ID()) != nil {
			t.Fatalf("strand %d has ended and is found", s.ID())
		}
		if old != nil && strand.Find(old.ID()) != nil {
			t.Fatalf("an old id finds %v", strand.Find(old.ID()))
		}
		old = s
	}
	if strand.Find(0) != nil {
		t.Error("id 0 finds a strand")
	}
}

// A strand of no kind would be taken for a goroutine without one, which has its
// slot only while it waits.
func TestAStrandWithoutAKindKeepsItsSlotWhenItHasWaited(t *testing.T) {
	ctx := adopt(t)
	var kind strand.Kind
	var found *strand.Strand
	done := make(chan struct{})
	s := strand.Go(ctx, strand.Options{}, func(ctx context.Context) {
		defer close(done)
		if err := strand.Sleep(ctx, time.Nanosecond); err != nil {
			t.Error(err)
		}
		kind, found = strand.Current(ctx).Kind(), strand.Find(strand.Current(ctx).ID())
	})
	<-done
	if kind != strand.Thread || found != s {
		t.Errorf("the strand is a %v, and under its id %v is found", kind, found)
	}
}

func TestNamesKindsAndStates(t *testing.T) {
	ctx := adopt(t)
	g := new(gate)
	done := make(chan struct{})
	s := strand.Go(ctx, strand.Options{Kind: strand.Worker}, func(ctx context.Context) {
		defer close(done)
		if got := strand.Current(ctx).State(); got != strand.Running {
			t.Errorf("it runs and is %v", got)
		}
		if err := g.wait(ctx); err != nil {
			t.Error(err)
		}
	})
	if want := fmt.Sprintf("worker-%d", s.ID()); s.Name() != want {
		t.Errorf("the name is %q, want %q", s.Name(), want)
	}
	s.SetName("renamed")
	until(t, "it waits", func() bool { return s.State() == strand.Waiting })
	if on := s.Waiting(); on != strand.Resource(g) {
		t.Errorf("it waits for %v", on)
	}
	v := s.View()
	if v.Name != "renamed" || v.Kind != strand.Worker || v.State != strand.Waiting || v.Waiting != "gate" ||
		v.Parent != strand.Current(ctx).ID() || v.Ref != s.Ref() {
		t.Errorf("the view is %+v", v)
	}
	if want := fmt.Sprintf("renamed (worker %d)", s.ID()); s.String() != want {
		t.Errorf("it reads %q, want %q", s, want)
	}
	names := func() (list []string) {
		for s := range strand.All() {
			list = append(list, s.Name())
		}
		return list
	}
	if list := names(); !slices.Contains(list, "renamed") || !slices.Contains(list, "main") {
		t.Errorf("All yields %q", list)
	}
	g.set()
	<-done
	until(t, "it has ended", func() bool { return s.State() == strand.Ended })
	if s.Waiting() != nil || slices.Contains(names(), "renamed") {
		t.Errorf("it has ended and waits for %v, and All yields %q", s.Waiting(), names())
	}
	nameless := strand.Current(context.Background())
	nameless.SetName("somebody")
	if nameless.Name() != "nameless" {
		t.Errorf("the nameless strand is called %q", nameless.Name())
	}
	if got := fmt.Sprint(strand.Kind(99), strand.State(99), strand.Main, strand.Coroutine, strand.New); got != "kind 99 state 99 main coroutine new" {
		t.Errorf("%s", got)
	}
}

func TestLocalLivesAsLongAsTheStrand(t *testing.T) {
	ctx := adopt(t)
	made := 0
	mk := func() any { made++; return new(int) }
	s := strand.Current(ctx)
	a := s.Local("k", mk)
	if s.Local("k", mk) != a || made != 1 {
		t.Errorf("made %d times", made)
	}
	if s.Local("other", mk) == a {
		t.Error("two keys have one value")
	}
	if err := threads(ctx, func(ctx context.Context) error {
		if strand.Current(ctx).Local("k", func() any { return new(int) }) == a {
			return errors.New("a thread sees its parent's value")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	nameless := strand.Current(context.Background())
	if nameless.Local("k", mk) == nameless.Local("k", mk) {
		t.Error("nameless strands share a value")
	}
}

func TestLabelIsThePprofLabel(t *testing.T) {
	ctx := adopt(t)
	release, ready, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	strand.Go(ctx, strand.Options{Kind: strand.Thread, Name: "labelled", Label: true}, func(ctx context.Context) {
		defer close(done)
		close(ready)
		<-release
		runtime.KeepAlive(ctx)
	})
	<-ready
	var b strings.Builder
	if err := pprof.Lookup("goroutine").WriteTo(&b, 1); err != nil {
		t.Error(err)
	}
	close(release)
	<-done
	if !strings.Contains(b.String(), `"strand":"labelled"`) {
		t.Errorf("no goroutine has the label:\n%s", b.String())
	}
}
