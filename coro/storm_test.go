package coro_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/coro"
	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/thread"
)

// A storm has many coroutines, and threads beside them, share a few things while
// others kill them at whatever they are at. Whatever happens a lock that was let go
// is free, what was put is taken once or left, and all end.
type storm struct {
	lock      *local.Lock
	places    *local.BoundedSemaphore
	queue     *local.Queue[int]
	event     *local.Event
	put, took map[int]bool // touched with lock held
	next      int
}

func newStorm() *storm {
	return &storm{
		lock: local.NewLock("storm"), places: local.NewBoundedSemaphore(3), queue: local.NewQueue[int](2),
		event: new(local.Event), put: map[int]bool{}, took: map[int]bool{},
	}
}

// note does f with the lock held, whatever has happened to ctx.
func (s *storm) note(ctx context.Context, f func()) error {
	return tristrand.With(context.WithoutCancel(ctx), s.lock, func(context.Context) error {
		f()
		return nil
	})
}

// step does one thing that waits, and checks what it can.
func (s *storm) step(ctx context.Context, which int) error {
	switch which {
	case 0:
		return coro.Sleep(ctx, 0)
	case 1:
		return coro.Sleep(ctx, 50*time.Microsecond)
	case 2:
		return tristrand.With(ctx, s.lock, func(ctx context.Context) error { return coro.Sleep(ctx, 0) })
	case 3:
		if err := s.places.Acquire(ctx); err != nil {
			return err
		}
		err := coro.Sleep(ctx, 0)
		return errors.Join(err, s.places.Release(ctx, 1))
	case 4:
		var v int
		if err := s.note(ctx, func() { s.next++; v = s.next }); err != nil {
			return err
		}
		if err := s.queue.Put(ctx, v); err != nil {
			return err
		}
		return s.note(ctx, func() { s.put[v] = true })
	case 5:
		_, err := coro.Timeout(ctx, 100*time.Microsecond, func(ctx context.Context) error {
			v, err := s.queue.Get(ctx)
			if err == nil {
				err = s.note(ctx, func() {
					if s.took[v] {
						err = fmt.Errorf("%d was taken twice", v)
					}
					s.took[v] = true
				})
			}
			return err
		})
		if errors.Is(err, context.DeadlineExceeded) {
			return nil
		}
		return err
	case 6:
		return s.event.Set(ctx)
	default:
		_, err := coro.Await(ctx, func(context.Context) (int, error) { return 0, nil })
		return err
	}
}

const stormSteps = 8

func (s *storm) run(ctx context.Context, seed uint64) error {
	rnd := rand.New(rand.NewPCG(seed, 1))
	for range 60 {
		if err := s.step(ctx, rnd.IntN(stormSteps)); err != nil {
			return err
		}
	}
	return nil
}

func TestAStormOfKills(t *testing.T) {
	s, ctx := newStorm(), t.Context()
	var bad []error
	check := func(err error) {
		if err != nil && !errors.Is(err, coro.ErrKilled) && !errors.Is(err, context.Canceled) {
			bad = append(bad, err)
		}
	}
	guest := thread.Start(ctx, "guest", func(ctx context.Context) error {
		for i := range uint64(200) {
			if err := s.step(ctx, []int{2, 3, 6}[i%3]); err != nil {
				return err
			}
		}
		return nil
	})
	run(t, func(ctx context.Context) error {
		drain := coro.Spawn(ctx, func(ctx context.Context) error { // so that no Put waits for ever
			for {
				if err := s.step(ctx, 5); err != nil {
					return err
				}
			}
		})
		var all []*coro.Coroutine
		for i := range uint64(60) {
			all = append(all, coro.Spawn(ctx, func(ctx context.Context) error { return s.run(ctx, i) }))
		}
		rnd := rand.New(rand.NewPCG(7, 7))
		for range 40 {
			if err := coro.Sleep(ctx, time.Duration(rnd.IntN(200))*time.Microsecond); err != nil {
				return err
			}
			all[rnd.IntN(len(all))].Kill(nil)
		}
		ended, err := coro.JoinAll(ctx, all)
		if len(ended) != len(all) {
			t.Errorf("%d of %d have ended", len(ended), len(all))
		}
		for _, c := range all {
			check(c.Err())
		}
		drain.Kill(nil)
		check(drain.Join(ctx))
		return err
	})
	check(guest.Join(ctx))
	if len(bad) > 0 {
		t.Errorf("errors other than the kills': %v", errors.Join(bad...))
	}
	left, err := s.queue.State(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for range left.Len {
		if v, err := s.queue.TryGet(ctx); err != nil || s.took[v] {
			t.Errorf("left in the queue: %d, taken before: %v, %v", v, s.took[v], err)
		} else {
			s.took[v] = true
		}
	}
	for v := range s.put {
		if !s.took[v] {
			t.Errorf("%d was put and is lost", v)
		}
	}
	if err := s.lock.TryAcquire(ctx); err != nil {
		t.Errorf("the lock: %v", err)
	} else if err := s.lock.Release(ctx); err != nil {
		t.Error(err)
	}
	if st, err := s.places.State(ctx); err != nil || st.Free != 3 {
		t.Errorf("the places: %+v, %v", st, err)
	}
}

// A test that ends in a coroutine, as by t.FailNow, ends that one alone, whoever has
// resumed it.
func TestFailNowInACoroutine(t *testing.T) {
	run(t, func(ctx context.Context) error {
		failed := new(testing.T)
		after := false
		c := coro.Spawn(ctx, func(ctx context.Context) error {
			defer func() { after = true }()
			if err := coro.Sleep(ctx, 0); err != nil {
				return err
			}
			failed.FailNow()
			return nil
		})
		beside := coro.Spawn(ctx, func(ctx context.Context) error { return coro.Sleep(ctx, time.Millisecond) })
		if err := c.Join(ctx); !errors.Is(err, tristrand.ErrGoexit) || !failed.Failed() || !after {
			t.Errorf("got %v, failed: %v, deferred: %v", err, failed.Failed(), after)
		}
		return beside.Join(ctx)
	})
	err := coro.Run(t.Context(), func(context.Context) error { new(testing.T).FailNow(); return nil })
	if !errors.Is(err, tristrand.ErrGoexit) {
		t.Errorf("in the first one: %v", err)
	}
}
