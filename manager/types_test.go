package manager_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/manager"
)

// maths is what the customised manager of Python's documentation shares.
type maths struct{ calls int }

func (m *maths) Add(x, y int) int { m.calls++; return x + y }
func (m *maths) Mul(x, y int) int { m.calls++; return x * y }
func (m *maths) Calls() int       { return m.calls }
func (m *maths) Halve(x int) (int, error) {
	if x%2 != 0 {
		return 0, &manager.PythonError{Class: "ValueError", Args: []any{fmt.Sprint(x, " is odd")}}
	}
	return x / 2, nil
}
func (m *maths) Fail() error { return errors.New("it failed") }
func (m *maths) Panic()      { panic("it panicked") }
func (m *maths) UpTo(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := 0; i < n && yield(i); i++ {
		}
	}
}

// gate waits, without a ctx, until another call opens it.
type gate struct {
	open    chan struct{}
	waiting atomic.Int32
}

func (g *gate) Pass()        { g.waiting.Add(1); <-g.open }
func (g *gate) Open()        { close(g.open) }
func (g *gate) Waiting() int { return int(g.waiting.Load()) }

type counter struct{ n int }

func (c *counter) Next() int { c.n++; return c.n }

var double = tristrand.Define("manager.test.double", func(_ context.Context, n int) (int, error) { return 2 * n, nil })

func typedServer() *manager.Server {
	one := new(counter)
	return &manager.Server{
		AuthKey: testKey,
		Types: []manager.Type{
			{Name: "Maths", New: func() *maths { return new(maths) }},
			{Name: "Adder", New: func(context.Context) (*maths, error) { return new(maths), nil }, Expose: []string{"add"}},
			{Name: "Gate", New: func() *gate { return &gate{open: make(chan struct{})} }},
			{Name: "broken", New: func() (*maths, error) { panic("no such luck") }},
			{Name: "get_counter", New: func() *counter { return one }},
			{Name: "baz", New: func() iter.Seq[int] {
				return func(yield func(int) bool) {
					for i := 0; i < 10 && yield(i*i); i++ {
					}
				}
			}},
		},
		Objects: []manager.Object{{Name: "get_queue", Type: "Queue"}, {Name: "limits", Type: "dict", Args: []any{map[string]int{"most": 3}}}},
		Functions: map[string]manager.Function{
			"mytasks.join": func(_ context.Context, args []any, kwds map[string]any) (any, error) {
				return fmt.Sprint(args, kwds), nil
			},
		},
		Tasks: []string{double.Name()},
	}
}

// pythonExamples are Python's own examples for managers: a customised one, with a
// class, a part of one, a generator and an iterator; and one with a registered
// queue, used by two programs.
const pythonExamples = `
import sys
from multiprocessing.managers import BaseManager, BaseProxy, SyncManager, DictProxy

class GeneratorProxy(BaseProxy):
    _exposed_ = ["__next__"]
    def __iter__(self): return self
    def __next__(self): return self._callmethod("__next__")

class MyManager(BaseManager): pass
MyManager.register("Maths")
MyManager.register("Adder")
MyManager.register("baz", proxytype=GeneratorProxy)
MyManager.register("get_counter")
MyManager.register("Iterator", proxytype=GeneratorProxy, create_method=False)
host, port = sys.argv[1].rsplit(":", 1)
address = (host, int(port))
m = MyManager(address=address, authkey=b"secret"); m.connect()
f = m.Maths()
assert f.add(4, 3) == 7 and f.mul(7, 8) == 56 and f.calls() == 2
a = m.Adder()
assert a.add(1, 2) == 3
assert not hasattr(a, "mul")
try: a._callmethod("mul", (1, 2))
except Exception as e: assert "mul" in str(e), e
else: raise AssertionError("mul is not exposed")
assert list(m.baz()) == [i * i for i in range(10)]
try: f.halve(3)
except ValueError as e: assert e.args == ("3 is odd",), e.args
else: raise AssertionError("3 was halved")
for name, args in (("fail", ()), ("panic", ())):
    try: getattr(f, name)(*args)
    except RuntimeError as e: assert "failed" in str(e) or "panicked" in str(e), e
    else: raise AssertionError(name)
for bad in (("x", 1), (1,), (1, 2, 3)):
    try: f.add(*bad)
    except TypeError: pass
    else: raise AssertionError(bad)
c, d = m.get_counter(), m.get_counter()
assert c._id == d._id and [c.next(), d.next(), c.next()] == [1, 2, 3]

class QueueManager(BaseManager): pass
QueueManager.register("get_queue")
one = QueueManager(address=address, authkey=b"secret"); one.connect()
two = QueueManager(address=address, authkey=b"secret"); two.connect()
one.get_queue().put("hello")
assert two.get_queue().get() == "hello"

SyncManager.register("limits", proxytype=DictProxy)
s = SyncManager(address=address, authkey=b"secret"); s.connect()
assert s.limits()["most"] == 3
with s.Pool(2) as p:
    assert p.map(abs, [-1, -2]) == [1, 2]
print("done")
`

