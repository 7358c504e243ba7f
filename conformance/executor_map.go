package conformance

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/tristrand/tristrand"
)

// mapRules are about Map and MapUnordered.
func mapRules() []executorRule {
	return []executorRule{
		{"Map yields the outcomes in the order of the inputs", "in input order, with any Buffer and Chunk", ofAll, anyWorld, mapOrder},
		{"MapUnordered yields each outcome once", "MapUnordered", ofAll, anyWorld, mapUnorderedAll},
		{"MapUnordered yields what is done first", "each outcome when it is there", ofAll, anyWorld, mapUnorderedFirst},
		{"an item's error is yielded and the rest go on", "an item's error is yielded and the rest go on", ofAll, anyWorld, mapErrors},
		{"nothing starts until it is ranged over", "nothing starts until it is ranged over", ofAll, anyWorld, mapLazy},
		{"Map of nothing", "Map", ofAll, anyWorld, mapEmpty},
		{"Map of an endless input, stopped early", "bounded read-ahead; stopping early", ofAll, anyWorld, mapEndless},
		{"no more inputs are read ahead than Buffer says", "Buffer bounds how many inputs are read ahead of the results taken", ofAll, anyWorld, mapBuffer},
		{"stopping early cancels, and waits for what runs", "cancels what has not started, cancels the ctx of what has, and waits for it", ofAll, anyWorld, mapStop},
		{"the end of ctx ends a Map", "what is done in time is yielded, then ctx's error", ofAll, anyWorld, mapContext},
		{"an input that panics does not leave jobs behind", "stopping early", ofAll, anyWorld, mapInputPanics},
		{"Map goes on after its executor is closed, with errors", "ErrClosed", ofAll, anyWorld, mapClosed},
		{"Map tries again as Retries says, alone in a chunk", "an input that fails is tried again alone", ofAll, anyWorld, mapRetries},
		{"Map can be ranged over again", "nothing starts until it is ranged over", ofAll, anyWorld, mapAgain},
		{"Close right after Map", "Close", ofAll, anyWorld, mapThenClose},
	}
}

// upTo yields 0 to n-1 and counts what was read.
func upTo(n int, read *int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range n {
			*read++
			if !yield(i) {
				return
			}
		}
	}
}

// A way is a way to call Map.
type way struct {
	name string
	opts []tristrand.CallOption
}

func ways(n int) []way {
	ws := []way{{"default", nil}}
	for _, b := range []int{-1, 0, 1, 2, n, 2 * n} {
		ws = append(ws, way{fmt.Sprintf("Buffer(%d)", b), []tristrand.CallOption{tristrand.Buffer(b)}})
	}
	for _, c := range []int{-1, 0, 1, 3, n, 2 * n} {
		ws = append(ws, way{fmt.Sprintf("Chunk(%d)", c), []tristrand.CallOption{tristrand.Chunk(c)}})
	}
	return append(ws, way{"Buffer(4), Chunk(3)", []tristrand.CallOption{tristrand.Buffer(4), tristrand.Chunk(3)}})
}

func mapOrder(ctx context.Context, x *trial) {
	x.mapSquares(ctx, taskSquare.Map, false)
}

func mapUnorderedAll(ctx context.Context, x *trial) {
	x.mapSquares(ctx, taskSquare.MapUnordered, true)
}

func (x *trial) mapSquares(ctx context.Context, mapper func(context.Context, tristrand.Executor, iter.Seq[int], ...tristrand.CallOption) iter.Seq2[int, error], sorted bool) {
	const n = 40
	var want []int
	for i := range n {
		want = append(want, i*i)
	}
	for _, w := range ways(n) {
		ex := x.open(ctx, 3, 8)
		var got []int
		read := 0
		for v, err := range mapper(ctx, ex, upTo(n, &read), w.opts...) {
			x.must(err, w.name)
			got = append(got, v)
		}
		if sorted {
			slices.Sort(got)
		}
		equal(x, w.name, got, want)
	}
}

// holds are inputs of the task that holds.
func (x *trial) holds(names ...string) iter.Seq[holdIn] {
	return func(yield func(holdIn) bool) {
		for _, name := range names {
			if !yield(holdIn{x.dir, name, false}) {
				return
			}
		}
	}
}

func mapUnorderedFirst(ctx context.Context, x *trial) {
	ex := x.open(ctx, 3, 8)
	x.release("c")
	next := map[string]string{"c": "b", "b": "a"}
	var got []string
	for v, err := range taskHold.MapUnordered(ctx, ex, x.holds("a", "b", "c")) {
		x.must(err, "an item")
		got = append(got, v)
		x.release(next[v])
	}
	equal(x, "the order", got, []string{"c", "b", "a"})
}

func mapErrors(ctx context.Context, x *trial) {
	for _, w := range ways(20) {
		ex := x.open(ctx, 3, 8)
		read, i := 0, 0
		for v, err := range taskOdd.Map(ctx, ex, upTo(20, &read), w.opts...) {
			if odd := i%2 == 1; odd != (err == nil) || odd && v != i {
				x.Errorf("%s: item %d is %d, %v", w.name, i, v, err)
			}
			i++
		}
		good, bad := 0, 0
		for _, err := range taskOdd.MapUnordered(ctx, ex, upTo(20, &read), w.opts...) {
			if err == nil {
				good++
			} else {
				bad++
			}
		}
		if i != 20 || good != 10 || bad != 10 {
			x.Errorf("%s: %d items of Map; %d values and %d errors of MapUnordered", w.name, i, good, bad)
		}
	}
}

