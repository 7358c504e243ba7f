package batch

import (
	"slices"
	"testing"
)

// Jobs are printed as soon as all before them are, or are left out.
func TestOrder(t *testing.T) {
	var o order
	var got []int
	emit := func(j *job) { got = append(got, j.seq) }
	add := func(seq int) {
		t.Helper()
		if err := o.add(&job{seq: seq}, emit, nil); err != nil {
			t.Fatal(err)
		}
	}
	want := func(seqs ...int) {
		t.Helper()
		if !slices.Equal(got, seqs) {
			t.Errorf("printed %v, want %v", got, seqs)
		}
	}
	add(3)
	want()
	o.skip(1, emit)
	want()
	add(2)
	want(2, 3)
	o.skip(4, emit)
	o.skip(5, emit)
	add(6)
	want(2, 3, 6)
	add(9)
	add(8)
	want(2, 3, 6)
	o.flush(emit)
	want(2, 3, 6, 8, 9)
}
