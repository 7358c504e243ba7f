package tristrand_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// taken returns the sizes of the chunks that have run.
func (c *crossing) taken() []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.sizes)
}

// TestMapChoosesChunks has an engine ask for chunks.
func TestMapChoosesChunks(t *testing.T) {
	ctx := asStrand(t)
	const n = 20_000
	for _, tt := range []struct {
		name        string
		target      time.Duration
		max         int
		opts        []tristrand.CallOption
		least, most int // of the greatest chunk
	}{
		{"as many as it wants", time.Hour, 300, nil, 300, 300},
		{"few for each of the workers", time.Hour, 300, []tristrand.CallOption{tristrand.Buffer(64)}, 16, 16},
		{"one by one when little is read ahead", time.Hour, 300, []tristrand.CallOption{tristrand.Buffer(3)}, 1, 1},
		{"one by one with a time limit", time.Hour, 300, []tristrand.CallOption{tristrand.Timeout(time.Hour)}, 1, 1},
		{"as Chunk says", time.Hour, 300, []tristrand.CallOption{tristrand.Chunk(50)}, 50, 50},
		{"as Chunk says, more than is read ahead by default", time.Hour, 300, []tristrand.CallOption{tristrand.Chunk(2000)}, 2000, 2000},
		{"one by one when each takes long", time.Nanosecond, 300, nil, 1, 1},
		{"one by one when it does not want more", time.Hour, 1, nil, 1, 1},
		{"one by one without a target", 0, 300, nil, 1, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for name, m := range mappersOf(square) {
				ex := newCrossing(t, &crossing{workers: 2, target: tt.target, max: tt.max})
				i, sum, want := 0, 0, 0
				for v, err := range m(ctx, ex, count(n), tt.opts...) {
					if err != nil || name == "Map" && v != i*i {
						t.Fatalf("%s: item %d is %d, %v", name, i, v, err)
					}
					sum, want = sum+v, want+i*i
					i++
				}
				if i != n || sum != want {
					t.Errorf("%s: %d items with the sum %d, want %d with %d", name, i, sum, n, want)
				}
				sizes := ex.taken()
				if most := slices.Max(sizes); most < tt.least || most > tt.most {
					t.Errorf("%s: the greatest of %d chunks has %d inputs, want %d to %d", name, len(sizes), most, tt.least, tt.most)
				}
				if tt.opts == nil && sizes[0] != 1 {
					t.Errorf("%s: the first chunk has %d inputs", name, sizes[0])
				}
			}
		})
	}
}

// TestMapDoesNotKeepInputsWaiting has inputs that come slowly after many that
// came quickly: they must go to the workers as they come.
func TestMapDoesNotKeepInputsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, leave := strand.Adopt(t.Context(), "test")
		defer leave()
		ex := newCrossing(t, &crossing{workers: 2, target: 20 * time.Millisecond, max: 1 << 10})
		const quick, slow = 20_000, 100
		in := func(yield func(int) bool) {
			for i := range quick {
				if !yield(i) {
					return
				}
			}
			for i := range slow {
				time.Sleep(30 * time.Millisecond) // longer than the target: the next is not waited for
				if !yield(quick + i) {
					return
				}
				synctest.Wait()
				if kept := quick + i + 1 - ex.inputs(); i > 32 && kept > 0 { // two groups may go together
					t.Errorf("%d inputs that have come, the last one %d, were not sent", kept, i)
				}
			}
		}
		n := 0
		for _, err := range square.Map(ctx, ex, in) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if sizes := ex.taken(); n != quick+slow || slices.Max(sizes) < 1<<10 {
			t.Errorf("%d items, and the greatest chunk has %d inputs", n, slices.Max(sizes))
		}
	})
}

// inputs returns how many inputs have reached a worker.
func (c *crossing) inputs() (sum int) {
	for _, n := range c.taken() {
		sum += n
	}
	return sum
}

// BenchmarkMapChunked is what Map itself costs for an input, with an engine that
// costs nothing.
func BenchmarkMapChunked(b *testing.B) {
	ctx := asStrand(b)
	for _, chunk := range []int{0, 64, 256, 1024} {
		b.Run(fmt.Sprintf("chunk=%d", chunk), func(b *testing.B) {
			ex := newCrossing(b, &crossing{workers: 1, plain: true, target: time.Millisecond, max: 4096})
			var opts []tristrand.CallOption
			if chunk > 0 {
				opts = append(opts, tristrand.Chunk(chunk))
			}
			b.ReportAllocs()
			for _, err := range square.Map(ctx, ex, count(b.N), opts...) {
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