func mapLazy(ctx context.Context, x *trial) {
	ex := x.open(ctx, 3, 8)
	read := 0
	seq, other := taskEcho.Map(ctx, ex, upTo(10, &read)), taskEcho.MapUnordered(ctx, ex, upTo(10, &read))
	x.settle(ctx)
	if st := ex.Stats(); read != 0 || st.Submitted != 0 {
		x.Errorf("before it is ranged over %d inputs were read and %d jobs submitted", read, st.Submitted)
	}
	_, _ = seq, other
}

func mapEmpty(ctx context.Context, x *trial) {
	for _, w := range ways(1) {
		ex := x.open(ctx, 3, 8)
		read := 0
		for v, err := range taskEcho.Map(ctx, ex, upTo(0, &read), w.opts...) {
			x.Errorf("%s: Map yields %v, %v", w.name, v, err)
		}
		for v, err := range taskEcho.MapUnordered(ctx, ex, upTo(0, &read), w.opts...) {
			x.Errorf("%s: MapUnordered yields %v, %v", w.name, v, err)
		}
	}
}

func mapEndless(ctx context.Context, x *trial) {
	for _, w := range ways(4) {
		ex := x.open(ctx, 2, 8)
		read, n := 0, 0
		for v, err := range taskEcho.Map(ctx, ex, upTo(1<<60, &read), w.opts...) {
			x.must(err, w.name)
			if v != n {
				x.Errorf("%s: item %d is %d", w.name, n, v)
			}
			if n++; n == 20 {
				break
			}
		}
		for _, err := range taskEcho.MapUnordered(ctx, ex, upTo(1<<60, &read), w.opts...) {
			x.must(err, w.name)
			if n++; n == 40 {
				break
			}
		}
		x.until(ctx, "the end of what was cancelled", func() bool { return ex.Stats().Queued == 0 })
	}
}

// mapBuffer looks at how far Map has read whenever a result is taken, and while
// it waits for the first.
func mapBuffer(ctx context.Context, x *trial) {
	for _, buffer := range []int{1, 2, 4, 7} {
		for _, chunk := range []int{1, 2, 3, 100} {
			ex := x.open(ctx, 2, 8)
			name := fmt.Sprintf("Buffer(%d), Chunk(%d)", buffer, chunk)
			opts := []tristrand.CallOption{tristrand.Buffer(buffer), tristrand.Chunk(chunk)}
			exact := buffer / min(chunk, buffer) * min(chunk, buffer) // whole chunks
			read, taken, most := 0, 0, 0
			counted := func(yield func(int) bool) {
				for v := range upTo(20, &read) {
					most = max(most, read-taken)
					if !yield(v) {
						return
					}
				}
			}
			for _, err := range taskEcho.Map(ctx, ex, counted, opts...) {
				x.must(err, name)
				taken++
			}
			if most != exact {
				x.Errorf("%s: Map read up to %d ahead, want %d", name, most, exact)
			}
			read, taken, most = 0, 0, 0
			for _, err := range taskEcho.MapUnordered(ctx, ex, counted, opts...) {
				x.must(err, name)
				taken++
			}
			if most > buffer {
				x.Errorf("%s: MapUnordered read up to %d ahead", name, most)
			}
		}
	}
}

func mapStop(ctx context.Context, x *trial) {
	for i, mapper := range mappers(taskHold) {
		ex := x.open(ctx, 2, 8)
		names := []string{fmt.Sprint("first ", i), fmt.Sprint("running ", i), fmt.Sprint("third ", i), fmt.Sprint("fourth ", i)}
		before := len(x.lines())
		p := x.start(ctx, "releaser", func(ctx context.Context) error {
			x.untilBegan(ctx, names[1])
			x.release(names[0])
			return nil
		})
		for v, err := range mapper(ctx, ex, x.holds(names...), tristrand.Buffer(4)) {
			x.must(err, v)
			break
		}
		x.joinAll(ctx, p)
		lines := x.lines()[before:]
		began := slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return !strings.HasPrefix(l, "begin ") })
		if !x.CanKill && 2*len(began) != len(lines) {
			x.Errorf("some of what began has not ended when the loop has: %v", lines)
		}
		x.must(ex.Close(ctx), "Close")
		equal(x, "what ran in the end", x.lines()[before:], lines)
		if st := ex.Stats(); st.Submitted > 4 || st.Succeeded != 1 || st.Failed+st.Cancelled != st.Submitted-1 || int(st.Succeeded+st.Failed) != len(began) {
			x.Errorf("of four jobs, the first one taken, the executor counts %+v; what ran: %v", st, lines)
		}
	}
}

