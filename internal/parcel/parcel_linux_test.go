package parcel_test

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/tristrand/tristrand/internal/parcel"
	"github.com/tristrand/tristrand/internal/segment"
)

func make1(t *testing.T) *segment.Segment {
	t.Helper()
	s, err := segment.New("test", 4096)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSegmentsGoAlongOnceAndStayAlive(t *testing.T) {
	s := make1(t)
	key := s.Key()
	var p parcel.Parcel
	for range 3 {
		p.Segment(s)
	}
	if got := p.Segments(); len(got) != 1 || got[0] != s || p.Empty() {
		t.Fatalf("the parcel holds %v", got)
	}
	s.Release()
	if s.Size() != 4096 {
		t.Fatal("the segment ended before the parcel")
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if segment.Lookup(key) != nil || !p.Empty() {
		t.Error("the parcel was closed and holds on")
	}
}

func TestAbandonUndoes(t *testing.T) {
	s := make1(t)
	defer s.Release()
	for _, abandon := range []bool{false, true} {
		var p parcel.Parcel
		p.Segment(s)
		undone := 0
		p.Undo(func() { undone++ })
		end, want := p.Close, 0
		if abandon {
			end, want = p.Abandon, 1
		}
		if err := errors.Join(end(), p.Abandon()); err != nil || undone != want || !p.Empty() {
			t.Errorf("abandoned %v: undone %d times, want %d; %v", abandon, undone, want, err)
		}
	}
}

func TestFilesGoAlongAsDuplicates(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	var p parcel.Parcel
	key := segment.NewKey()
	for range 2 {
		if err := p.File(key, r); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(p.Files()); n != 1 {
		t.Fatalf("%d files, want 1", n)
	}
	r.Close()
	w.WriteString("hello")
	buf := make([]byte, 5)
	if _, err := io.ReadFull(p.Files()[0].File, buf); err != nil || string(buf) != "hello" {
		t.Errorf("through the duplicate came %q, %v", buf, err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if _, err := w.WriteString("x"); err == nil {
		t.Error("the duplicate is still open")
	}
}

func TestFilesThatCame(t *testing.T) {
	open := func() *os.File {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	isOpen := func(f *os.File) bool { _, err := f.Stat(); return err == nil }
	put := func(key segment.Key, f *os.File) {
		t.Helper()
		if err := parcel.Put(key, f); err != nil {
			t.Fatal(err)
		}
	}
	key, first, second := segment.NewKey(), open(), open()
	put(key, first)
	put(key, second) // sent again: the last one counts
	if isOpen(first) {
		t.Error("the file sent first is open")
	}
	if f, ok := parcel.Take(key); !ok || f != second || !isOpen(f) {
		t.Errorf("Take: %v, %v", f, ok)
	}
	if f, ok := parcel.Take(key); ok {
		t.Errorf("taken twice: %v", f)
	}
	put(key, second)
	if err := parcel.Drop(key); err != nil || isOpen(second) || parcel.Waiting() != 0 {
		t.Errorf("after Drop: %v, open %v, waiting %d", err, isOpen(second), parcel.Waiting())
	}

	var keys []segment.Key
	for range parcel.MaxFiles {
		keys = append(keys, segment.NewKey())
		put(keys[len(keys)-1], open())
	}
	extra := open()
	if err := parcel.Put(segment.NewKey(), extra); err == nil || isOpen(extra) {
		t.Errorf("one file too many: %v, open %v", err, isOpen(extra))
	}
	for _, k := range keys {
		if err := parcel.Drop(k); err != nil {
			t.Error(err)
		}
	}
}

func TestRefs(t *testing.T) {
	s := make1(t)
	ref := parcel.Ref{What: "shm.Lock", Key: s.Key(), Offset: 4032}
	data, err := parcel.MarshalRef(ref)
	if err != nil {
		t.Fatal(err)
	}
	got, at, err := parcel.UnmarshalRef(data, "shm.Lock", 64, 64)
	if err != nil || got != s || at != 4032 {
		t.Fatalf("it came back as %v at %d, %v", got, at, err)
	}
	got.Release()

	encode := func(v any) []byte {
		data, err := cbor.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	with := func(change func(*parcel.Ref)) []byte {
		r := ref
		change(&r)
		return encode(r)
	}
	tests := []struct {
		name string
		data []byte
		want string
	}{
		{"another thing", with(func(r *parcel.Ref) { r.What = "shm.Queue" }), `a "shm.Queue" was sent`},
		{"over the end", with(func(r *parcel.Ref) { r.Offset = 4096 }), "does not lie"},
		{"far over the end", with(func(r *parcel.Ref) { r.Offset = 1<<64 - 64 }), "does not lie"},
		{"between two", with(func(r *parcel.Ref) { r.Offset = 4031 }), "does not lie"},
		{"unknown segment", with(func(r *parcel.Ref) { r.Key = segment.NewKey() }), "has not come"},
		{"a short key", encode([]any{"shm.Lock", []byte{1}, 0, nil}), "has not come"},
		{"numbers", with(func(r *parcel.Ref) { r.Args = []uint64{1} }), "1 numbers where 0 belong"},
		{"no reference", encode("hello"), "not the place"},
		{"nothing", nil, "not the place"},
	}
	for _, tt := range tests {
		if _, _, err := parcel.UnmarshalRef(tt.data, "shm.Lock", 64, 64); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.want)
		}
	}
	s.Release()
	if segment.Lookup(ref.Key) != nil {
		t.Error("a reference was leaked")
	}
}
