//go:build unix

package cluster_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/cluster"
	"github.com/tristrand/tristrand/strand"
)

func TestValueUpdatesAreNotLost(t *testing.T) {
	t.Parallel()
	ctx := adopt(t)
	c := open(t, cluster.Options{Durability: cluster.Memory})
	v := cluster.NewValue[int](c, "n")
	if n, err := v.Load(ctx); n != 0 || err != nil {
		t.Fatalf("a new value is %d, %v", n, err)
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 25 {
				if _, err := v.Update(context.Background(), func(n int) (int, error) { return n + 1, nil }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n, err := v.Load(ctx); n != 100 || err != nil {
		t.Errorf("after 100 updates it is %d, %v", n, err)
	}
	failed := errors.New("no")
	if _, err := v.Update(ctx, func(int) (int, error) { return 7, failed }); !errors.Is(err, failed) {
		t.Errorf("Update whose function fails: %v", err)
	}
	if n, _ := v.Load(ctx); n != 100 {
		t.Errorf("it is %d after an update that failed", n)
	}
}

func TestWatchSeesTheNewest(t *testing.T) {
	t.Parallel()
	ctx := adopt(t)
	c := open(t, cluster.Options{Durability: cluster.Memory})
	d := cluster.NewDict[string](c, "words/α")
	if err := d.Set(ctx, "a key with = and .", "1"); err != nil {
		t.Fatal(err)
	}
	seen := make(chan cluster.Entry[string], 100)
	inner, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	strand.Go(inner, strand.Options{Kind: strand.Thread, Name: "watch"}, func(ctx context.Context) {
		defer close(done)
		for e, err := range d.Watch(ctx) {
			if err != nil {
				if !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				return
			}
			seen <- e
		}
	})
	if e := <-seen; e.Key != "a key with = and ." || e.Value != "1" || e.Gone {
		t.Errorf("the first is %+v", e)
	}
	if err := d.Set(ctx, "b", "2"); err != nil {
		t.Fatal(err)
	}
	if e := <-seen; e.Key != "b" || e.Value != "2" {
		t.Errorf("then %+v", e)
	}
	if err := d.Delete(ctx, "b"); err != nil {
		t.Fatal(err)
	}
	if e := <-seen; e.Key != "b" || !e.Gone {
		t.Errorf("then %+v", e)
	}
	if _, err := d.Get(ctx, "b"); !errors.Is(err, cluster.ErrNoKey) {
		t.Errorf("Get of what was deleted: %v", err)
	}
	stop()
	<-done
	n := 0
	for e, err := range d.All(ctx) {
		if n++; err != nil || e.Value != "1" {
			t.Errorf("All yields %+v, %v", e, err)
		}
	}
	if n != 1 {
		t.Errorf("All yields %d", n)
	}
}

func TestCounterAdds(t *testing.T) {
	t.Parallel()
	ctx := adopt(t)
	c := open(t, cluster.Options{Durability: cluster.Memory})
	k := cluster.NewCounter(c, "n")
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 25 {
				if _, err := k.Add(context.Background(), 3); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n, err := k.Add(ctx, -100); n != 200 || err != nil {
		t.Errorf("the sum is %d, %v", n, err)
	}
	if n, err := k.Load(ctx); n != 200 || err != nil {
		t.Errorf("Load is %d, %v", n, err)
	}
}

// A write under a lock is refused by the servers when the lock is another's by then.
func TestGuardedWritesNeedTheLock(t *testing.T) {
	t.Parallel()
	ctx := adopt(t)
	c := open(t, cluster.Options{Durability: cluster.Memory})
	other := open(t, cluster.Options{Durability: cluster.Memory})
	_ = other
	l := cluster.NewLock(c, "l")
	v := cluster.NewValue[string](c, "v")
	if err := v.StoreGuarded(ctx, l, "early"); !errors.Is(err, tristrand.ErrNotHeld) {
		t.Errorf("a guarded write without the lock: %v", err)
	}
	var last uint64
	for range 3 {
		if err := l.Acquire(ctx); err != nil {
			t.Fatal(err)
		}
		token, err := l.Token(ctx)
		if err != nil || token <= last {
			t.Errorf("the token is %d after %d, %v", token, last, err)
		}
		last = token
		if err := v.StoreGuarded(ctx, l, "held"); err != nil {
			t.Errorf("a guarded write with the lock: %v", err)
		}
		if err := l.Release(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.StoreGuarded(ctx, l, "late"); !errors.Is(err, tristrand.ErrNotHeld) {
		t.Errorf("a guarded write after the release: %v", err)
	}
	if got, _ := v.Load(ctx); got != "held" {
		t.Errorf("the value is %q", got)
	}
}
