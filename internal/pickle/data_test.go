package pickle

import (
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"
)

func dataOnly(g Global) (*Class, error) {
	if c, ok := Data(g); ok {
		return c, nil
	}
	if c, ok := Builtin(g); ok {
		return c, nil
	}
	return nil, errors.New("refused")
}

func readData(t *testing.T, text string) any {
	t.Helper()
	v, err := Unmarshal([]byte(text), Options{Find: dataOnly})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestData: what Python wrote is written again with the same content.
func TestData(t *testing.T) {
	date := "\x80\x04\x8c\x08datetime\x8c\x04date\x93C\x04\x07\xe4\x01\x02\x85R."
	later := strings.Replace(date, "\x01\x02\x85", "\x01\x03\x85", 1)
	od := "\x80\x04\x8c\x0bcollections\x8c\x0bOrderedDict\x93)R(K\x01K\x02K\x03K\x04u."
	deque := "\x80\x04\x8c\x0bcollections\x8c\x05deque\x93)K\x05\x86R(K\x01K\x02e."
	for _, text := range []string{date, later, od, deque} {
		v := readData(t, text)
		b, err := Marshal(nil, v)
		if err != nil {
			t.Fatal(err)
		}
		if eq, err := Equal(v, readData(t, string(b))); !eq || err != nil {
			t.Errorf("%q became %q: %v", text, b, err)
		}
	}
	if b, _ := Marshal(nil, readData(t, od)); !strings.Contains(string(b), "K\x01K\x02K\x03K\x04u") {
		t.Errorf("the pairs of %q are written as %q", od, b)
	}
	a, b := readData(t, date), readData(t, later)
	if less, err := Less(a, b); !less || err != nil {
		t.Errorf("a day is not before the next: %v", err)
	}
	if less, err := Less(b, a); less || err != nil {
		t.Errorf("a day is before the last: %v", err)
	}
	var d Dict
	for _, k := range []any{a, Tuple{a}, b} {
		if err := d.Set(k, "x"); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok, err := d.Get(Tuple{readData(t, date)}); !ok || err != nil || d.Len() != 3 {
		t.Errorf("a key is not found again: %v", err)
	}
	if err := d.Set(readData(t, od), 1); err == nil {
		t.Error("what can change is a key")
	}
}

// TestDataIsHostile: nothing that is made up of these classes costs more than its
// length.
func TestDataIsHostile(t *testing.T) {
	for _, text := range []string{
		"\x80\x04\x8c\x0bcollections\x8c\x05deque\x93)R(K\x01e(K\x01K\x02u.",                   // items, then pairs
		"\x80\x04\x8c\x0bcollections\x8c\x0bOrderedDict\x93)R(K\x01K\x02u(K\x03e.",             // pairs, then items
		"\x80\x04\x8c\x0bcollections\x8c\x0bOrderedDict\x93)R}b}b.",                            // two states
		"\x80\x04\x8c\x08datetime\x8c\x0cdatetime_CAPI\x93)R.",                                 // no class of data
		"\x80\x04\x8c\x08datetime\x8c\x0cdatetime.now\x93)R.",                                  // an attribute
		"\x80\x04\x8c\x0bcollections\x8c\x0bOrderedDict\x93)R\x94h\x00K\x01s}h\x00K\x01s\x86.", // holds itself as a key
	} {
		if v, err := Unmarshal([]byte(text), Options{Find: dataOnly}); err == nil {
			t.Errorf("%q is %v", text, v)
		}
	}
	decimal := Global{"decimal", "Decimal"}
	huge := &Object{Class: decimal, Args: Tuple{"1E+999999999"}}
	small := &Object{Class: decimal, Args: Tuple{"1"}}
	if _, err := Less(huge, small); err == nil {
		t.Error("a number of 10**9 digits is compared")
	}
	if eq, err := Equal(huge, &Object{Class: decimal, Args: Tuple{"1E+999999999"}}); !eq || err != nil {
		t.Errorf("equal texts are not equal: %v", err)
	}
	for _, o := range []*Object{
		{Class: Global{"datetime", "date"}}, {Class: Global{"datetime", "datetime"}, Args: Tuple{Bytes("short")}},
		{Class: Global{"datetime", "timedelta"}, Args: Tuple{"a", nil, small}}, {Class: Global{"uuid", "UUID"}, State: "x", HasState: true},
		{Class: Global{"fractions", "Fraction"}, Args: Tuple{int64(1), int64(0)}}, {Class: decimal, Args: Tuple{"no number"}},
	} {
		if Repr(o, 100) == "" {
			t.Errorf("%v is printed as nothing", o.Class)
		}
		if _, err := keyOf(o); err != nil {
			t.Errorf("%v: %v", o.Class, err)
		}
		_, _ = Less(o, o) // it does not panic
	}
	self := &Object{Class: Global{"datetime", "timezone"}}
	self.Args = Tuple{self}
	if _, err := keyOf(self); err == nil {
		t.Error("what holds itself is a key")
	}
}

// TestReprOfLong: what is printed cut short costs no more than what is shown.
func TestReprOfLong(t *testing.T) {
	for _, v := range []any{
		strings.Repeat("x", 64<<20), Bytes(strings.Repeat("\x00", 64<<20)), &ByteArray{make([]byte, 64<<20)},
		strings.Repeat("ü\ue000\U0001f600", 1<<20), new(big.Int).Lsh(big.NewInt(1), 1<<30),
	} {
		began := time.Now()
		for range 20 {
			if s := Repr(v, 200); len(s) > 210 || len(s) < 20 {
				t.Errorf("%s: %d bytes are printed", TypeName(v), len(s))
			}
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%s: printing 200 bytes of it takes %v", TypeName(v), took/20)
		}
	}
	for _, s := range []string{"short", "it's", `it's "so"`, "ü\ue000\U0001f600", "\xed\xa0\x80tail"} {
		whole := Repr(s, 1000)
		for most := range len(whole) {
			if cut := Repr(s, most); !strings.HasPrefix(whole, strings.TrimSuffix(cut, "…")) || most < len(whole) && !strings.HasSuffix(cut, "…") {
				t.Errorf("%q cut at %d is %q", whole, most, cut)
			}
		}
	}
}
