package manager_test

import (
	"bufio"
	"context"
	"errors"
	"math/big"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/manager"
	"github.com/tristrand/tristrand/strand"
)

// pythonServer runs CPython's own server and returns its address.
func pythonServer(tb testing.TB, py, address string) string {
	tb.Helper()
	cmd := exec.Command(py, "testdata/python_server.py", address, "--authkey", string(testKey), "--set")
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // it was killed
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if at, ok := strings.CutPrefix(lines.Text(), "listening "); ok {
			return at
		}
	}
	tb.Fatal("python_server.py ended without listening")
	return ""
}

// TestClient runs the client's checks against a Go server and against those of
// every Python that there is.
func TestClient(t *testing.T) {
	t.Run("go", func(t *testing.T) { checkClient(t, shared(t), true) })
	for i, py := range pythons(t) {
		address := "127.0.0.1:0"
		if i == 0 {
			address = filepath.Join(t.TempDir(), "s")
		}
		t.Run(py, func(t *testing.T) { checkClient(t, dial(t, pythonServer(t, py, address)), false) })
	}
}

type clientCheck struct {
	name string
	fn   func(ctx context.Context, t *testing.T, c *manager.Client, isGo bool)
}

func checkClient(t *testing.T, c *manager.Client, isGo bool) {
	for _, ck := range []clientCheck{
		{"dict", checkDict}, {"list", checkList}, {"set", checkSet}, {"namespace", checkNamespace},
		{"value", checkValue}, {"array", checkArray}, {"data", checkData}, {"queue", checkQueue},
		{"locks", checkLocks}, {"semaphores", checkSemaphores}, {"event", checkEvent},
		{"condition", checkCondition}, {"barrier", checkBarrier}, {"proxies", checkProxies},
		{"errors", checkErrors}, {"references", checkReferences},
	} {
		t.Run(ck.name, func(t *testing.T) {
			ctx, end := strand.Adopt(t.Context(), "main")
			defer end()
			ctx, cancel := context.WithTimeout(ctx, time.Minute)
			defer cancel()
			ck.fn(ctx, t, c, isGo)
		})
	}
}

// must returns v, and ends the test if err is not nil.
func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal(t testing.TB, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v, want %#v", got, want)
	}
}

func is(t testing.TB, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("the error is %v, want one that is %v", err, target)
	}
}

func checkDict(ctx context.Context, t *testing.T, c *manager.Client, _ bool) {
	d := must[*manager.Dict[string, int]](t)(manager.NewDict[string, int](ctx, c))
	ok(t, d.Set(ctx, "a", 1))
	ok(t, d.Update(ctx, map[string]int{"b": 2, "c": 3}))
	v, there, err := d.Get(ctx, "b")
	equal(t, []any{v, there, err}, []any{2, true, nil})
	v, there, err = d.Get(ctx, "nothing")
	equal(t, []any{v, there, err}, []any{0, false, nil})
	equal(t, must[[]string](t)(d.Keys(ctx)), []string{"a", "b", "c"})
	equal(t, must[int](t)(d.SetDefault(ctx, "a", 9)), 1)
	equal(t, must[bool](t)(d.Has(ctx, "z")), false)
	equal(t, must[bool](t)(d.Delete(ctx, "b")), true)
	equal(t, must[bool](t)(d.Delete(ctx, "b")), false)
	v, there, err = d.Pop(ctx, "c")
	equal(t, []any{v, there, err}, []any{3, true, nil})
	equal(t, must[map[string]int](t)(d.Copy(ctx)), map[string]int{"a": 1})
	ok(t, d.Clear(ctx))
	equal(t, must[int](t)(d.Len(ctx)), 0)
	_, err = d.Proxy().Call(ctx, "__setitem__", []int{1}, 2)
	if err == nil || !strings.Contains(err.Error(), "unhashable") {
		t.Errorf("a list as a key: %v", err)
	}
}

