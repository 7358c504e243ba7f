package pickle

import (
	"math/big"
	"reflect"
	"testing"
)

func TestGoRoundTrip(t *testing.T) {
	type inner struct{ A, B int }
	type outer struct {
		Name  string `pickle:"name"`
		Inner *inner
		List  []inner
		Skip  int `pickle:"-"`
		Map   map[string]float32
		Set   map[int]struct{}
		Fixed [2]uint8
		Raw   []byte
		Big   *big.Int
		Any   any
		None  *inner
	}
	in := outer{
		"n", &inner{1, 2}, []inner{{3, 4}}, 0, map[string]float32{"x": 0.5}, map[int]struct{}{7: {}}, [2]uint8{1, 255},
		[]byte{0, 1}, big.NewInt(-5), []any{int64(1), "a", nil}, nil,
	}
	v, err := FromGo(in)
	if err != nil {
		t.Fatal(err)
	}
	data, err := Marshal(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	w, err := Unmarshal(data, Options{})
	if err != nil {
		t.Fatal(err)
	}
	out, err := Get[outer](w)
	if err != nil || !reflect.DeepEqual(in, out) {
		t.Errorf("%v became %v, %v", in, out, err)
	}
}

func TestDoesNotFit(t *testing.T) {
	for name, err := range map[string]error{
		"300 in an int8":      second(Get[int8](int64(300))),
		"-1 in a uint":        second(Get[uint](int64(-1))),
		"a big int in int64":  second(Get[int64](new(big.Int).Lsh(big.NewInt(1), 70))),
		"a str in an int":     second(Get[int]("1")),
		"a float in an int":   second(Get[int](1.5)),
		"a list in a string":  second(Get[string](NewList())),
		"a str in a []string": second(Get[[]string]("ab")),
		"3 items in a [2]int": second(Get[[2]int](Tuple{int64(1), int64(2), int64(3)})),
		"None in an int":      second(Get[int](nil)),
		"a channel":           second(FromGo(make(chan int))),
		"a func in a slice":   second(FromGo([]func(){nil})),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	type loop struct{ Next *loop }
	l := new(loop)
	l.Next = l
	if _, err := FromGo(l); err == nil {
		t.Error("a value that holds itself was converted")
	}
}

func second[T any](_ T, err error) error { return err }

func TestCompare(t *testing.T) {
	huge := new(big.Int).Lsh(big.NewInt(1), 70)
	for _, row := range []struct {
		a, b  any
		equal bool
	}{
		{int64(1), 1.0, true}, {int64(1), true, true}, {huge, float64(1 << 70), true}, {"1", Bytes("1"), false},
		{Tuple{int64(1)}, Tuple{1.0}, true}, {Tuple{int64(1)}, NewList(int64(1)), false}, {NewList("a"), NewList("a"), true},
		{Bytes("a"), &ByteArray{[]byte("a")}, true}, {nil, nil, true}, {nil, int64(0), false}, {1i, complex(0, 1), true},
		{&Range{0, 0, 1}, &Range{5, 5, 2}, true}, {&Range{0, 1, 1}, &Range{0, 2, 2}, true}, {0.5, int64(0), false},
	} {
		if eq, err := Equal(row.a, row.b); eq != row.equal || err != nil {
			t.Errorf("%s == %s is %v, %v", Repr(row.a, 50), Repr(row.b, 50), eq, err)
		}
	}
	items := []any{huge, int64(-7), 2.5, true, int64(1)}
	if err := Sort(items, nil, false); err != nil || Repr(NewList(items...), 100) != "[-7, True, 1, 2.5, 1180591620717411303424]" {
		t.Errorf("sorted: %s, %v", Repr(NewList(items...), 100), err)
	}
	mixed := []any{int64(1), "a"}
	if err := Sort(mixed, nil, false); err == nil || mixed[0] != any(int64(1)) {
		t.Errorf("a mixed list: %v", err)
	}
}
