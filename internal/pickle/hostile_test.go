package pickle

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"
)

// strict is an allow-list as a server's.
func strict(g Global) (*Class, error) {
	if c, ok := Builtin(g); ok {
		return c, nil
	}
	if c, ok := Data(g); ok {
		return c, nil
	}
	switch g {
	case Global{"builtins", "KeyError"}, Global{"builtins", "ValueError"}:
		return Symbolic, nil
	case Global{"builtins", "abs"}:
		return nil, nil
	}
	return nil, fmt.Errorf("%s is refused", g)
}

// hostile are pickles made to harm, with whether they must be refused; the rest
// must only cost little.
func hostile(tb testing.TB) map[string]struct {
	data   []byte
	refuse bool
} {
	type row = struct {
		data   []byte
		refuse bool
	}
	out := map[string]row{}
	eachVector(tb, "testdata/hostile.jsonl", func(v vector) {
		b, err := hex.DecodeString(v.Hex)
		if err != nil {
			tb.Fatal(err)
		}
		out[v.Name] = row{b, v.Expect == "refuse"}
	})
	out["100000 MARKs"] = row{[]byte("\x80\x04" + strings.Repeat("(", 100_000) + "."), true}
	p := func(s string) []byte { return []byte("\x80\x04" + s) }
	maps.Copy(out, map[string]row{
		"100000 nested lists":          {p(strings.Repeat("]", 100_000) + strings.Repeat("a", 99_999) + "."), true},
		"100000 nested tuples":         {p(")" + strings.Repeat("\x85", 100_000) + "."), true},
		"100000 nested dicts":          {p("}" + strings.Repeat("}K\x01N1", 10) + "."), true},
		"os.system through GLOBAL":     {p("cos\nsystem\n(X\x02\x00\x00\x00idtR."), true},
		"a call of a function":         {p("cbuiltins\nabs\nK\x01\x85R."), true},
		"a named function":             {p("cbuiltins\nabs\n."), false},
		"NEWOBJ of a refused class":    {p("\x8c\x02os\x8c\x06_Envir\x93)\x81."), true},
		"a global inside a call":       {p("cbuiltins\nKeyError\ncos\nsystem\n\x85R."), true},
		"BUILD of a dict":              {p("}}b."), true},
		"a second BUILD":               {p("cbuiltins\nKeyError\n)R}b}b."), true},
		"INST":                         {p("(ios\nsystem\n."), true},
		"PERSID":                       {p("Pabc\n."), true},
		"EXT1":                         {p("\x82\x01."), true},
		"EXT2":                         {p("\x83\x01\x00."), true},
		"EXT4":                         {p("\x84\x01\x00\x00\x00."), true},
		"READONLY_BUFFER":              {p("C\x01a\x98."), true},
		"BINBYTES8 claims 2**63":       {p("\x8e\xff\xff\xff\xff\xff\xff\xff\x7f."), true},
		"BYTEARRAY8 claims 2**64":      {p("\x96\xff\xff\xff\xff\xff\xff\xff\xff."), true},
		"BINUNICODE8 claims 2**40":     {p("\x8d\x00\x00\x00\x00\x00\x01\x00\x00."), true},
		"LONG4 of negative length":     {p("\x8b\xff\xff\xff\xff."), true},
		"LONG1 of no length":           {p("\x8a\x00."), false},
		"odd SETITEMS":                 {p("}(K\x01u."), true},
		"SETITEMS without a dict":      {p("](K\x01K\x02u."), true},
		"APPENDS without a list":       {p("}(K\x01e."), true},
		"ADDITEMS without a set":       {p("](K\x01\x90."), true},
		"a list as a key":              {p("}]K\x01s."), true},
		"a dict in a frozenset":        {p("(}\x91."), true},
		"STOP on an empty stack":       {p("."), true},
		"STOP on a mark":               {p("(."), true},
		"POP_MARK without one":         {p("K\x01\x31."), true},
		"LONG_BINPUT far away":         {p("Nr\xff\xff\xff\xff."), true},
		"LONG_BINGET far away":         {p("j\xff\xff\xff\xff."), true},
		"protocol 6":                   {[]byte("\x80\x06N."), true},
		"protocol 0":                   {[]byte("(lp0\nI1\na."), true},
		"opcode 0xff":                  {p("\xff."), true},
		"nothing":                      {nil, true},
		"range of step 0":              {p("cbuiltins\nrange\nK\x00K\x01K\x00\x87R."), true},
		"complex of strs":              {p("cbuiltins\ncomplex\n\x8c\x01a\x8c\x01b\x86R."), true},
		"list of a range":              {p("cbuiltins\nlist\ncbuiltins\nrange\nK\x00J\xff\xff\xff\x7fK\x01\x87R\x85R."), true},
		"a set that holds a memo bomb": {p("\x8f(" + tupleBomb(40) + "\x90."), true},
		"memo bomb of lists":           {p(listBomb(30)), false},
	})
	return out
}

