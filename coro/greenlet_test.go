package coro_test

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/coro"
)

// must returns v; it panics, which the test of a greenlet sees, if there is an
// error.
func must(v any, err error) any {
	if err != nil {
		panic(err)
	}
	return v
}

func TestGreenletsSwitchInTheOrderThatTheyName(t *testing.T) {
	var log []string
	var a, b *coro.Greenlet
	a = coro.New(func(any) (any, error) {
		log = append(log, "12")
		must(b.Switch(nil))
		log = append(log, "34")
		return nil, nil
	})
	b = coro.New(func(any) (any, error) {
		log = append(log, "56")
		must(a.Switch(nil))
		log = append(log, "78")
		return nil, nil
	})
	must(a.Switch(nil))
	must(b.Switch(nil))
	if want := []string{"12", "56", "34", "78"}; !slices.Equal(log, want) {
		t.Errorf("got %v, want %v", log, want)
	}
	if !a.Dead() || !b.Dead() {
		t.Error("a greenlet whose function has returned is not dead")
	}
}

func TestCurrentIsTheGreenletThatRuns(t *testing.T) {
	if g := coro.Current(); g != nil {
		t.Errorf("outside of all greenlets Current is %v", g)
	}
	var a, b *coro.Greenlet
	a = coro.New(func(any) (any, error) {
		b = coro.New(func(any) (any, error) { return coro.Current() == b, nil })
		return must(b.Switch(nil)) == true && coro.Current() == a, nil
	})
	if must(a.Switch(nil)) != true || coro.Current() != nil {
		t.Error("Current is not the greenlet that runs")
	}
}

func TestValuesTravelBothWays(t *testing.T) {
	var up, down *coro.Greenlet
	up = coro.New(func(v any) (any, error) {
		down = coro.New(func(v any) (any, error) {
			got := []any{v}
			for range 3 {
				got = append(got, must(up.Switch(len(got))))
			}
			return got, nil
		})
		x := must(down.Switch("first"))
		for !down.Dead() {
			x = must(down.Switch(fmt.Sprint(x)))
		}
		return x, nil
	})
	if got := fmt.Sprint(must(up.Switch(nil))); got != "[first 1 2 3]" {
		t.Errorf("got %s", got)
	}
}

func TestErrorsGoToTheParent(t *testing.T) {
	boom := errors.New("boom")
	g := coro.New(func(any) (any, error) { return nil, boom })
	if _, err := g.Switch(nil); !errors.Is(err, boom) {
		t.Errorf("an error: got %v", err)
	}
	p := coro.New(func(any) (any, error) { panic(boom) })
	var pe *tristrand.PanicError
	if _, err := p.Switch(nil); !errors.As(err, &pe) || !errors.Is(err, boom) || len(pe.Stack) == 0 {
		t.Errorf("a panic: got %v", err)
	}
	x := coro.New(func(any) (any, error) { runtime.Goexit(); return nil, nil })
	if _, err := x.Switch(nil); !errors.Is(err, tristrand.ErrGoexit) {
		t.Errorf("Goexit: got %v", err)
	}
	if _, err := x.Switch(nil); !errors.Is(err, coro.ErrDead) {
		t.Errorf("a switch to the dead: got %v", err)
	}
	late := coro.New(func(any) (any, error) { t.Error("it ran"); return nil, nil })
	if _, err := late.Throw(boom); !errors.Is(err, boom) || !late.Dead() {
		t.Errorf("Throw into one that has not started: got %v", err)
	}
	kill := coro.New(func(any) (any, error) { return nil, nil })
	if v, err := kill.Throw(nil); v != any(coro.ErrKilled) || err != nil {
		t.Errorf("a kill is no failure: got %v, %v", v, err)
	}
}

func TestThrowRaisesInsideAndCanBeCaught(t *testing.T) {
	boom := errors.New("boom")
	var back *coro.Greenlet
	outer := coro.New(func(any) (any, error) {
		inner := coro.New(func(any) (any, error) {
			_, err := back.Switch("ready")
			return fmt.Sprint("caught ", err), nil
		})
		must(inner.Switch(nil))
		return inner.Throw(boom)
	})
	back = outer
	if v, err := outer.Switch(nil); v != "caught boom" || err != nil {
		t.Errorf("got %v, %v", v, err)
	}
}

func TestSwitchFromElsewhereIsAnError(t *testing.T) {
	var out, g *coro.Greenlet
	out = coro.New(func(any) (any, error) {
		g = coro.New(func(any) (any, error) { return out.Switch("in") })
		must(g.Switch(nil))
		errs := make(chan error)
		go func() {
			_, err := g.Switch(nil)
			errs <- err
		}()
		if err := <-errs; !errors.Is(err, coro.ErrElsewhere) {
			t.Errorf("from another goroutine: got %v", err)
		}
		go func() {
			_, err := out.Switch(nil)
			errs <- err
		}()
		if err := <-errs; !errors.Is(err, coro.ErrElsewhere) {
			t.Errorf("to the one that runs elsewhere: got %v", err)
		}
		return nil, g.Close()
	})
	must(out.Switch(nil))
}

