package conformance

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"runtime"
	"slices"

	"github.com/tristrand/tristrand"
)

// chunkRules are about the chunks of Map, those that Chunk asks for and those
// that an engine that is a Chunker does.
func chunkRules() []executorRule {
	return []executorRule{
		{"Map of many inputs, whatever the chunks", "order and bounded read-ahead, with the chunks chosen by Chunk or the engine", ofAll, anyWorld, chunkSizes},
		{"an input of a chunk fails alone, in whatever way", "an item's error is yielded and the rest go on; each input has an outcome of its own", ofAll, anyWorld, chunkFailures},
		{"a worker that dies in a chunk fails the input that it was at", "a worker's death fails only the job that it ran; nothing known to have run is run again", ofPortable, anyWorld, chunkCrash},
	}
}

// chunkings are ways to have chunks, or to leave them to the engine.
var chunkings = []way{
	{"default", nil},
	{"Chunk(2)", []tristrand.CallOption{tristrand.Chunk(2)}},
	{"Chunk(7)", []tristrand.CallOption{tristrand.Chunk(7)}},
	{"Chunk(100)", []tristrand.CallOption{tristrand.Chunk(100)}},
	{"Buffer(50)", []tristrand.CallOption{tristrand.Buffer(50)}},
	{"Buffer(20), Chunk(5)", []tristrand.CallOption{tristrand.Buffer(20), tristrand.Chunk(5)}},
}

func chunkSizes(ctx context.Context, x *trial) {
	n := x.many(500)
	for _, w := range chunkings {
		ex := x.open(ctx, 3, 8)
		read, i := 0, 0
		for v, err := range taskSquare.Map(ctx, ex, upTo(n, &read), w.opts...) {
			x.must(err, w.name)
			if v != i*i {
				x.Fatalf("%s: item %d is %d, want %d", w.name, i, v, i*i)
			}
			i++
		}
		seen := make([]bool, n*n)
		for v, err := range taskSquare.MapUnordered(ctx, ex, upTo(n, &read), w.opts...) {
			x.must(err, w.name)
			if v < 0 || v >= len(seen) || seen[v] {
				x.Fatalf("%s: MapUnordered yields %d, for the second time or out of bounds", w.name, v)
			}
			seen[v] = true
			i++
		}
		if i != 2*n || read != 2*n {
			x.Errorf("%s: %d items of %d inputs, want %d", w.name, i, read, 2*n)
		}
	}
}

// An endIn says how mixed shall end for an input.
type endIn struct {
	Dir string
	N   int
	How string // "", "error", "panic", "goexit", "exit"
}

// mixed says that it runs, and ends in a way.
func mixed(_ context.Context, in endIn) (int, error) {
	j := journal{in.Dir}
	if err := j.note(fmt.Sprintf("run %d %s", in.N, in.How)); err != nil {
		return 0, err
	}
	switch in.How {
	case "error":
		return 0, errors.New("an error of an input")
	case "panic":
		panic("a panic of an input")
	case "goexit":
		runtime.Goexit()
	case "exit":
		os.Exit(3)
	}
	return in.N, nil
}

// ends are inputs for mixed.
func (x *trial) ends(hows ...string) iter.Seq[endIn] {
	return func(yield func(endIn) bool) {
		for i, how := range hows {
			if !yield(endIn{x.dir, i, how}) {
				return
			}
		}
	}
}

// mapEnds maps mixed, and looks whether the inputs fail that are to, and whether
// each has run once. Inputs whose outcome is not known have run, and are no worse
// than that: their worker died before it could tell.
func (x *trial) mapEnds(ctx context.Context, w way, hows []string, check func(how string, err error)) {
	for _, ordered := range []bool{true, false} {
		ex := x.open(ctx, 2, 8)
		before := len(x.lines())
		mapper := taskMixed.MapUnordered
		if ordered {
			mapper = taskMixed.Map
		}
		var good []int
		i, bad, unknown := 0, 0, 0
		for v, err := range mapper(ctx, ex, x.ends(hows...), w.opts...) {
			switch {
			case err == nil:
				good = append(good, v)
			case slices.Contains(hows, "exit") && errors.Is(err, tristrand.ErrOutcomeUnknown):
				unknown++
			case ordered && i < len(hows):
				check(hows[i], err)
				fallthrough
			default:
				bad++
			}
			i++
		}
		if !ordered {
			slices.Sort(good)
		}
		want := 0
		for i, how := range hows {
			if how == "" {
				want++
			} else if slices.Contains(good, i) {
				x.Errorf("%s: the input %d, which ends by %s, has a value", w.name, i, how)
			}
		}
		if !slices.IsSorted(good) || len(good)+unknown < want || len(good) > want || len(good)+bad+unknown != len(hows) {
			x.Errorf("%s: the values %v, %d errors, %d not known, want %d values of %v", w.name, good, bad, unknown, want, hows)
		}
		ran := x.lines()[before:]
		slices.Sort(ran)
		if again := len(ran) - len(slices.Compact(slices.Clone(ran))); again != 0 || len(ran) != len(hows) {
			x.Errorf("%s: of %d inputs these ran, %d more than once: %v", w.name, len(hows), again, ran)
		}
	}
}

func chunkFailures(ctx context.Context, x *trial) {
	hows := []string{"", "error", "", "panic", "", "goexit", "", "", "goexit", "goexit", "panic", "", "error"}
	for _, w := range chunkings {
		x.mapEnds(ctx, w, hows, func(how string, err error) {
			var p *tristrand.PanicError
			switch {
			case how == "goexit":
				x.is(err, w.name+": a Goexit", tristrand.ErrGoexit)
			case errors.As(err, &p) != (how == "panic"):
				x.Errorf("%s: the error of an input that ends by %s is %v", w.name, how, err)
			}
		})
	}
}

func chunkCrash(ctx context.Context, x *trial) {
	if !x.CanKill {
		x.run.Skip("the executor cannot do without a worker that ends")
	}
	for _, hows := range [][]string{
		{"exit", "", "", ""},
		{"", "", "exit", "", "error", "", "exit"},
		{"", "exit", "exit", ""},
	} {
		for _, w := range chunkings {
			x.mapEnds(ctx, w, hows, func(how string, err error) {
				if own := err.Error() == "an error of an input"; own != (how == "error") {
					x.Errorf("%s: the error of an input that ends by %s is %v", w.name, how, err)
				}
			})
		}
	}
}