// tupleBomb is a tuple of 2**n leaves that shares its halves.
func tupleBomb(n int) string { return "K\x01\x85" + strings.Repeat("2\x86", n) }

func listBomb(n int) string {
	var b strings.Builder
	b.WriteString("]\x94")
	for i := range n {
		fmt.Fprintf(&b, "](h%ch%ce\x94", i, i)
	}
	return b.String() + "."
}

func TestHostile(t *testing.T) {
	for name, row := range hostile(t) {
		began := time.Now()
		v, err := Unmarshal(row.data, Options{Find: strict})
		if row.refuse && err == nil {
			t.Errorf("%s is read as %s", name, Repr(v, 200))
		}
		if err == nil { // what is read can be written, printed, compared and hashed at bounded cost
			if _, err := Marshal(nil, v); err != nil {
				t.Errorf("%s: writing it: %v", name, err)
			}
			_ = Repr(v, 1000)
			w, _ := Unmarshal(row.data, Options{Find: strict})
			_, _ = Equal(v, w)
			_, _ = Less(v, w)
			_, _ = NewSet(v)
		}
		if d := time.Since(began); d > 5*time.Minute { // what is not bounded takes days
			t.Errorf("%s cost %v", name, d)
		}
	}
}

// TestAmplification: a pickle costs memory in proportion to its length.
func TestAmplification(t *testing.T) {
	many := []byte("\x80\x04(" + strings.Repeat("}", 1<<20) + "t.")
	if _, err := Unmarshal(many, Options{MaxItems: 1 << 20}); err == nil {
		t.Error("a million dicts are within a budget of a million items, though each counts as eight")
	}
	if _, err := Unmarshal(many, Options{}); err != nil {
		t.Errorf("a million dicts: %v", err)
	}
}

// TestSharedText: what is small because it refers to one long text many times
// stays small when it is written again, and writing has a bound.
func TestSharedText(t *testing.T) {
	text := strings.Repeat("x", 1<<20)
	shared := new(List)
	for range 1000 {
		shared.Items = append(shared.Items, text)
	}
	out, err := Marshal(nil, shared)
	if err != nil || len(out) > 2<<20 {
		t.Errorf("%d bytes, %v", len(out), err)
	}
	v, err := Unmarshal(out, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Marshal(nil, v); err != nil || len(again) != len(out) {
		t.Errorf("written again: %d bytes, %v", len(again), err)
	}
	if _, err := MarshalMost(nil, shared, 1000); err == nil {
		t.Error("more than the bound was written")
	}
}

// FuzzUnmarshal: whatever is read without an error can be written, and is the
// same when it is read again.
func FuzzUnmarshal(f *testing.F) {
	for _, row := range hostile(f) {
		if len(row.data) < 4096 {
			f.Add(row.data)
		}
	}
	n := 0
	eachVector(f, "testdata/pickles.jsonl.gz", func(v vector) {
		if n++; n%7 == 0 && len(v.Hex) < 2000 {
			f.Add(v.payload(f))
		}
	})
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := Unmarshal(data, Options{Find: strict, MaxItems: 1 << 16})
		if err != nil {
			return
		}
		text := Repr(v, 4096)
		out, err := Marshal(nil, v)
		if err != nil {
			t.Fatalf("%s cannot be written: %v", text, err)
		}
		w, err := Unmarshal(out, Options{Find: strict})
		if err != nil {
			t.Fatalf("%s, written as %x, cannot be read: %v", text, out, err)
		}
		again, err := Marshal(nil, w)
		if err != nil {
			t.Fatalf("%s cannot be written again: %v", text, err)
		}
		if got := Repr(w, 4096); got != text && !strings.Contains(text, "set") && !bytes.Equal(again, out) {
			t.Fatalf("%s became %s", text, got)
		}
	})
}
