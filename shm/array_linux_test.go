package shm_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/shm"
)

func newArray[T any](t *testing.T, n int) *shm.Array[T] {
	t.Helper()
	a, err := shm.NewArray[T](n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

type counting struct {
	Who   int
	Times int
	Ints  *shm.Array[int]
	Total *shm.Value[pair]
	Names *shm.Value[map[string]int]
}

// A pair is never whole unless B is twice A.
type pair struct{ A, B int64 }

// tallyPart adds to its own element, to the one of all, and to the values.
func tallyPart(in []byte, lines *bufio.Scanner, out io.Writer) error {
	var c counting
	if err := cbor.Unmarshal(in, &c); err != nil {
		return err
	}
	fmt.Fprintln(out, "ready")
	lines.Scan()
	return c.count(context.Background())
}

func (c *counting) count(ctx context.Context) error {
	for range c.Times {
		for _, i := range []int{0, c.Who} {
			err := tristrand.With(ctx, c.Ints.Lock(), func(context.Context) error {
				n, err := c.Ints.At(i)
				return errors.Join(err, c.Ints.Set(i, n+1))
			})
			if err != nil {
				return err
			}
		}
		if _, err := c.Total.Update(ctx, func(p pair) (pair, error) {
			if p.B != 2*p.A {
				return p, fmt.Errorf("half a value: %+v", p)
			}
			return pair{p.A + 1, p.B + 2}, nil
		}); err != nil {
			return err
		}
		if _, err := c.Names.Update(ctx, func(m map[string]int) (map[string]int, error) {
			m[fmt.Sprint("process ", c.Who)]++
			return m, nil
		}); err != nil {
			return err
		}
	}
	return nil
}

func newCounting(t *testing.T, times int) *counting {
	t.Helper()
	c := &counting{
		Times: times, Ints: newArray[int](t, 4),
		Total: must(shm.NewValue("total", pair{})), Names: must(shm.NewValue("names", map[string]int{})),
	}
	t.Cleanup(func() {
		c.Total.Close()
		c.Names.Close()
	})
	return c
}

func TestArrayAndValuesOfSeveralProcesses(t *testing.T) {
	const times, processes = 500, 3
	ctx := adopt(t)
	c := newCounting(t, times)
	var all []*other
	for i := range processes {
		c.Who = i + 1
		o := start(t, "tally", c)
		o.hear()
		all = append(all, o)
	}
	for _, o := range all {
		o.say("go")
	}
	for _, o := range all {
		o.end(false)
	}
	for i, want := range []int{processes * times, times, times, times} {
		if got, err := c.Ints.At(i); err != nil || got != want {
			t.Errorf("element %d is %d, %v, want %d", i, got, err, want)
		}
	}
	if p, err := c.Total.Load(ctx); err != nil || p != (pair{processes * times, 2 * processes * times}) {
		t.Errorf("the value is %+v, %v", p, err)
	}
	m, err := c.Names.Load(ctx)
	if err != nil || len(m) != processes || m["process 1"] != times || m["process 3"] != times {
		t.Errorf("the map is %v, %v", m, err)
	}
}

// TestValueUpdaterKilled kills processes that update without a pause.
func TestValueUpdaterKilled(t *testing.T) {
	ctx := adopt(t)
	c := newCounting(t, 1<<40)
	c.Who = 1
	var before pair
	for range 10 {
		o := start(t, "tally", c)
		o.hear()
		o.say("go")
		until(t, "an update", func() bool { return must(c.Total.Load(ctx)) != before })
		o.end(true)
		p, err := c.Total.Update(ctx, func(p pair) (pair, error) { return pair{p.A + 1, p.B + 2}, nil })
		if err != nil || p.B != 2*p.A {
			t.Fatalf("a killed process has left %+v, %v", p, err)
		}
		if _, err := c.Names.Load(ctx); err != nil {
			t.Fatal(err)
		}
		before = must(c.Total.Load(ctx))
		if err := c.Ints.Lock().Acquire(ctx); err != nil {
			if !errors.Is(err, tristrand.ErrOwnerDied) {
				t.Fatal(err)
			}
			if err := c.Ints.Lock().Recover(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Ints.Lock().Release(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

func TestArray(t *testing.T) {
	ctx := t.Context()
	a := newArray[[2]float32](t, 3)
	if a.Len() != 3 {
		t.Errorf("%d elements", a.Len())
	}
	if err := a.Set(2, [2]float32{1, 2}); err != nil {
		t.Fatal(err)
	}
	var b shm.Array[[2]float32]
	cross(t, a, &b)
	defer b.Close()
	if v, err := b.Update(ctx, 2, func(v [2]float32) ([2]float32, error) { return [2]float32{v[1], v[0]}, nil }); err != nil || v != [2]float32{2, 1} {
		t.Errorf("Update returned %v, %v", v, err)
	}
	var all []string
	for i, v := range a.All() {
		all = append(all, fmt.Sprint(i, v))
	}
	if got := strings.Join(all, " "); got != "0 [0 0] 1 [0 0] 2 [2 1]" {
		t.Errorf("All yields %s", got)
	}
	for _, i := range []int{-1, 3, 1 << 40} {
		_, err := a.At(i)
		for _, err := range []error{err, a.Set(i, [2]float32{})} {
			if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("index %d of an array of 3", i)) {
				t.Errorf("index %d: %v", i, err)
			}
		}
	}
	if empty := newArray[int](t, 0); empty.Len() != 0 {
		t.Errorf("an empty array has %d elements", empty.Len())
	}
	a.Close()
	a.Close()
	if _, err := a.At(0); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("At after Close: %v", err)
	}
	if v, err := b.At(2); err != nil || v[0] != 2 {
		t.Errorf("closed elsewhere: %v, %v", v, err)
	}
}

func TestArrayRefuses(t *testing.T) {
	type inner struct {
		OK   int
		Name string
	}
	type outer struct{ In [2]inner }
	check := func(err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	_, err := shm.NewArray[outer](1)
	check(err, "outer.In[].Name: a string has no fixed size; use an array of bytes")
	_, err = shm.NewArray[[]int](1)
	check(err, "[]int: a []int has no fixed size")
	_, err = shm.NewArray[*int](1)
	check(err, "*int: a *int points into the memory of one process")
	_, err = shm.NewArray[any](1)
	check(err, "points into the memory")
	_, err = shm.NewArray[map[int]int](1)
	check(err, "points into the memory")
	_, err = shm.NewArray[int](-1)
	check(err, "-1 elements")
	_, err = shm.NewArray[int](1 << 50)
	check(err, "no more than")
	_, err = shm.NewArray[int](1 << 36)
	check(err, "memory")

	data := must(cbor.Marshal(newArray[int64](t, 3)))
	for _, wrong := range []cbor.Unmarshaler{new(shm.Array[int]), new(shm.Array[uint64]), new(shm.Array[string]), new(shm.Bytes), new(shm.RLock)} {
		check(wrong.UnmarshalCBOR(data), "")
	}
}

func TestValue(t *testing.T) {
	ctx := t.Context()
	v := must(shm.NewValue("v", 41))
	defer v.Close()
	var w shm.Value[int]
	cross(t, v, &w)
	defer w.Close()
	if got, err := w.Update(ctx, func(n int) (int, error) { return n + 1, nil }); got != 42 || err != nil {
		t.Errorf("Update returned %d, %v", got, err)
	}
	fault := errors.New("fault")
	if got, err := w.Update(ctx, func(int) (int, error) { return 0, fault }); got != 42 || !errors.Is(err, fault) {
		t.Errorf("an Update that fails returned %d, %v", got, err)
	}
	if got, err := v.Load(ctx); got != 42 || err != nil {
		t.Errorf("Load returned %d, %v", got, err)
	}
	runs := 0
	if got, err := v.Update(ctx, func(n int) (int, error) {
		if runs++; runs == 1 {
			return n, errors.Join(w.Store(ctx, 100))
		}
		return n + 1, nil
	}); got != 101 || err != nil || runs != 2 {
		t.Errorf("an Update that was overtaken returned %d, %v after %d runs", got, err, runs)
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	_, err := v.Load(over)
	is(t, err, context.Canceled, "Load")
	is(t, v.Store(over, 1), context.Canceled, "Store")
	_, err = v.Update(over, func(n int) (int, error) { return n, nil })
	is(t, err, context.Canceled, "Update")

	big := must(shm.NewValue("big", [1000]int{7}))
	defer big.Close()
	var far shm.Value[[1000]int]
	cross(t, big, &far)
	defer far.Close()
	if got, err := far.Load(ctx); err != nil || got[0] != 7 {
		t.Errorf("a large value: %v", err)
	}
	s := must(shm.NewValue("s", "hello"))
	if err := s.Store(ctx, strings.Repeat("x", 17<<20)); err == nil || !strings.Contains(err.Error(), "Bytes") {
		t.Errorf("a value of 17 MiB: %v", err)
	}
	if got, err := s.Load(ctx); got != "hello" || err != nil {
		t.Errorf("afterwards it is %.10q, %v", got, err)
	}
	s.Close()
	if _, err := s.Load(ctx); err == nil {
		t.Error("Load after Close")
	}
	if _, err := new(shm.Value[int]).Load(ctx); err == nil {
		t.Error("Load of a zero value")
	}
}
