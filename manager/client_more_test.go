package manager_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/manager"
)

func checkProxies(ctx context.Context, t *testing.T, c *manager.Client, isGo bool) {
	inner := must[*manager.List[int]](t)(manager.NewList(ctx, c, 1))
	d := must[*manager.Dict[string, any]](t)(manager.NewDict[string, any](ctx, c))
	ok(t, d.Set(ctx, "inner", inner))
	if !isGo {
		return // CPython's server connects to itself for the key of its process
	}
	v, _, err := d.Get(ctx, "inner")
	ok(t, err)
	p, isProxy := v.(*manager.Proxy)
	if !isProxy {
		t.Fatalf("the list came back as %T", v)
	}
	ok(t, manager.ListOf[int](p).Append(ctx, 2))
	equal(t, must[[]int](t)(inner.Items(ctx)), []int{1, 2})
	ok(t, inner.Close(ctx))
	ok(t, p.Close(ctx))
	v, _, err = d.Get(ctx, "inner") // it lives in the dict
	ok(t, err)
	equal(t, must[int](t)(manager.ListOf[int](v.(*manager.Proxy)).Len(ctx)), 2)
	q := must[*manager.Queue[*manager.Proxy]](t)(manager.NewQueue[*manager.Proxy](ctx, c, 0))
	ok(t, q.Put(ctx, d.Proxy()))
	got := must[*manager.Proxy](t)(q.Get(ctx))
	equal(t, got.ID(), d.Proxy().ID())
}

func checkErrors(ctx context.Context, t *testing.T, c *manager.Client, _ bool) {
	if _, err := c.Create(ctx, "nosuch"); err == nil || !strings.Contains(err.Error(), "nosuch") {
		t.Errorf("an unknown type: %v", err)
	}
	l := must[*manager.List[int]](t)(manager.NewList[int](ctx, c))
	for _, method := range []string{"nosuch", "__class__", "__init__"} {
		if _, err := l.Proxy().Call(ctx, method); err == nil {
			t.Errorf("method %s was called", method)
		}
	}
	_, err := l.Proxy().Call(ctx, "append", 1, 2)
	if e, isPy := errors.AsType[*manager.PythonError](err); !isPy || e.Class != "builtins.TypeError" {
		t.Errorf("an argument too many: %v", err)
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	_, err = l.Len(over)
	is(t, err, context.Canceled)
}

func checkReferences(ctx context.Context, t *testing.T, c *manager.Client, isGo bool) {
	l := must[*manager.List[int]](t)(manager.NewList[int](ctx, c))
	id := l.Proxy().ID()
	listed := func() bool {
		info := must[manager.Info](t)(c.Info(ctx))
		return info.Objects > 0 && strings.Contains(info.Text, id+":")
	}
	equal(t, listed(), true)
	ok(t, l.Close(ctx))
	equal(t, listed(), false)
	if _, err := l.Len(ctx); err == nil {
		t.Error("an object without references was used")
	}
}

// TestReferencesOfDeadClient: what a client that is gone referred to and held is
// released.
func TestReferencesOfDeadClient(t *testing.T) {
	at := serve(t, &manager.Server{AuthKey: testKey}, "127.0.0.1:0").String()
	stays := dial(t, at)
	ctx := t.Context()
	dies, err := manager.Dial(ctx, at, manager.DialOptions{AuthKey: testKey})
	ok(t, err)
	lock := must[*manager.Lock](t)(manager.NewLock(ctx, stays))
	q := must[*manager.Queue[int]](t)(manager.NewQueue[int](ctx, stays, 0))
	sem := must[*manager.Semaphore](t)(manager.NewSemaphore(ctx, stays, 2))
	d := must[*manager.Dict[string, *manager.Proxy]](t)(manager.NewDict[string, *manager.Proxy](ctx, stays))
	ok(t, d.Update(ctx, map[string]*manager.Proxy{"lock": lock.Proxy(), "q": q.Proxy(), "sem": sem.Proxy()}))

	// The other client knows them by their proxies.
	shared := must[map[string]any](t)(sharedBy(ctx, dies, d))
	ok(t, manager.LockOf(shared["lock"].(*manager.Proxy)).Acquire(ctx))
	ok(t, manager.SemaphoreOf(shared["sem"].(*manager.Proxy)).Acquire(ctx))
	go func() { _, _ = manager.QueueOf[int](shared["q"].(*manager.Proxy)).Get(ctx) }()
	until(t, "the other waits for an item", func() bool { return must[tristrand.QueueState](t)(q.State(ctx)).Getting == 1 })
	before := must[manager.Info](t)(stays.Info(ctx)).Objects
	_ = must[*manager.List[int]](t)(manager.NewList[int](ctx, dies))
	ok(t, dies.Close())

	until(t, "its get is given up", func() bool { return must[tristrand.QueueState](t)(q.State(ctx)).Getting == 0 })
	ok(t, q.Put(ctx, 7))
	equal(t, must[int](t)(q.TryGet(ctx)), 7)
	until(t, "its list is gone", func() bool { return must[manager.Info](t)(stays.Info(ctx)).Objects <= before })
	is(t, lock.Acquire(ctx), tristrand.ErrOwnerDied)
	ok(t, lock.Recover(ctx))
	ok(t, lock.Release(ctx))
	until(t, "its permit is given back", func() bool { return must[tristrand.SemaphoreState](t)(sem.State(ctx)).Free == 2 })
}

// sharedBy reads a dict of proxies as another client.
func sharedBy(ctx context.Context, c *manager.Client, d *manager.Dict[string, *manager.Proxy]) (map[string]any, error) {
	p, err := c.Attach(ctx, "dict", d.Proxy().ID())
	if err != nil {
		return nil, err
	}
	return manager.DictOf[string, any](p).Copy(ctx)
}

// until waits for something that must come about.
func until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for began := time.Now(); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatalf("it has not come about that %s", what)
		}
	}
}
