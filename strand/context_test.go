package strand_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tristrand/tristrand/strand"
)

// child returns a Context under parent that names nobody.
func child(parent context.Context) *strand.Context {
	c := new(strand.Context)
	c.Init(parent)
	c.Bind(strand.Named(parent), time.Time{})
	return c
}

// errOver is what a Context is ended with: a cancellation of our own.
var errOver = &overError{}

type overError struct{}

func (*overError) Error() string        { return "over" }
func (*overError) Is(target error) bool { return target == context.Canceled }

func TestContextEndsWithTheErrorItWasGiven(t *testing.T) {
	for _, watched := range []bool{false, true} {
		c := child(t.Context())
		if watched {
			_ = c.Done()
		}
		if c.Err() != nil {
			t.Errorf("a new context has the error %v", c.Err())
		}
		if !c.End(errOver) || c.End(context.DeadlineExceeded) {
			t.Error("it was not ended once")
		}
		if !errors.Is(c.Err(), errOver) || !errors.Is(context.Cause(c), errOver) || !errors.Is(strand.Err(c), context.Canceled) {
			t.Errorf("Err %v, Cause %v, strand.Err %v", c.Err(), context.Cause(c), strand.Err(c))
		}
		select {
		case <-c.Done():
		default:
			t.Error("Done is not closed")
		}
		if first, second := c.Done(), c.Done(); first != second {
			t.Error("Done is not the same every time")
		}
	}
}

func TestContextEndsWithItsParent(t *testing.T) {
	parents := map[string]func() (context.Context, func()){
		"of package context": func() (context.Context, func()) {
			ctx, cancel := context.WithCancelCause(context.Background())
			return ctx, func() { cancel(errOver) }
		},
		"of its own kind": func() (context.Context, func()) {
			c := child(context.Background())
			return c, func() { c.End(errOver) }
		},
		"a grandparent": func() (context.Context, func()) {
			c := child(context.Background())
			return child(context.WithValue(c, 1, 2)), func() { c.End(errOver) } //nolint:staticcheck // any key will do
		},
	}
	for name, mk := range parents {
		t.Run(name, func(t *testing.T) {
			for _, watched := range []bool{false, true} {
				parent, end := mk()
				c := child(parent)
				if watched {
					_ = c.Done()
				}
				end()
				<-c.Done()
				if !errors.Is(c.Err(), context.Canceled) || !errors.Is(strand.Err(c), errOver) {
					t.Errorf("watched=%v: Err %v, strand.Err %v", watched, c.Err(), strand.Err(c))
				}
			}
		})
	}
}

func TestContextEndsItsChildren(t *testing.T) {
	c := child(t.Context())
	derived := map[string]context.Context{}
	std, cancel := context.WithCancel(c)
	defer cancel()
	timed, cancel2 := context.WithTimeout(c, long)
	defer cancel2()
	derived["WithCancel"], derived["WithTimeout"] = std, timed
	derived["WithValue"] = context.WithValue(c, 1, 2) //nolint:staticcheck // any key will do
	derived["its own kind"] = child(c)
	c.End(errOver)
	for name, d := range derived {
		<-d.Done()
		if !errors.Is(d.Err(), context.Canceled) || !errors.Is(strand.Err(d), errOver) {
			t.Errorf("%s: Err %v, Cause %v", name, d.Err(), context.Cause(d))
		}
	}
	if free := context.WithoutCancel(c); free.Err() != nil || free.Done() != nil {
		t.Errorf("WithoutCancel: %v", free.Err())
	}
}

func TestContextAfterFunc(t *testing.T) {
	c := child(t.Context())
	ran := make(chan string, 3)
	me := strand.Current(adopt(t))
	context.AfterFunc(c, func() {
		if me.Mine() {
			t.Error("it ran on the goroutine that ended the context")
		}
		ran <- "first"
	})
	stop := context.AfterFunc(c, func() { ran <- "stopped" })
	if !stop() || stop() {
		t.Error("it was not stopped once")
	}
	c.End(errOver)
	if got := <-ran; got != "first" {
		t.Errorf("%s ran", got)
	}
	stop = context.AfterFunc(c, func() { ran <- "late" })
	if got := <-ran; got != "late" || stop() {
		t.Errorf("%s ran, after the end", got)
	}
}

