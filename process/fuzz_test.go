package process

import (
	"bytes"
	"context"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/tristrand/tristrand"
)

// What comes beside the rings is not trusted either: whatever it is, it is a note, or an
// error, and what a note says of an error can be said again.
func FuzzNotes(f *testing.F) {
	for _, n := range []note{
		{Op: noteHello, Fault: faults.Of(&tristrand.PanicError{Value: errors.New("x"), Stack: []byte("stack")})},
		{Op: noteSegment, Key: make([]byte, 16)},
		{Op: noteFrame, Body: []byte("frame")},
		{Op: noteConfig, Config: &config{Name: "x", Kind: kindWorker, Input: []byte{1}}},
	} {
		var buf bytes.Buffer
		if err := n.encode(&buf); err != nil {
			f.Fatal(err)
		}
		f.Add(buf.Bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := decodeNote(data)
		if err != nil {
			return
		}
		crosses(t, n)
		if _, err := keyOf(n.Key); err == nil && len(n.Key) != 16 {
			t.Errorf("a key of %d bytes passes", len(n.Key))
		}
		if n.Fault == nil {
			return
		}
		err = faultErr(n.Fault)
		if again := crossed(err); again.Error() != err.Error() && len(err.Error()) < maxText {
			t.Errorf("%q comes again as %q", err, again)
		}
		n.Fault = shrunk(n.Fault)
		var buf bytes.Buffer
		if n.encode(&buf) == nil && len(data) < maxNote/4 && buf.Len() > maxNote {
			t.Errorf("a note of %d bytes", buf.Len())
		}
	})
}

// crosses checks that a note comes as what it was.
func crosses(t *testing.T, n note) {
	t.Helper()
	var buf bytes.Buffer
	if err := n.encode(&buf); err != nil {
		t.Fatal(err)
	}
	got, err := decodeNote(buf.Bytes())
	if n.Fault != nil && got.Fault != nil {
		n.Fault, got.Fault = nil, nil // they have their own tests
	}
	if err != nil || !reflect.DeepEqual(got, n) {
		t.Errorf("%+v comes as %+v, %v", n, got, err)
	}
}

// Each field of a note crosses, and what is cut short is no note.
func TestNotes(t *testing.T) {
	n := note{
		Op: noteConfig, Seq: math.MaxUint64, Key: []byte("key"), N: math.MinInt, Text: "text", Body: []byte("body"),
		Config: &config{Name: "n", Kind: "k", Task: "t", Input: []byte("i"), Raw: true, Placed: true, Left: -1, Meta: []byte("m"), Sample: math.MaxInt64},
	}
	crosses(t, note{})
	crosses(t, n)
	n.Fault = faults.Of(errors.New("x"))
	crosses(t, n)
	var buf bytes.Buffer
	if err := n.encode(&buf); err != nil {
		t.Fatal(err)
	}
	for i := range buf.Len() {
		if _, err := decodeNote(buf.Bytes()[:i]); err == nil {
			t.Errorf("%d bytes of %d are a note", i, buf.Len())
		}
	}
	n.Fault = nil
	buf.Reset()
	if err := n.encode(&buf); err != nil {
		t.Fatal(err)
	}
	if _, err := decodeNote(append(buf.Bytes(), 0)); err == nil {
		t.Error("more than a note is one")
	}
}

var texts = tristrand.Define("process.fuzzed", func(_ context.Context, n int) (string, error) {
	if n%3 == 0 {
		return "", errors.New("no")
	}
	return strings.Repeat("x", n), nil
})

// noOutcomes returns the outcomes of a chunk, none as yet.
func noOutcomes(t testing.TB, n int) tristrand.Outcomes {
	t.Helper()
	h, ok := tristrand.Lookup(texts.Name() + "[]")
	if !ok {
		t.Fatal("there is no handler for chunks")
	}
	in := h.NewInput()
	*in.(*[]int) = make([]int, n) //nolint:forcetypeassert // it is of our task
	for i := range n {
		(*in.(*[]int))[i] = i //nolint:forcetypeassert // likewise
	}
	out, err := h.Call(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out.(tristrand.Outcomes) //nolint:forcetypeassert // a chunk's are
}

// A worker cannot give more outcomes than a chunk has inputs, nor fail any that it has
// not got.
func FuzzOutcomes(f *testing.F) {
	var buf bytes.Buffer
	if err := encodeOutcomes(&buf, noOutcomes(f, 5), 0); err != nil {
		f.Fatal(err)
	}
	f.Add(buf.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		const most = 8
		o := noOutcomes(t, 0)
		err := decodeOutcomes(data, o, most)
		if err == nil {
			err = decodeOutcomes(data, o, most)
		}
		if o.Len() > most {
			t.Errorf("there are %d outcomes for %d inputs, %v", o.Len(), most, err)
		}
	})
}

// A journal that its worker has spoilt gives nothing that is not there.
func FuzzJournal(f *testing.F) {
	f.Add(uint64(3)<<lenBits|20, []byte("\x61a\x61b\x61c"))
	f.Add(^uint64(0), []byte{})
	f.Fuzz(func(t *testing.T, word uint64, data []byte) {
		mem := make([]byte, claimsEnd)
		copy(mem[journalAt:], data)
		journalOf(mem).word.Store(word)
		it := &item{parts: noOutcomes(t, 0), inputs: 8}
		recoverChunk(it, mem)
		if it.parts.Len() > it.inputs {
			t.Errorf("there are %d outcomes for %d inputs", it.parts.Len(), it.inputs)
		}
	})
}