func TestALockedThreadIsAnErrorAndNotTheEnd(t *testing.T) {
	g := coro.New(func(any) (any, error) {
		runtime.LockOSThread()
		h := coro.New(func(any) (any, error) { return nil, nil })
		_, err := h.Switch(nil)
		if !errors.Is(err, coro.ErrThreadLocked) {
			t.Errorf("a switch while locked: got %v", err)
		}
		runtime.UnlockOSThread()
		return h.Switch(nil)
	})
	must(g.Switch(nil))
	left := coro.New(func(any) (any, error) { runtime.LockOSThread(); return nil, nil })
	if _, err := left.Switch(nil); !errors.Is(err, coro.ErrThreadLocked) {
		t.Errorf("a function that returns locked: got %v", err)
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		_, err := coro.New(func(any) (any, error) { return nil, nil }).Switch(nil)
		runtime.UnlockOSThread()
		done <- err
	}()
	if err := <-done; !errors.Is(err, coro.ErrThreadLocked) {
		t.Errorf("a locked goroutine: got %v", err)
	}
}

func TestGreenletsEndsAndNamesWhatIsLeft(t *testing.T) {
	before := runtime.NumGoroutine()
	cleaned := 0
	err := coro.Greenlets(func() error {
		for i := range 10 {
			var g *coro.Greenlet
			from := coro.New(func(any) (any, error) { return g.Switch(nil) })
			g = coro.New(func(any) (any, error) {
				defer func() { cleaned++ }()
				for { // minds no error
					_, _ = from.Switch(nil)
				}
			})
			g.SetName(fmt.Sprint("worker ", i))
			must(from.Switch(nil))
		}
		return nil
	})
	var left *coro.LeftError
	if !errors.As(err, &left) || len(left.Left) != 10 || !strings.Contains(err.Error(), `"worker 7"`) {
		t.Errorf("got %v", err)
	}
	if cleaned != 10 {
		t.Errorf("%d of 10 ran their deferred functions", cleaned)
	}
	poll(t, "the end of the stacks", func() bool { return runtime.NumGoroutine() <= before })
}

func TestParents(t *testing.T) {
	a := coro.New(func(any) (any, error) { return nil, nil })
	b := coro.New(func(any) (any, error) { return nil, nil })
	if err := a.SetParent(a); err == nil {
		t.Error("a greenlet is its own parent")
	}
	if err := b.SetParent(a); err != nil {
		t.Error(err)
	}
	if err := a.SetParent(b); err == nil {
		t.Error("a cycle of parents")
	}
	if b.Parent() != a || a.Parent() != nil {
		t.Error("Parent")
	}
	// What b ends with starts a, its parent, which has not run.
	var got any
	c := coro.New(func(v any) (any, error) { got = v; return "up", nil })
	d := coro.New(func(any) (any, error) { return 7, nil })
	if err := d.SetParent(c); err != nil {
		t.Fatal(err)
	}
	if v := must(d.Switch(nil)); v != "up" || got != 7 {
		t.Errorf("got %v and %v", v, got)
	}
}

func TestTrace(t *testing.T) {
	var log []string
	name := func(g *coro.Greenlet) string {
		if g == nil {
			return "main"
		}
		return g.String()
	}
	boom := errors.New("boom")
	old := coro.Trace(func(event string, from, to *coro.Greenlet) {
		log = append(log, fmt.Sprint(event, " ", name(from), " to ", name(to)))
	})
	g := coro.New(func(any) (any, error) { return nil, nil })
	g.SetName("g")
	must(g.Switch(nil))
	h := coro.New(func(any) (any, error) { return nil, boom })
	h.SetName("h")
	if _, err := h.Switch(nil); err == nil {
		t.Error("no error")
	}
	coro.Trace(old)
	must(coro.New(func(any) (any, error) { return nil, nil }).Switch(nil))
	want := []string{`switch main to greenlet "g"`, `switch greenlet "g" to main`, `switch main to greenlet "h"`, `throw greenlet "h" to main`}
	if !slices.Equal(log, want) {
		t.Errorf("got %q, want %q", log, want)
	}
}

func TestTenThousandNestedResumes(t *testing.T) {
	const n = 10_000
	var nest func(depth int) (any, error)
	nest = func(depth int) (any, error) {
		if depth == n {
			return depth, nil
		}
		return coro.New(func(any) (any, error) { return nest(depth + 1) }).Switch(nil)
	}
	if v := must(nest(0)); v != n {
		t.Errorf("got %v", v)
	}
}

func TestGreenletsOfManyGoroutinesAreApart(t *testing.T) {
	errs := make(chan error)
	for i := range 50 {
		go func() {
			var a, b *coro.Greenlet
			a = coro.New(func(v any) (any, error) {
				for range 100 {
					if _, err := b.Switch(i); err != nil {
						return nil, err
					}
				}
				return i, nil
			})
			b = coro.New(func(v any) (any, error) {
				for {
					x, err := a.Switch(i)
					if err != nil || x != i {
						return nil, fmt.Errorf("got %v, %w", x, err)
					}
				}
			})
			v, err := a.Switch(i)
			if err == nil && v != i {
				err = fmt.Errorf("got %v", v)
			}
			errs <- errors.Join(err, b.Close())
		}()
	}
	for range 50 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}