func TestContextDeadline(t *testing.T) {
	soon, late := time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
	parent, cancel := context.WithDeadline(t.Context(), soon)
	defer cancel()
	for _, tt := range []struct {
		parent context.Context
		own    time.Time
		want   time.Time
	}{
		{t.Context(), time.Time{}, time.Time{}},
		{t.Context(), soon, soon},
		{parent, time.Time{}, soon},
		{parent, late, soon},
		{parent, soon.Add(-time.Minute), soon.Add(-time.Minute)},
	} {
		c := new(strand.Context)
		c.Init(tt.parent)
		c.Bind(strand.Named(tt.parent), tt.own)
		if d, ok := c.Deadline(); !d.Equal(tt.want) || ok == tt.want.IsZero() {
			t.Errorf("own %v: %v %v, want %v", tt.own, d, ok, tt.want)
		}
	}
}

// A parent may end while its child is watched for the first time.
func TestContextEndsWhileItIsWatched(t *testing.T) {
	for range many(20_000) {
		parent := child(context.Background())
		c := child(parent)
		var rang atomic.Bool
		var wg sync.WaitGroup
		wg.Go(func() { parent.End(errOver) })
		wg.Go(func() { <-c.Done() })
		wg.Go(func() { context.AfterFunc(c, func() { rang.Store(true) }) })
		wg.Wait()
		if !errors.Is(c.Err(), context.Canceled) {
			t.Fatalf("Err: %v", c.Err())
		}
		for !rang.Load() {
			runtime.Gosched()
		}
	}
}

// A context that was ended must not be kept by what watched over it.
func TestContextLeaksNothing(t *testing.T) {
	parent, cancel := context.WithCancel(t.Context())
	defer cancel()
	before := runtime.NumGoroutine()
	var collected atomic.Int32
	const n = 100
	for range n {
		c := child(parent)
		_ = c.Done()
		context.AfterFunc(c, func() {})()
		d, cancel := context.WithCancel(c)
		cancel()
		c.End(errOver)
		runtime.AddCleanup(c, func(int) { collected.Add(1) }, 0)
		_ = d
	}
	until(t, "they are collected", func() bool { runtime.GC(); return collected.Load() >= n-1 })
	until(t, "their goroutines are gone", func() bool { return runtime.NumGoroutine() <= before })
}

// TestContextIsAContext compares a tree of Contexts with a model: who has ended,
// with what, and who was told.
func TestContextIsAContext(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type node struct {
			c      *strand.Context
			parent int   // -1 is Background
			err    error // own
			rang   chan struct{}
		}
		var nodes []*node
		var want func(i int) error
		want = func(i int) error {
			switch n := nodes[i]; {
			case n.err != nil:
				return n.err
			case n.parent >= 0:
				return want(n.parent)
			default:
				return nil
			}
		}
		pick := func(t *rapid.T) int {
			if len(nodes) == 0 {
				t.Skip("no node yet")
			}
			return rapid.IntRange(0, len(nodes)-1).Draw(t, "node")
		}
		t.Repeat(map[string]func(*rapid.T){
			"new": func(t *rapid.T) {
				parent, ctx := rapid.IntRange(-1, len(nodes)-1).Draw(t, "parent"), context.Background()
				if parent >= 0 {
					ctx = nodes[parent].c
				}
				nodes = append(nodes, &node{c: child(ctx), parent: parent})
			},
			"watch": func(t *rapid.T) { _ = nodes[pick(t)].c.Done() },
			"afterfunc": func(t *rapid.T) {
				n := nodes[pick(t)]
				if n.rang == nil {
					n.rang = make(chan struct{})
					context.AfterFunc(n.c, func() { close(n.rang) })
				}
			},
			"end": func(t *rapid.T) {
				i := pick(t)
				if want(i) != nil {
					t.Skip("it has ended")
				}
				if !nodes[i].c.End(errOver) {
					t.Errorf("End of node %d did nothing", i)
				}
				nodes[i].err = errOver
			},
			"": func(t *rapid.T) {
				for i, n := range nodes {
					if got := n.c.Err(); !errors.Is(got, want(i)) {
						t.Errorf("node %d: Err %v, want %v", i, got, want(i))
					}
					if want(i) != nil {
						<-n.c.Done()
						if n.rang != nil {
							<-n.rang
						}
					}
				}
			},
		})
	})
}