func TestPythonExamples(t *testing.T) {
	for _, py := range pythons(t) {
		at := serve(t, typedServer(), "127.0.0.1:0")
		out, err := exec.Command(py, "-c", pythonExamples, at.String()).CombinedOutput()
		if err != nil || !strings.HasSuffix(strings.TrimSpace(string(out)), "done") {
			t.Errorf("%s: %v\n%s", py, err, out)
		}
	}
}

func TestTypesFromGo(t *testing.T) {
	ctx := t.Context()
	c := dial(t, serve(t, typedServer(), "127.0.0.1:0").String())
	p := must[*manager.Proxy](t)(c.Create(ctx, "Maths"))
	equal(t, must[any](t)(p.Call(ctx, "add", 40, 2)), any(int64(42)))
	_, err := p.Call(ctx, "halve", 3)
	if e, isPy := errors.AsType[*manager.PythonError](err); !isPy || e.Class != "builtins.ValueError" {
		t.Errorf("halving 3: %v", err)
	}
	it := must[any](t)(p.Call(ctx, "up_to", 2)).(*manager.Proxy)
	equal(t, must[any](t)(it.Call(ctx, "__next__")), any(int64(0)))
	equal(t, must[any](t)(it.Call(ctx, "__next__")), any(int64(1)))
	if _, err := it.Call(ctx, "__next__"); err == nil {
		t.Error("there was a third")
	}
	if _, err := c.Create(ctx, "broken"); err == nil || !strings.Contains(err.Error(), "no such luck") {
		t.Errorf("a New that panics: %v", err)
	}
	for name, s := range map[string]*manager.Server{
		"New is no function":    {NoAuth: true, Types: []manager.Type{{Name: "x", New: 1}}},
		"no methods":            {NoAuth: true, Types: []manager.Type{{Name: "x", New: func() int { return 1 }}}},
		"no such method":        {NoAuth: true, Types: []manager.Type{{Name: "x", New: func() *maths { return nil }, Expose: []string{"nosuch"}}}},
		"no such task":          {NoAuth: true, Tasks: []string{"nosuch"}},
		"no such type":          {NoAuth: true, Objects: []manager.Object{{Name: "x", Type: "nosuch"}}},
		"key and no key":        {NoAuth: true, AuthKey: testKey},
		"a limit below 0":       {NoAuth: true, MaxConns: -1},
		"a function's bad name": {NoAuth: true, Functions: map[string]manager.Function{"f": nil}},
	} {
		if err := s.ListenAndServe(ctx, "127.0.0.1:0"); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// A method that waits without a ctx holds up neither the client's other calls nor
// the one that it waits for.
func TestMethodsThatWaitWithoutContext(t *testing.T) {
	ctx := t.Context()
	at := serve(t, typedServer(), t.TempDir()+"/s").String()
	p := must[*manager.Proxy](t)(dial(t, at).Create(ctx, "Gate"))
	passed, began := make(chan error, 1), time.Now()
	go func() {
		_, err := p.Call(ctx, "pass")
		passed <- err
	}()
	for must[any](t)(p.Call(ctx, "waiting")) != any(int64(1)) {
		if time.Since(began) > 30*time.Second {
			t.Fatal("the call that waits has not begun")
		}
	}
	ok(t, second(p.Call(ctx, "open")))
	ok(t, <-passed)
}

func second(_ any, err error) error { return err }

func TestPoolFromGo(t *testing.T) {
	ctx := t.Context()
	c := dial(t, serve(t, typedServer(), "127.0.0.1:0").String())
	p := must[*manager.Pool](t)(manager.NewPool(ctx, c, 2))
	equal(t, must[any](t)(p.Apply(ctx, "builtins.pow", 2, 10)), any(int64(1024)))
	equal(t, must[any](t)(p.Apply(ctx, double.Name(), 21)), any(int64(42)))
	equal(t, must[any](t)(p.Apply(ctx, "mytasks.join", "a", 1)), any("[a 1] map[]"))
	equal(t, must[[]any](t)(p.Map(ctx, "builtins.abs", -1, 2, -3)), []any{int64(1), int64(2), int64(3)})
	if _, err := p.Apply(ctx, "os.system", "true"); err == nil {
		t.Error("os.system was called")
	}
	_, err := p.Apply(ctx, "builtins.int", "zz")
	if e, isPy := errors.AsType[*manager.PythonError](err); !isPy || e.Class != "builtins.ValueError" {
		t.Errorf("int of zz: %v", err)
	}
	ok(t, p.Close(ctx))
}