func checkList(ctx context.Context, t *testing.T, c *manager.Client, _ bool) {
	l := must[*manager.List[string]](t)(manager.NewList(ctx, c, "b", "a"))
	ok(t, l.Append(ctx, "d", "c"))
	ok(t, l.Sort(ctx))
	equal(t, must[[]string](t)(l.Items(ctx)), []string{"a", "b", "c", "d"})
	equal(t, must[[]string](t)(l.Slice(ctx, 1, 3)), []string{"b", "c"})
	equal(t, must[string](t)(l.Get(ctx, -1)), "d")
	ok(t, l.Set(ctx, 0, "z"))
	ok(t, l.Insert(ctx, 1, "y"))
	equal(t, must[int](t)(l.Index(ctx, "y")), 1)
	equal(t, must[int](t)(l.Index(ctx, "nothing")), -1)
	equal(t, must[bool](t)(l.Remove(ctx, "y")), true)
	equal(t, must[bool](t)(l.Remove(ctx, "y")), false)
	equal(t, must[string](t)(l.Pop(ctx, -1)), "d")
	equal(t, must[int](t)(l.Len(ctx)), 3)
	_, err := l.Get(ctx, 99)
	if e, isPy := errors.AsType[*manager.PythonError](err); !isPy || e.Class != "builtins.IndexError" {
		t.Errorf("an index out of range: %v", err)
	}
}

func checkSet(ctx context.Context, t *testing.T, c *manager.Client, _ bool) {
	s := must[*manager.Set[int]](t)(manager.NewSet(ctx, c, 1, 2))
	ok(t, s.Add(ctx, 2))
	equal(t, must[int](t)(s.Len(ctx)), 2)
	equal(t, must[bool](t)(s.Has(ctx, 1)), true)
	equal(t, must[bool](t)(s.Remove(ctx, 1)), true)
	equal(t, must[bool](t)(s.Remove(ctx, 1)), false)
	equal(t, must[[]int](t)(s.Items(ctx)), []int{2})
}

func checkNamespace(ctx context.Context, t *testing.T, c *manager.Client, _ bool) {
	n := must[*manager.Namespace](t)(manager.NewNamespace(ctx, c, map[string]any{"x": 1, "name": "n"}))
	ok(t, n.Set(ctx, "y", []string{"a"}))
	v, there, err := n.Get(ctx, "y")
	equal(t, []any{v, there, err}, []any{[]any{"a"}, true, nil})
	_, there, err = n.Get(ctx, "nothing")
	equal(t, []any{there, err}, []any{false, nil})
	equal(t, must[bool](t)(n.Delete(ctx, "y")), true)
	equal(t, must[bool](t)(n.Delete(ctx, "y")), false)
}

func checkValue(ctx context.Context, t *testing.T, c *manager.Client, isGo bool) {
	v := must[*manager.Value[int]](t)(manager.NewValue(ctx, c, 40))
	ok(t, v.Store(ctx, 41))
	equal(t, must[int](t)(v.Load(ctx)), 41)
	n, err := v.Update(ctx, func(n int) (int, error) { return n + 1, nil })
	if !isGo {
		is(t, err, errors.ErrUnsupported)
		return
	}
	equal(t, []any{n, err, must[int](t)(v.Load(ctx))}, []any{42, nil, 42})
	const strands, times = 8, 20
	var g tristrand.Group
	for range strands {
		g.Go(ctx, func(ctx context.Context) error {
			for range times {
				if _, err := v.Update(ctx, func(n int) (int, error) { return n + 1, nil }); err != nil {
					return err
				}
			}
			return nil
		})
	}
	ok(t, g.Wait(ctx))
	equal(t, must[int](t)(v.Load(ctx)), 42+strands*times)
}

func checkArray(ctx context.Context, t *testing.T, c *manager.Client, _ bool) {
	a := must[*manager.Array[int32]](t)(manager.NewArray[int32](ctx, c, 1, -2, 3))
	ok(t, a.Set(ctx, 0, 7))
	equal(t, must[int32](t)(a.Get(ctx, -2)), int32(-2))
	equal(t, must[[]int32](t)(a.Items(ctx)), []int32{7, -2, 3})
	f := must[*manager.Array[float64]](t)(manager.NewArray(ctx, c, 0.5, 1e300))
	equal(t, must[[]float64](t)(f.Items(ctx)), []float64{0.5, 1e300})
	if _, err := a.Proxy().Call(ctx, "__setitem__", 0, 1<<40); err == nil {
		t.Error("an int32 of 2**40")
	}
}

