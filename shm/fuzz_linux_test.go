package shm_test

import (
	"io"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/tristrand/tristrand/internal/parcel"
	"github.com/tristrand/tristrand/internal/portable"
	"github.com/tristrand/tristrand/shm"
)

// FuzzUnmarshal decodes what other processes could send: an error, or an object
// that works.
func FuzzUnmarshal(f *testing.F) {
	in := struct {
		B *shm.Bytes
		A *shm.Array[int32]
		Q *shm.Queue[string]
		V *shm.Value[pair]
		W *shm.Value[[]string]
		L *shm.Lock
	}{
		must(shm.NewBytes(5000)), must(shm.NewArray[int32](10)), must(shm.NewQueue[string]("", 3)),
		must(shm.NewValue("", pair{1, 2})), must(shm.NewValue("", []string{"a"})), must(shm.NewLock("")),
	}
	var p parcel.Parcel
	if err := portable.Pack("input", &in, &p); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { p.Close() })
	for _, v := range []any{in.B, in.A, in.Q, in.V, in.W, in.L} {
		f.Add(must(cbor.Marshal(v)))
	}
	f.Fuzz(unmarshalAll)
}

func unmarshalAll(t *testing.T, data []byte) {
	ctx := t.Context()
	var b shm.Bytes
	if b.UnmarshalCBOR(data) == nil {
		for i := range b.View() {
			b.View()[i]++
		}
	}
	var a shm.Array[int32]
	if a.UnmarshalCBOR(data) == nil {
		for i := range a.All() {
			if err := a.Set(i, 7); err != nil {
				t.Error(err)
			}
		}
	}
	var q shm.Queue[string]
	if q.UnmarshalCBOR(data) == nil {
		if err := q.TryPut(ctx, "hello"); err == nil {
			if v, err := q.TryGet(ctx); err != nil || v != "hello" {
				t.Errorf("%q came out, %v", v, err)
			}
		}
	}
	var v shm.Value[pair]
	if v.UnmarshalCBOR(data) == nil {
		if err := v.Store(ctx, pair{3, 6}); err != nil {
			t.Error(err)
		}
	}
	var w shm.Value[[]string]
	if w.UnmarshalCBOR(data) == nil {
		if _, err := w.Load(ctx); err != nil {
			t.Error(err)
		}
	}
	for _, c := range []io.Closer{&b, &a, &q, &v, &w} {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// FuzzPlaces decodes places in segments that have come: of all kinds, with numbers
// that make no sense.
func FuzzPlaces(f *testing.F) {
	b, a := must(shm.NewBytes(5000)), must(shm.NewArray[int32](10))
	q, v, w := must(shm.NewQueue[string]("", 3)), must(shm.NewValue("", pair{1, 2})), must(shm.NewValue("", []string{"a"}))
	var p parcel.Parcel
	for _, c := range []parcel.Carrier{b, a, q, v, w} {
		if err := c.Carry(&p); err != nil {
			f.Fatal(err)
		}
	}
	f.Cleanup(func() { p.Close() })
	whats := []string{"shm.Bytes", "shm.Array[int32]", "shm.Queue[string]", "Queue[string] items", "shm.Value[[]string]", "Value[[]string] bytes", "shm.RLock"}
	f.Add(0, 0, uint64(0), 2, uint64(5000), uint64(1), uint64(1), 0, 0, uint64(0))
	f.Add(1, 1, uint64(0), 1, uint64(10), uint64(0), uint64(1), 2, 2, uint64(128))
	f.Add(2, 2, uint64(128), 0, uint64(0), uint64(0), uint64(1), 3, 3, uint64(0))
	f.Fuzz(func(t *testing.T, what, seg int, offset uint64, args int, x, y, serial uint64, what2, seg2 int, offset2 uint64) {
		ref := func(what, seg int, offset uint64) []byte {
			all := p.Segments()
			return must(parcel.MarshalRef(parcel.Ref{
				What: whats[uint(what)%uint(len(whats))], Key: all[uint(seg)%uint(len(all))].Key(),
				Offset: offset, Args: []uint64{x, y}[:uint(args)%3],
			}))
		}
		first, second := ref(what, seg, offset), ref(what2, seg2, offset2)
		object := must(cbor.Marshal([]any{cbor.RawMessage(first), serial}))
		unmarshalAll(t, first)
		unmarshalAll(t, object)
		unmarshalAll(t, must(cbor.Marshal([]any{cbor.RawMessage(first), cbor.RawMessage(second)})))
		unmarshalAll(t, must(cbor.Marshal([]any{cbor.RawMessage(object), cbor.RawMessage(second)})))
	})
}
