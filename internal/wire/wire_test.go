package wire_test

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tristrand/tristrand/internal/wire"
)

type inner struct {
	Names []string
	Map   map[string]int
}

type everything struct {
	Text  string
	N     int64
	U     uint64
	F     float64
	Yes   bool
	Bytes []byte
	Inner *inner
	Many  []inner
	At    time.Time
	Array [3]int
	Any   any
}

func roundTrip(t *testing.T, in, out any) {
	t.Helper()
	var buf bytes.Buffer
	if err := wire.Encode(&buf, in); err != nil {
		t.Fatal(err)
	}
	if err := wire.Decode(buf.Bytes(), out); err != nil {
		t.Fatal(err)
	}
}

func TestValuesComeBack(t *testing.T) {
	in := everything{
		Text: "hello\xff", N: math.MinInt64, U: math.MaxUint64, F: math.Inf(-1), Yes: true, Bytes: []byte{0, 255},
		Inner: &inner{Names: []string{"a", ""}, Map: map[string]int{"x": -1}}, Many: []inner{{}, {Names: []string{"b"}}},
		At: time.Date(2026, 11, 21, 8, 9, 10, 123456789, time.UTC), Array: [3]int{1, 2, 3},
		Any: []any{int64(42), nil, "hello"},
	}
	var out everything
	roundTrip(t, &in, &out)
	if !reflect.DeepEqual(in, out) {
		t.Errorf("it comes back as\n%+v, want\n%+v", out, in)
	}
}

func TestWhatIsNoSingleValueIsRefused(t *testing.T) {
	for name, data := range map[string][]byte{
		"nothing": {}, "cut short": {0x82, 0x01}, "two": {0x01, 0x02},
		"a huge array": {0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"deep":         bytes.Repeat([]byte{0x81}, 100_000),
	} {
		var v any
		if err := wire.Decode(data, &v); err == nil {
			t.Errorf("%s is decoded as %v", name, v)
		}
	}
}

func TestWhatCannotBeEncodedSaysSo(t *testing.T) {
	var buf bytes.Buffer
	err := wire.Encode(&buf, make(chan int))
	if err == nil || !strings.Contains(err.Error(), "cannot be encoded") {
		t.Errorf("Encode of a channel returns %v", err)
	}
}

type digest []byte

func TestBytesAreRaw(t *testing.T) {
	in := digest("abc")
	b, ok := wire.Raw(&in)
	if !ok || string(b) != "abc" {
		t.Fatalf("Raw returns %q, %v", b, ok)
	}
	var out digest
	if !wire.SetRaw(&out, b) || string(out) != "abc" {
		t.Errorf("SetRaw gives %q", out)
	}
	n := 1
	if _, ok := wire.Raw(&n); ok || wire.SetRaw(&n, b) {
		t.Error("an int is taken for bytes")
	}
}

func FuzzDecode(f *testing.F) {
	var buf bytes.Buffer
	_ = wire.Encode(&buf, &everything{Text: "x", Any: map[string]any{"a": 1.5}})
	f.Add(buf.Bytes())
	f.Fuzz(func(_ *testing.T, data []byte) {
		var v everything
		_ = wire.Decode(data, &v)
		var a any
		_ = wire.Decode(data, &a)
	})
}
