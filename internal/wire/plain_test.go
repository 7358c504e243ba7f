package wire_test

import (
	"bytes"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/tristrand/tristrand/internal/wire"
)

// plainValues are pointers to values of the types that have a short way.
func plainValues() (all []any) {
	add := func(v any) {
		p := reflect.New(reflect.TypeOf(v))
		p.Elem().Set(reflect.ValueOf(v))
		all = append(all, p.Interface())
	}
	edges := []int64{0, 1, 23, 24, 255, 256, 65535, 65536, math.MaxInt32, math.MaxUint32, math.MaxUint32 + 1, math.MaxInt64}
	var ints []int
	var narrow []int32
	var unsigned []uint64
	for _, n := range edges {
		for _, n := range []int64{n, -n, -n - 1} {
			ints, unsigned = append(ints, int(n)), append(unsigned, uint64(n))
			narrow = append(narrow, int32(n))
			add(int(n))
			add(n)
			add(uint64(n))
			add(int32(n))
		}
	}
	add(ints)
	add(narrow)
	add(unsigned)
	add([]uint{0, math.MaxUint})
	add([]uint32{0, math.MaxUint32})
	add([]int64{math.MinInt64})
	floats := []float64{0, math.Copysign(0, -1), 1.5, math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, math.SmallestNonzeroFloat64}
	for _, f := range floats {
		add(f)
		add([]float64{f, 1})
	}
	add([]string{"", "a", "\xff", string(make([]byte, 300))})
	add("text")
	add(struct{}{})
	add(true)
	add([]bool{true, false})
	add([]int(nil))
	add([]int{})
	add([]string(nil))
	return all
}

// The short way writes what the general one does, and reads what it reads.
func TestTheShortWayIsTheSame(t *testing.T) {
	enc, dec := wire.General()
	for _, v := range plainValues() {
		want, err := enc.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		buf := bytes.NewBufferString("before")
		if err := wire.Encode(buf, v); err != nil || buf.String() != "before"+string(want) {
			t.Errorf("%T %v is encoded as %x, %v, want %x", v, reflect.ValueOf(v).Elem(), buf.Bytes(), err, want)
		}
		for _, into := range plainValues() {
			same(t, dec, want, reflect.TypeOf(into).Elem())
		}
	}
	large := make([]int, 10_000)
	for i := range large {
		large[i] = int(rand.Uint64()) >> rand.IntN(64)
	}
	var back []int
	if roundTrip(t, &large, &back); !reflect.DeepEqual(large, back) {
		t.Error("10,000 numbers do not come back")
	}
}

// same decodes data into a type in both ways.
func same(t *testing.T, dec cbor.DecMode, data []byte, into reflect.Type) {
	t.Helper()
	want, got := reflect.New(into), reflect.New(into)
	werr := dec.Unmarshal(data, want.Interface())
	gerr := wire.Decode(data, got.Interface())
	if (werr == nil) != (gerr == nil) {
		t.Errorf("%x into %v: %v, want %v", data, into, gerr, werr)
	}
	w, err := cbor.Marshal(want.Interface()) // so that one NaN is like another
	if err != nil {
		t.Fatal(err)
	}
	g, err := cbor.Marshal(got.Interface())
	if err != nil {
		t.Fatal(err)
	}
	if werr == nil && !bytes.Equal(w, g) {
		t.Errorf("%x into %v is %v, want %v", data, into, got.Elem(), want.Elem())
	}
}

// A slice that is there is used again, as far as it is large enough.
func TestASliceIsUsedAgain(t *testing.T) {
	var buf bytes.Buffer
	if err := wire.Encode(&buf, &[]int{7, 8}); err != nil {
		t.Fatal(err)
	}
	into := []int{1, 2, 3}
	first := &into[0]
	if err := wire.Decode(buf.Bytes(), &into); err != nil || !reflect.DeepEqual(into, []int{7, 8}) || &into[0] != first {
		t.Errorf("%v, %v", into, err)
	}
}

func FuzzDecodePlain(f *testing.F) {
	enc, dec := wire.General()
	for _, v := range plainValues() {
		data, err := enc.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, v := range []any{0, int32(0), uint64(0), 0.0, "", false, struct{}{}, []int{}, []int32{}, []uint32{}, []float64{}, []bool{}, []string{}} {
			same(t, dec, data, reflect.TypeOf(v))
		}
	})
}