func checkData(ctx context.Context, t *testing.T, c *manager.Client, _ bool) {
	type point struct {
		X, Y int
		Name string `pickle:"name"`
	}
	v := must[*manager.Value[any]](t)(manager.NewValue[any](ctx, c, nil))
	huge := new(big.Int).Exp(big.NewInt(-7), big.NewInt(99), nil)
	for _, row := range []struct{ in, out any }{
		{nil, nil}, {true, true}, {1, int64(1)}, {int64(-1 << 62), int64(-1 << 62)}, {huge, huge}, {uint64(1<<64 - 1), new(big.Int).SetUint64(1<<64 - 1)},
		{1.5, 1.5}, {"héllo \x00", "héllo \x00"}, {[]byte{0, 255}, []byte{0, 255}}, {[]int{1, 2}, []any{int64(1), int64(2)}},
		{[2]string{"a", "b"}, []any{"a", "b"}}, {map[string]int{"k": 1}, map[string]any{"k": int64(1)}},
		{map[int]string{1: "a"}, map[any]any{int64(1): "a"}}, {strings.Repeat("x", 100_000), strings.Repeat("x", 100_000)},
		{point{1, 2, "p"}, map[string]any{"X": int64(1), "Y": int64(2), "name": "p"}}, {complex(1, 2), complex(1, 2)},
		{make([]byte, 3<<20), make([]byte, 3<<20)},
	} {
		ok(t, v.Store(ctx, row.in))
		got, err := v.Load(ctx)
		ok(t, err)
		if !reflect.DeepEqual(got, row.out) {
			t.Errorf("%.50v came back as %.50v", row.in, got)
		}
	}
	p := must[*manager.Value[point]](t)(manager.NewValue(ctx, c, point{3, 4, "q"}))
	equal(t, must[point](t)(p.Load(ctx)), point{3, 4, "q"})
	if err := v.Store(ctx, make(chan int)); err == nil {
		t.Error("a channel was sent")
	}
}

func checkQueue(ctx context.Context, t *testing.T, c *manager.Client, _ bool) {
	q := must[*manager.Queue[int]](t)(manager.NewQueue[int](ctx, c, 2))
	_, err := q.TryGet(ctx)
	is(t, err, tristrand.ErrEmpty)
	ok(t, q.Put(ctx, 1))
	ok(t, q.TryPut(ctx, 2))
	is(t, q.TryPut(ctx, 3), tristrand.ErrFull)
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	is(t, q.Put(short, 3), context.DeadlineExceeded)
	equal(t, must[int](t)(q.Get(ctx)), 1)
	equal(t, must[int](t)(q.Get(ctx)), 2)
	short, cancel = context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	_, err = q.Get(short)
	is(t, err, context.DeadlineExceeded)
	var g tristrand.Group
	g.Go(ctx, func(ctx context.Context) error { return q.Join(ctx) })
	ok(t, q.TaskDone(ctx))
	ok(t, q.TaskDone(ctx))
	is(t, q.TaskDone(ctx), tristrand.ErrOverRelease)
	ok(t, g.Wait(ctx))
	sum := 0
	const n = 60
	g.Go(ctx, func(ctx context.Context) error {
		for i := range n {
			if err := q.Put(ctx, i); err != nil {
				return err
			}
		}
		return nil
	})
	for range n {
		sum += must[int](t)(q.Get(ctx))
	}
	ok(t, g.Wait(ctx))
	equal(t, sum, n*(n-1)/2)
}

func checkLocks(ctx context.Context, t *testing.T, c *manager.Client, isGo bool) {
	l := must[*manager.Lock](t)(manager.NewLock(ctx, c))
	r := must[*manager.RLock](t)(manager.NewRLock(ctx, c))
	for _, k := range []tristrand.Locker{l, r} {
		is(t, k.Release(ctx), tristrand.ErrNotHeld)
		ok(t, k.Acquire(ctx))
		var g tristrand.Group
		g.Go(ctx, func(ctx context.Context) error {
			is(t, k.TryAcquire(ctx), tristrand.ErrBusy)
			is(t, k.Release(ctx), tristrand.ErrNotHeld)
			short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
			defer cancel()
			is(t, k.Acquire(short), context.DeadlineExceeded)
			return nil
		})
		ok(t, g.Wait(ctx))
		g.Go(ctx, func(ctx context.Context) error { return errors.Join(k.Acquire(ctx), k.Release(ctx)) })
		ok(t, k.Release(ctx))
		ok(t, g.Wait(ctx))
	}
	ok(t, r.Acquire(ctx))
	ok(t, r.Acquire(ctx))
	ok(t, r.Release(ctx))
	ok(t, r.Release(ctx))
	_, err := l.State(ctx)
	if !isGo {
		is(t, err, errors.ErrUnsupported)
	}
	sum := 0
	var g tristrand.Group
	for range 8 {
		g.Go(ctx, func(ctx context.Context) error {
			for range 10 {
				if err := tristrand.With(ctx, l, func(context.Context) error { sum++; return nil }); err != nil {
					return err
				}
			}
			return nil
		})
	}
	ok(t, g.Wait(ctx))
	equal(t, sum, 80)
}