// mappers are the two ways to map a task.
func mappers[In, Out any](t *tristrand.Task[In, Out]) []func(context.Context, tristrand.Executor, iter.Seq[In], ...tristrand.CallOption) iter.Seq2[Out, error] {
	return []func(context.Context, tristrand.Executor, iter.Seq[In], ...tristrand.CallOption) iter.Seq2[Out, error]{t.Map, t.MapUnordered}
}

func mapContext(ctx context.Context, x *trial) {
	x.release("in time")
	endless := func(yield func(holdIn) bool) {
		for i := 0; ; i++ {
			name := "too late"
			if i < 2 {
				name = "in time"
			}
			if !yield(holdIn{x.dir, name, false}) {
				return
			}
		}
	}
	for _, mapper := range mappers(taskHold) {
		ex := x.open(ctx, 2, 8)
		inner, cancel := x.withCancel(ctx)
		good, bad := 0, 0
		for _, err := range mapper(inner, ex, endless, tristrand.Buffer(3)) {
			if err != nil {
				x.is(err, "an item after the end of ctx", context.Canceled)
				if bad++; bad > 10 {
					x.Fatalf("Map goes on with an endless input although its ctx has ended")
				}
			} else if good++; good == 2 {
				cancel(errGaveUp)
			}
		}
		if good != 2 || bad == 0 || bad > 4 {
			x.Errorf("%d values and %d errors, want 2 and as many as were read ahead", good, bad)
		}
	}
}

func mapInputPanics(ctx context.Context, x *trial) {
	for _, after := range []int{0, 1, 5} {
		for _, w := range []way{{"", nil}, {"Chunk(3)", []tristrand.CallOption{tristrand.Chunk(3)}}} {
			ex := x.open(ctx, 2, 8)
			in := func(yield func(int) bool) {
				for i := range after {
					if !yield(i) {
						return
					}
				}
				panic("the input is broken")
			}
			func() {
				defer func() {
					if v := recover(); v != "the input is broken" {
						x.Errorf("recovered %v, want the input's panic", v)
					}
				}()
				for _, err := range taskEcho.Map(ctx, ex, in, w.opts...) {
					x.must(err, "an item before the panic")
				}
			}()
			x.until(ctx, "the end of the jobs", func() bool {
				st := ex.Stats()
				return st.Busy == 0 && st.Queued == 0
			})
		}
	}
}

func mapClosed(ctx context.Context, x *trial) {
	ex := x.open(ctx, 2, 8)
	i := 0
	read := 0
	for v, err := range taskEcho.Map(ctx, ex, upTo(8, &read), tristrand.Buffer(3)) {
		switch {
		case i < 3 && (err != nil || v != i):
			x.Errorf("item %d is %v, %v", i, v, err)
		case i >= 3:
			x.is(err, fmt.Sprintf("item %d, submitted after Close", i), tristrand.ErrClosed)
		}
		if i == 0 {
			x.must(ex.Close(ctx), "Close")
		}
		i++
	}
	if i != 8 {
		x.Errorf("%d items of 8", i)
	}
}

func mapRetries(ctx context.Context, x *trial) {
	for i, w := range []way{{"one by one", nil}, {"Chunk(3)", []tristrand.CallOption{tristrand.Chunk(3)}}} {
		ex := x.open(ctx, 2, 8)
		in := func(yield func(flakyIn) bool) {
			for k, fails := range []int{0, 1, 2, 9} {
				if !yield(flakyIn{x.dir, fmt.Sprintf("%d of %d", k, i), fails, "error"}) {
					return
				}
			}
		}
		var got []int
		for v, err := range taskFlaky.Map(ctx, ex, in, append(w.opts, tristrand.Retries(2), soon)...) {
			if err != nil {
				v = -1
			}
			got = append(got, v)
		}
		equal(x, w.name+": the tries at which the items succeeded", got, []int{1, 2, 3, -1})
		if n := x.tries(fmt.Sprintf("3 of %d", i)); n != 3 {
			x.Errorf("%s: %d tries of an item that fails always, want 3", w.name, n)
		}
		if n := x.tries(fmt.Sprintf("0 of %d", i)); n != 1 {
			x.Errorf("%s: %d tries of an item that succeeds", w.name, n)
		}
	}
}

func mapAgain(ctx context.Context, x *trial) {
	ex := x.open(ctx, 2, 8)
	read := 0
	seq := taskEcho.Map(ctx, ex, upTo(5, &read))
	for range 2 {
		var got []int
		for v, err := range seq {
			x.must(err, "an item")
			got = append(got, v)
		}
		equal(x, "the items", got, []int{0, 1, 2, 3, 4})
	}
	if read != 10 {
		x.Errorf("%d inputs were read, want 10", read)
	}
}

func mapThenClose(ctx context.Context, x *trial) {
	for range x.many(10) {
		ex := x.open(ctx, 2, 8)
		read := 0
		var got []int
		for v, err := range taskEcho.Map(ctx, ex, upTo(3, &read)) { // one more than there are workers
			x.must(err, "an item")
			if got = append(got, v); len(got) == 1 {
				x.must(ex.Close(ctx), "Close")
			}
		}
		equal(x, "the items", got, []int{0, 1, 2})
	}
}
