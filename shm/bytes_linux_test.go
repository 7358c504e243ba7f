package shm_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/tristrand/tristrand/internal/parcel"
	"github.com/tristrand/tristrand/internal/portable"
	"github.com/tristrand/tristrand/internal/segment"
	"github.com/tristrand/tristrand/internal/segment/pool"
	"github.com/tristrand/tristrand/shm"
)

type bytesJob struct {
	Name string
	Data *shm.Bytes
	None *shm.Bytes
}

// upperPart makes what was sent upper case.
func upperPart(in []byte, lines *bufio.Scanner, out io.Writer) error {
	var j bytesJob
	if err := cbor.Unmarshal(in, &j); err != nil {
		return err
	}
	fmt.Fprintln(out, j.Name, j.Data.Len(), j.None == nil)
	for lines.Scan() {
		copy(j.Data.View(), bytes.ToUpper(j.Data.View()))
		fmt.Fprintln(out, "done")
	}
	portable.Return(&j)
	return nil
}

func newBytes(t *testing.T, n int) *shm.Bytes {
	t.Helper()
	b, err := shm.NewBytes(n)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// cross sends v as if to another process and decodes it into to.
func cross(t *testing.T, v, to any) {
	t.Helper()
	var p parcel.Parcel
	if err := portable.Pack("input", v, &p); err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	data, err := cbor.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := cbor.Unmarshal(data, to); err != nil {
		t.Fatal(err)
	}
}

func TestBytesAreTheSameElsewhere(t *testing.T) {
	b := newBytes(t, 11)
	defer b.Close()
	copy(b.View(), "hello world")
	o := start(t, "upper", &bytesJob{Name: "job", Data: b})
	if got := o.hear(); got != "job 11 true" {
		t.Errorf("it arrived as %q", got)
	}
	o.say("go")
	o.hear()
	if got := string(b.View()); got != "HELLO WORLD" {
		t.Errorf("the other process left %q", got)
	}
	o.end(false)
}

func TestBytesAreUsedAgainOnlyWhenAllAreClosed(t *testing.T) {
	defer pool.Shared().Trim()
	first := newBytes(t, 100_000)
	at := &first.View()[0]
	var arrived bytesJob
	cross(t, &bytesJob{Data: first}, &arrived)
	first.Close()
	other := newBytes(t, 100_000)
	if &other.View()[0] == at {
		t.Fatal("memory that is in use elsewhere was given out")
	}
	clone, err := arrived.Data.Clone()
	if err != nil {
		t.Fatal(err)
	}
	portable.Return(&arrived)
	if arrived.Data.View() != nil || arrived.Data.Len() != 0 {
		t.Error("what was returned can be seen")
	}
	third := newBytes(t, 100_000)
	if &third.View()[0] == at {
		t.Fatal("memory that a clone uses was given out")
	}
	clone.Close()
	clone.Close() // once more is nothing
	again := newBytes(t, 100_000)
	if &again.View()[0] != at {
		t.Error("free memory was not used again")
	}
	for _, b := range []*shm.Bytes{other, third, again} {
		b.Close()
	}
}

func TestBytesUnderWayAreKept(t *testing.T) {
	defer pool.Shared().Trim()
	b := newBytes(t, 100_000)
	at := &b.View()[0]
	var p parcel.Parcel
	if err := portable.Pack("output", b, &p); err != nil {
		t.Fatal(err)
	}
	data, err := cbor.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	b.Close() // as an engine does with an output that it has encoded
	other := newBytes(t, 100_000)
	defer other.Close()
	if &other.View()[0] == at {
		t.Fatal("memory that is under way was given out")
	}
	var arrived shm.Bytes
	if err := cbor.Unmarshal(data, &arrived); err != nil {
		t.Fatal(err)
	}
	p.Close()
	arrived.Close()
	again := newBytes(t, 100_000)
	defer again.Close()
	if &again.View()[0] != at {
		t.Error("after the arrival was closed it was not used again")
	}
	var late shm.Bytes
	if err := cbor.Unmarshal(data, &late); err == nil || !strings.Contains(err.Error(), "closed before it arrived") {
		t.Errorf("what was sent in an earlier use arrived: %v", err)
	}
}

func TestBytesThatWereNotSentAreFree(t *testing.T) {
	defer pool.Shared().Trim()
	b := newBytes(t, 100_000)
	at := &b.View()[0]
	var p parcel.Parcel
	if err := b.Carry(&p); err != nil {
		t.Fatal(err)
	}
	data := must(cbor.Marshal(b))
	p.Abandon()
	b.Close()
	if err := new(shm.Bytes).UnmarshalCBOR(data); err == nil || !strings.Contains(err.Error(), "closed before it arrived") {
		t.Errorf("what everybody has closed arrived: %v", err)
	}
	again := newBytes(t, 100_000)
	defer again.Close()
	if &again.View()[0] != at {
		t.Error("it was not used again")
	}
}

func TestBytesRefuse(t *testing.T) {
	if _, err := shm.NewBytes(-1); err == nil {
		t.Error("-1 bytes were made")
	}
	empty := newBytes(t, 0)
	if v := empty.View(); v == nil || len(v) != 0 {
		t.Errorf("no bytes are %v", v)
	}
	empty.Close()
	for name, b := range map[string]*shm.Bytes{"closed": empty, "zero": new(shm.Bytes)} {
		if err := portable.Pack("input", b, new(parcel.Parcel)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: carried, %v", name, err)
		}
		if _, err := cbor.Marshal(b); err == nil {
			t.Errorf("%s: encoded", name)
		}
		if _, err := b.Clone(); err == nil {
			t.Errorf("%s: cloned", name)
		}
	}
	b := newBytes(t, 10)
	defer b.Close()
	for _, args := range [][]uint64{{1 << 40, 1}, {1 << 63, 1}, {10, 1 << 40}, {10, 77}, {10}} {
		data, err := parcel.MarshalRef(parcel.Ref{What: "shm.Bytes", Key: keyOf(t, b), Args: args})
		if err != nil {
			t.Fatal(err)
		}
		if err := new(shm.Bytes).UnmarshalCBOR(data); err == nil {
			t.Errorf("a lie with %v was believed", args)
		}
	}
}

func keyOf(t *testing.T, b *shm.Bytes) segment.Key {
	t.Helper()
	var p parcel.Parcel
	defer p.Abandon()
	if err := b.Carry(&p); err != nil {
		t.Fatal(err)
	}
	return p.Segments()[0].Key()
}

func TestForgottenBytesAreClosed(t *testing.T) {
	pool.Shared().Trim()
	n0, _ := segment.Count()
	for range 10 {
		newBytes(t, 4096) // never viewed, so nobody can miss it
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		runtime.GC()
		pool.Shared().Trim()
		if n, _ := segment.Count(); n <= n0 {
			break
		} else if time.Now().After(end) {
			t.Fatalf("after a minute %d segments are left over", n-n0)
		}
	}
	view := newBytes(t, 4096).View()
	for range 3 {
		runtime.GC()
		pool.Shared().Trim()
	}
	view[0] = 1 // a fault if it was unmapped
}

func TestBytesMemoryStaysFlat(t *testing.T) {
	pool.Shared().Trim()
	n0, _ := segment.Count()
	for range 1000 {
		in := newBytes(t, 1<<20)
		in.View()[0] = 1
		var arrived bytesJob
		cross(t, &bytesJob{Data: in}, &arrived)
		portable.Return(&arrived)
		in.Close()
	}
	if n, _ := segment.Count(); n > n0+2 {
		t.Errorf("%d segments for one at a time", n-n0)
	}
	pool.Shared().Trim()
}
