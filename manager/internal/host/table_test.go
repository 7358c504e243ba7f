package host

import (
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/tristrand/tristrand/internal/pickle"
)

// alone is a call of an owner that must not wait.
func alone(o *Owner, args ...any) *Call {
	return &Call{Owner: o, Args: args, Wait: func() (ctx, gone contextOf, err error) { return nil, nil, ErrWouldWait }}
}

func made(t *testing.T, o Object, err error) Object {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// dropped counts how often it was told that nobody refers to it.
type dropped struct {
	Object
	times int
}

func (d *dropped) Dropped() { d.times++ }

func TestReferencesAreCounted(t *testing.T) {
	tab, ty := NewTable(2), &Type{ID: "thing"}
	d := new(dropped)
	e, err := tab.Add(ty, d)
	if err != nil {
		t.Fatal(err)
	}
	again, err := tab.Add(ty, d)
	if err != nil || again != e || tab.Len() != 1 {
		t.Errorf("an object put in twice is %v and %v, %v", e, again, err)
	}
	if err := errors.Join(tab.Incref(e.ID), tab.Decref(e.ID), tab.Decref(e.ID)); err != nil || d.times != 0 {
		t.Errorf("three references and two less: %v, dropped %d times", err, d.times)
	}
	if err := tab.Decref(e.ID); err != nil || d.times != 1 || tab.Len() != 0 {
		t.Errorf("the last: %v, dropped %d times, %d left", err, d.times, tab.Len())
	}
	for name, err := range map[string]error{"Incref": tab.Incref(e.ID), "Decref": tab.Decref(e.ID)} {
		if p, ok := AsException(err); !ok || p.Type.Name != "KeyError" {
			t.Errorf("%s of what is forgotten: %v", name, err)
		}
	}
	for range 2 {
		if _, err := tab.Add(ty, new(dropped)); err != nil {
			t.Fatal(err)
		}
	}
	if p, ok := AsException(second(tab.Add(ty, new(dropped)))); !ok || p.Type.Name != "MemoryError" {
		t.Errorf("one more than the most: %v", p)
	}
}

func second[T any](_ T, err error) error { return err }

// An object whose proxy is stored in another lives as long as that, without any
// reference of a client, and can be referred to again.
func TestWhatIsStoredIsKept(t *testing.T) {
	tab, ty := NewTable(0), &Type{ID: "thing"}
	e, err := tab.Add(ty, new(dropped))
	if err != nil {
		t.Fatal(err)
	}
	id := e.ID
	stored, err := tab.refer(id) // a proxy of it has come in a value
	if err != nil {
		t.Fatal(err)
	}
	if err := tab.Decref(id); err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	if _, err := tab.Find(id); err != nil {
		t.Errorf("it is stored, and it is gone: %v", err)
	}
	if err := errors.Join(tab.Incref(id), tab.Decref(id)); err != nil {
		t.Errorf("referring to it again: %v", err)
	}
	runtime.KeepAlive(stored)
	began := time.Now()
	for _, err = tab.Find(id); err == nil; _, err = tab.Find(id) {
		runtime.GC()
		if time.Since(began) > 30*time.Second {
			t.Fatal("nobody refers to it, and it is kept")
		}
	}
}

func TestSlicesAreThoseOfPython(t *testing.T) {
	for _, c := range []struct {
		start, stop, step any
		want              string
	}{
		{nil, nil, nil, "[0, 1, 2, 3, 4]"}, {int64(1), int64(-1), nil, "[1, 2, 3]"}, {nil, nil, int64(-1), "[4, 3, 2, 1, 0]"},
		{int64(-2), nil, nil, "[3, 4]"}, {int64(9), int64(0), int64(-2), "[4, 2]"}, {int64(3), int64(1), nil, "[]"},
		{int64(-99), int64(99), int64(3), "[0, 3]"}, {nil, int64(1), int64(-1), "[4, 3, 2]"},
	} {
		l := &List{items: []any{int64(0), int64(1), int64(2), int64(3), int64(4)}}
		v, err := l.Call(alone(new(Owner), &pickle.Slice{Start: c.start, Stop: c.stop, Step: c.step}), "__getitem__")
		if got := pickle.Repr(v, 100); err != nil || got != c.want {
			t.Errorf("[%v:%v:%v] is %s, %v; want %s", c.start, c.stop, c.step, got, err, c.want)
		}
	}
	if _, err := new(List).Call(alone(new(Owner), &pickle.Slice{Step: int64(0)}), "__getitem__"); err == nil {
		t.Error("a slice whose step is 0 is no error")
	}
}