func checkSemaphores(ctx context.Context, t *testing.T, c *manager.Client, _ bool) {
	s := must[*manager.Semaphore](t)(manager.NewSemaphore(ctx, c, 1))
	ok(t, s.Acquire(ctx))
	is(t, s.TryAcquire(ctx), tristrand.ErrBusy)
	var g tristrand.Group
	g.Go(ctx, s.Acquire)
	ok(t, s.Release(ctx, 1))
	ok(t, s.Release(ctx, 1))
	ok(t, g.Wait(ctx))
	ok(t, s.TryAcquire(ctx))
	b := must[*manager.BoundedSemaphore](t)(manager.NewBoundedSemaphore(ctx, c, 1))
	is(t, b.Release(ctx, 1), tristrand.ErrOverRelease)
	ok(t, b.Acquire(ctx))
	ok(t, b.Release(ctx, 1))
}

func checkEvent(ctx context.Context, t *testing.T, c *manager.Client, _ bool) {
	e := must[*manager.Event](t)(manager.NewEvent(ctx, c))
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	is(t, e.Wait(short), context.DeadlineExceeded)
	var g tristrand.Group
	for range 3 {
		g.Go(ctx, e.Wait)
	}
	ok(t, e.Set(ctx))
	ok(t, g.Wait(ctx))
	equal(t, must[tristrand.EventState](t)(e.State(ctx)).Set, true)
	ok(t, e.Clear(ctx))
	equal(t, must[tristrand.EventState](t)(e.State(ctx)).Set, false)
}

func checkCondition(ctx context.Context, t *testing.T, c *manager.Client, _ bool) {
	l := must[*manager.Lock](t)(manager.NewLock(ctx, c))
	for _, lock := range []tristrand.Locker{nil, l} {
		cond := must[*manager.Condition](t)(manager.NewCondition(ctx, c, lock))
		is(t, cond.Notify(ctx, 1), tristrand.ErrNotHeld)
		ready := false // guarded by the condition's lock
		var g tristrand.Group
		g.Go(ctx, func(ctx context.Context) error {
			return tristrand.With(ctx, cond.Locker(), func(ctx context.Context) error {
				return tristrand.WaitFor(ctx, cond, func() bool { return ready })
			})
		})
		ok(t, tristrand.With(ctx, cond.Locker(), func(ctx context.Context) error {
			ready = true
			return cond.Notify(ctx, -1)
		}))
		ok(t, g.Wait(ctx))
		ok(t, tristrand.With(ctx, cond.Locker(), func(ctx context.Context) error {
			short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
			defer cancel()
			is(t, cond.Wait(short), context.DeadlineExceeded)
			return nil
		}))
	}
}

func checkBarrier(ctx context.Context, t *testing.T, c *manager.Client, _ bool) {
	b := must[*manager.Barrier](t)(manager.NewBarrier(ctx, c, 3))
	for range 2 {
		var g tristrand.Group
		turns := make([]int, 3)
		for i := range turns {
			g.Go(ctx, func(ctx context.Context) (err error) {
				turns[i], err = b.Wait(ctx)
				return err
			})
		}
		ok(t, g.Wait(ctx))
		equal(t, turns[0]+turns[1]+turns[2], 3)
	}
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	_, err := b.Wait(short)
	is(t, err, context.DeadlineExceeded)
	_, err = b.Wait(ctx)
	is(t, err, tristrand.ErrBroken)
	ok(t, b.Reset(ctx))
	equal(t, must[tristrand.BarrierState](t)(b.State(ctx)), tristrand.BarrierState{Parties: 3})
}
