package pickle

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io"
	"math/big"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// symbolic keeps every class as a name, as the trees of the vectors do.
func symbolic(Global) (*Class, error) { return Symbolic, nil }

// tree is v in the form that the vectors state values in.
func tree(v any, path []any) any {
	id := identity(v)
	if id != nil {
		if i := slices.Index(path, id); i >= 0 {
			return []any{"cycle", float64(len(path) - i)}
		}
	}
	path = append(slices.Clone(path), id)
	list := func(items []any) []any {
		out := []any{}
		for _, x := range items {
			out = append(out, tree(x, path))
		}
		return out
	}
	switch v := v.(type) {
	case nil:
		return []any{"none"}
	case bool:
		return []any{"bool", v}
	case int64:
		return []any{"int", strconv.FormatInt(v, 10)}
	case *big.Int:
		return []any{"int", v.String()}
	case float64:
		return []any{"float", Float(v)}
	case string:
		if !utf8.ValidString(v) {
			return []any{"strp", hex.EncodeToString([]byte(v))}
		}
		return []any{"str", v}
	case Bytes:
		return []any{"bytes", hex.EncodeToString([]byte(v))}
	case *ByteArray:
		return []any{"bytearray", hex.EncodeToString(v.B)}
	case *List:
		return []any{"list", list(v.Items)}
	case Tuple:
		return []any{"tuple", list(v)}
	case *Dict:
		pairs := []any{}
		for k, x := range v.All() {
			pairs = append(pairs, []any{tree(k, path), tree(x, path)})
		}
		return []any{"dict", pairs}
	case *Set, *FrozenSet:
		items, _ := Iterate(v)
		return []any{TypeName(v), sortTrees(list(items))}
	case Global:
		return []any{"global", v.Module, v.Name}
	case *Object:
		kind := "reduce"
		if v.New {
			kind = "newobj"
		}
		node := []any{kind, tree(v.Class, path), tree(v.Args, path)}
		if v.HasState {
			node = []any{"build", node, tree(v.State, path)}
		}
		return node
	default:
		return []any{"unknown", TypeName(v)}
	}
}

func sortTrees(ts []any) []any {
	slices.SortFunc(ts, func(a, b any) int { return strings.Compare(canonical(a), canonical(b)) })
	return ts
}

// canonical is a tree as text, its sets sorted as we sort them.
func canonical(t any) string {
	if node, ok := t.([]any); ok && len(node) == 2 && (node[0] == "set" || node[0] == "frozenset") {
		t = []any{node[0], sortTrees(slices.Clone(node[1].([]any)))}
	}
	if node, ok := t.([]any); ok {
		parts := make([]string, len(node))
		for i, x := range node {
			parts[i] = canonical(x)
		}
		return "[" + strings.Join(parts, ",") + "]"
	}
	b, err := json.Marshal(t)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

type vector struct {
	From, Hex, Name, Expect string
	Zlib                    string `json:"zlib_b64"`
	Tree                    any
}

// eachVector calls f with the records of a file.
func eachVector(tb testing.TB, name string, f func(v vector)) {
	tb.Helper()
	file, err := os.Open(name)
	if err != nil {
		tb.Fatal(err)
	}
	defer file.Close()
	var r io.Reader = file
	if strings.HasSuffix(name, ".gz") {
		if r, err = gzip.NewReader(file); err != nil {
			tb.Fatal(err)
		}
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var v vector
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			tb.Fatalf("%s: %v", name, err)
		}
		f(v)
	}
	if err := lines.Err(); err != nil {
		tb.Fatal(err)
	}
}

// payload returns the pickle of a captured frame.
func (v vector) payload(tb testing.TB) []byte {
	tb.Helper()
	var frame []byte
	switch {
	case v.Hex != "":
		b, err := hex.DecodeString(v.Hex)
		if err != nil {
			tb.Fatal(err)
		}
		frame = b
	case v.Zlib != "":
		b, err := base64.StdEncoding.DecodeString(v.Zlib)
		if err != nil {
			tb.Fatal(err)
		}
		z, err := zlib.NewReader(bytes.NewReader(b))
		if err != nil {
			tb.Fatal(err)
		}
		if frame, err = io.ReadAll(z); err != nil {
			tb.Fatal(err)
		}
	default:
		return nil
	}
	head := 4
	if binary.BigEndian.Uint32(frame) == 0xffffffff {
		head = 12
	}
	return frame[head:]
}

// TestVectors reads every captured pickle of CPython 3.8 to 3.14 and compares it
// with the value stated beside it; what is written of it must read as the same.
func TestVectors(t *testing.T) {
	n := 0
	eachVector(t, "testdata/pickles.jsonl.gz", func(v vector) {
		data := v.payload(t)
		n++
		got, err := Unmarshal(data, Options{Find: symbolic})
		if err != nil {
			t.Errorf("%s: %.300x: %v", v.From, data, err)
			return
		}
		if g, w := canonical(tree(got, nil)), canonical(v.Tree); g != w {
			t.Errorf("%s: %.300x\n got %.300s\nwant %.300s", v.From, data, g, w)
		}
		again, err := Marshal(nil, got)
		if err != nil {
			t.Errorf("%s: writing %.300s: %v", v.From, canonical(v.Tree), err)
			return
		}
		back, err := Unmarshal(again, Options{Find: symbolic})
		if err != nil {
			t.Errorf("%s: reading what was written: %v", v.From, err)
			return
		}
		g, w := canonical(tree(back, nil)), canonical(v.Tree)
		if !strings.Contains(w, `"bytearray"`) && g != w { // a bytearray is written as a call
			t.Errorf("%s: written and read again\n got %.300s\nwant %.300s", v.From, g, w)
		}
	})
	if n < 1000 {
		t.Fatalf("only %d pickles were checked", n)
	}
	t.Logf("%d pickles", n)
}
