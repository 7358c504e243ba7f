package shm

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"golang.org/x/sys/unix"

	"github.com/tristrand/tristrand/internal/segment"
)

func newStore(t testing.TB, size int) store {
	t.Helper()
	seg, err := segment.NewSparse("test", size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(seg.Release)
	return store{head: new(storeHead), seg: seg}
}

func (q store) mustPut(t testing.TB, item []byte) bool {
	t.Helper()
	s, err := q.now()
	if err != nil {
		t.Fatal(err)
	}
	if s, err = q.put(s, item); err != nil {
		return false
	}
	q.commit(s)
	return true
}

func (q store) mustTake(t testing.TB) []byte {
	t.Helper()
	s, err := q.now()
	if err != nil {
		t.Fatal(err)
	}
	s, item, err := q.take(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	q.commit(s)
	if err := q.relax(s); err != nil {
		t.Fatal(err)
	}
	return item
}

// fill returns n bytes that tell an item from another.
func fill(i, n int) []byte {
	b := make([]byte, n)
	for j := range b {
		b[j] = byte(i + j*7)
	}
	return b
}

func TestStoreGivesWhatWasPut(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		limit := rapid.SampledFrom([]int{64 << 10, 128 << 10, 1 << 20, 4 << 20}).Draw(rt, "limit")
		q := newStore(t, limit)
		var want [][]byte
		size := rapid.OneOf(rapid.IntRange(0, 100), rapid.IntRange(0, 40_000), rapid.IntRange(0, 1<<20))
		steps := rapid.SliceOfN(rapid.IntRange(0, 9), 1, 200).Draw(rt, "steps")
		more := rapid.IntRange(3, 7).Draw(rt, "puts of ten")
		for i, step := range steps {
			if step < more {
				item := fill(i, size.Draw(rt, "size"))
				s, _ := q.now()
				used := 0
				for _, w := range want {
					used += int(taken(len(w)))
				}
				if q.mustPut(t, item) {
					want = append(want, item)
				} else if used == 0 && int(taken(len(item))) <= limit {
					rt.Fatalf("an empty store of %d bytes refused %d: %v", limit, len(item), s)
				}
			} else if len(want) > 0 {
				if got := q.mustTake(t); !bytes.Equal(got, want[0]) {
					rt.Fatalf("item %d of %d bytes came as %d", i, len(want[0]), len(got))
				}
				want = want[1:]
			}
			if s, _ := q.now(); int(s.items) != len(want) {
				rt.Fatalf("%d items, want %d", s.items, len(want))
			}
		}
	})
}

// TestStoreHalfDone stops every operation before its last step, and goes on as
// another process would.
func TestStoreHalfDone(t *testing.T) {
	q := newStore(t, 256<<10)
	var want [][]byte
	for i := range 5000 {
		s, err := q.now()
		if err != nil {
			t.Fatal(err)
		}
		switch half := rand.IntN(2) == 0; {
		case half && len(want) > 0 && rand.IntN(2) == 0:
			next, _, err := q.take(s, nil)
			if err != nil {
				t.Fatal(err)
			}
			q.prepare(next)
		case half:
			next, err := q.put(s, fill(-i, rand.IntN(9000)))
			if err == nil && rand.IntN(2) == 0 {
				q.prepare(next) // and died before the store
			}
		case rand.IntN(2) == 0:
			if item := fill(i, rand.IntN(9000)); q.mustPut(t, item) {
				want = append(want, item)
			}
		case len(want) > 0:
			if got := q.mustTake(t); !bytes.Equal(got, want[0]) {
				t.Fatalf("step %d: another item came", i)
			}
			want = want[1:]
		}
	}
}

func TestStoreGivesMemoryBack(t *testing.T) {
	q := newStore(t, 64<<20)
	has := func() int64 {
		var st unix.Stat_t
		if err := unix.Fstat(q.seg.FD(), &st); err != nil {
			t.Fatal(err)
		}
		return st.Blocks * 512
	}
	for i := range 30 {
		if !q.mustPut(t, fill(i, 1<<20)) {
			t.Fatal("no room")
		}
	}
	for range 30 {
		q.mustTake(t)
	}
	if n := has(); n < 30<<20 {
		t.Fatalf("30 items of 1 MiB took %d bytes", n)
	}
	for i := range 3 * calmAfter {
		q.mustPut(t, fill(i, 64))
		q.mustTake(t)
	}
	if n := has(); n > bigRing {
		t.Errorf("after the rush it keeps %d bytes", n)
	}
}

func TestStoreFindsNonsense(t *testing.T) {
	good := storeState{head: 64, tail: 256, size: firstRing, items: 2}
	for _, spoil := range []func(*storeState){
		func(s *storeState) { s.size = 1 << 40 },
		func(s *storeState) { s.tail = firstRing + 8 },
		func(s *storeState) { s.head = 512 },
		func(s *storeState) { s.wrap = 128; s.tail = 100 },
		func(s *storeState) { s.items = 1 << 60 },
		func(s *storeState) { s.head = 256 },
		func(s *storeState) { s.head = 1 << 63 },
	} {
		q := newStore(t, firstRing)
		s := good
		spoil(&s)
		q.head.states[0] = s
		if got, err := q.now(); err == nil {
			t.Errorf("%+v was believed", got)
		}
	}
	for _, length := range []uint64{1 << 63, 1<<64 - 1, 185, 1 << 20} {
		q := newStore(t, firstRing)
		q.head.states[0] = good
		copy(q.seg.Bytes()[64:], fmt.Append(nil, ""))
		for i := range 8 {
			q.seg.Bytes()[64+i] = byte(length >> (8 * i))
		}
		if _, item, err := q.take(good, nil); err == nil {
			t.Errorf("an item of %d bytes was believed: %d", length, len(item))
		}
	}
}
