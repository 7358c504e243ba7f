package local_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/strand"
)

// thread starts a thread and returns where its error will be.
func thread(ctx context.Context, body func(ctx context.Context) error) <-chan error {
	done := make(chan error, 1)
	strand.Go(ctx, strand.Options{Kind: strand.Thread}, func(ctx context.Context) { done <- body(ctx) })
	return done
}

// A release that meets the first waiter giving up must wake the second one:
// nobody else comes who could.
func TestAReleaseThatMeetsACancellationIsNotLost(t *testing.T) {
	ctx, end := strand.Adopt(t.Context(), "main")
	defer end()
	rounds := 1000
	if testing.Short() {
		rounds = 200
	}
	for name, mk := range lockers() {
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			for range rounds {
				l := mk()
				waiting := func(n int) {
					for st, _ := l.State(ctx); st.Waiting < n; st, _ = l.State(ctx) {
					}
				}
				if err := l.Acquire(ctx); err != nil {
					t.Fatal(err)
				}
				bounded, cancel := context.WithCancel(ctx)
				first := thread(bounded, func(ctx context.Context) error {
					if err := l.Acquire(ctx); err != nil {
						return nil //nolint:nilerr // it was cancelled, which is as good
					}
					return l.Release(ctx)
				})
				second := thread(ctx, func(ctx context.Context) error { return errors.Join(l.Acquire(ctx), l.Release(ctx)) })
				waiting(2)
				cancel()
				for range rng.IntN(300) { // a moment, for the first one to be giving up
					_ = bounded.Err()
				}
				if err := l.Release(ctx); err != nil {
					t.Fatal(err)
				}
				for _, done := range []<-chan error{first, second} {
					select {
					case err := <-done:
						if err != nil {
							t.Fatal(err)
						}
					case <-time.After(time.Minute):
						t.Fatal("a waiter of a free lock was not woken")
					}
				}
			}
		})
	}
}

// less is the only code of its user's that a queue runs. If it panics, the call
// panics, nothing has changed, and those who wait are served by the next call.
func TestAPriorityQueueSurvivesItsLess(t *testing.T) {
	ctx, end := strand.Adopt(t.Context(), "main")
	defer end()
	bad := false
	q := local.NewPriority(2, func(a, b int) bool {
		if bad {
			panic("less")
		}
		return a < b
	})
	panics := func(what string, f func() error) {
		t.Helper()
		before, err := q.State(ctx)
		bad = true
		func() {
			defer func() {
				if v := recover(); v != any("less") {
					t.Errorf("%s: recovered %v", what, v)
				}
			}()
			t.Errorf("%s: %v, and no panic", what, f())
		}()
		bad = false
		after, err2 := q.State(ctx)
		if err := errors.Join(err, err2); err != nil || before != after {
			t.Errorf("%s: the state was %+v and is %+v: %v", what, before, after, err)
		}
	}
	if err := q.Put(ctx, 2); err != nil {
		t.Fatal(err)
	}
	panics("Put", func() error { return q.Put(ctx, 1) })
	panics("TryPut", func() error { return q.TryPut(ctx, 1) })
	if err := q.Put(ctx, 3); err != nil {
		t.Fatal(err)
	}
	panics("a full TryPut calls no less", func() error {
		if err := q.TryPut(ctx, 1); !errors.Is(err, tristrand.ErrFull) {
			return fmt.Errorf("not full: %w", err)
		}
		panic("less")
	})
	done := thread(ctx, func(ctx context.Context) error { return q.Put(ctx, 1) })
	for st, _ := q.State(ctx); st.Putting == 0; st, _ = q.State(ctx) {
		time.Sleep(time.Millisecond)
	}
	var got []int
	for range 3 {
		v, err := q.Get(ctx)
		if err != nil {
			t.Error(err)
		}
		if got = append(got, v); len(got) == 1 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	if fmt.Sprint(got) != "[2 1 3]" {
		t.Errorf("got %v", got)
	}
}
