package process_test

import (
	"bytes"
	"context"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/process"
)

// A block is what a job gives back: its input, and many bytes.
type block struct {
	N    int
	Data []byte
}

var fill = tristrand.Define("faults.fill", func(_ context.Context, in block) (block, error) {
	return block{in.N, bytes.Repeat([]byte{byte(in.N)}, 12<<10)}, nil
})

// A function given to OnDone may submit while the queue and the rings are full, and
// whoever is to make room is the one that calls it.
func TestOnDoneSubmitsWhileAllIsFull(t *testing.T) {
	ctx := adopt(t)
	p := open(t, &process.Pool{Workers: 2, Queue: 4})
	const first, more = 200, 3
	var all sync.WaitGroup
	all.Add(first * (1 + more))
	var again func(n int) func(*tristrand.Future[block])
	again = func(n int) func(*tristrand.Future[block]) {
		return func(f *tristrand.Future[block]) {
			defer all.Done()
			if b, err := f.TryResult(); err != nil || len(b.Data) != 12<<10 {
				t.Errorf("a job has given %d bytes, %v", len(b.Data), err)
			}
			if n > 0 {
				fill.Submit(ctx, p, block{n, make([]byte, 8<<10)}).OnDone(again(n - 1))
			}
		}
	}
	for range first {
		f := fill.Submit(ctx, p, block{1, make([]byte, 8<<10)})
		f.OnDone(again(more))
		if _, err := f.Result(ctx); err != nil {
			t.Fatal(err)
		}
	}
	wait(ctx, t, &all, "all jobs are done")
	works(ctx, t, p, 2)
}

func wait(ctx context.Context, t *testing.T, all *sync.WaitGroup, what string) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		all.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		t.Fatalf("it does not come to this: %s", what)
	}
}

// Who waits for a result may be the one that takes others' results from the ring, too,
// and calls their functions.
func TestOnDoneOfOthersSubmits(t *testing.T) {
	ctx := adopt(t)
	p := open(t, &process.Pool{Workers: 1, Queue: 1})
	for range times(300, 20_000) {
		if n, err := echo.Call(ctx, p, 1); n != 1 || err != nil { // now the next one is fetched
			t.Fatal(n, err)
		}
		var all sync.WaitGroup
		all.Add(3)
		f := echo.Submit(ctx, p, 2)
		go func() {
			echo.Submit(ctx, p, 3).OnDone(func(*tristrand.Future[int]) {
				defer all.Done()
				for range 2 {
					echo.Submit(ctx, p, 4).OnDone(func(*tristrand.Future[int]) { all.Done() })
				}
			})
		}()
		if n, err := f.Result(ctx); n != 2 || err != nil {
			t.Fatal(n, err)
		}
		wait(ctx, t, &all, "all jobs are done")
	}
}

// The same where the only worker has died, so that only the next one makes room.
func TestOnDoneOfTheDeadSubmits(t *testing.T) {
	ctx := adopt(t)
	p := open(t, &process.Pool{Workers: 1, Queue: 1, Stderr: new(lines)})
	for range times(5, 50) {
		var all sync.WaitGroup
		all.Add(3)
		f := die.Submit(ctx, p, "exit")
		f.OnDone(func(*tristrand.Future[int]) {
			defer all.Done()
			for range 2 {
				echo.Submit(ctx, p, 1).OnDone(func(f *tristrand.Future[int]) {
					if n, err := f.TryResult(); n != 1 || err != nil {
						t.Errorf("a job gives %d, %v", n, err)
					}
					all.Done()
				})
			}
		})
		if n, err := echo.Call(ctx, p, 7); n != 7 || err != nil {
			t.Errorf("a job gives %d, %v", n, err)
		}
		wait(ctx, t, &all, "all jobs are done")
	}
}

// A function given to OnDone that ends its goroutine ends nothing else.
func TestOnDoneEndsTheGoroutine(t *testing.T) {
	ctx := adopt(t)
	reported := make(chan error, 100)
	tristrand.OnReport(func(_ context.Context, err error) { reported <- err })
	defer tristrand.OnReport(nil)
	p := open(t, &process.Pool{Workers: 1, Stderr: new(lines)})
	for range 3 {
		f, g := die.Submit(ctx, p, "exit"), echo.Submit(ctx, p, 3)
		go f.OnDone(func(*tristrand.Future[int]) { runtime.Goexit() }) // it may be done already
		go g.OnDone(func(*tristrand.Future[int]) { runtime.Goexit() })
		if n, err := g.Result(ctx); n != 3 || err != nil {
			t.Fatalf("a job gives %d, %v", n, err)
		}
	}
	works(ctx, t, p, 1)
	for range 6 {
		select {
		case <-reported:
		case <-ctx.Done():
			t.Fatal("not all of it is reported")
		}
	}
}

// A worker waits while its results are not taken, and a reader that is slow gets them
// all.
func TestASlowReader(t *testing.T) {
	ctx := adopt(t)
	p := open(t, &process.Pool{Workers: 1})
	if _, err := fill.Call(ctx, p, block{}); err != nil {
		t.Fatal(err)
	}
	hold := make(chan struct{})
	time.AfterFunc(50*time.Millisecond, func() { close(hold) }) // also when the job is done before OnDone
	first := fill.Submit(ctx, p, block{N: 1})
	first.OnDone(func(*tristrand.Future[block]) { <-hold })
	var all []*tristrand.Future[block]
	for n := range 100 {
		all = append(all, fill.Submit(ctx, p, block{N: n}))
	}
	for n, f := range all {
		if b, err := f.Result(ctx); b.N != n || err != nil || len(b.Data) != 12<<10 || b.Data[0] != byte(n) {
			t.Fatalf("job %d gives %d with %d bytes, %v", n, b.N, len(b.Data), err)
		}
	}
}

// Inputs and results of all sizes arrive: in the ring, as large as it can take, larger,
// and much larger.
func TestSizes(t *testing.T) {
	ctx := adopt(t)
	p := open(t, &process.Pool{Workers: 1})
	large := 100 << 20
	if racing && !soaking() {
		large = 16 << 20
	}
	sizes := []int{0, 1, 4096, 64 << 10, 1 << 20, large}
	for n := 15 << 10; n <= 17<<10; n += 64 {
		sizes = append(sizes, n, n+1, n+7)
	}
	for _, size := range sizes {
		in := bytes.Repeat([]byte{0, 1, 2, 3, 5, 7, 11}, size/7+1)[:size]
		out, err := mirror.Call(ctx, p, in)
		if err != nil || !bytes.Equal(out, in) {
			t.Errorf("of %d bytes come back %d, %v", size, len(out), err)
		}
		if size > 1<<20 {
			continue
		}
		b, err := copied.Call(ctx, p, block{size, in})
		if err != nil || b.N != size || !bytes.Equal(b.Data, in) {
			t.Errorf("of a struct with %d bytes come back %d, %v", size, len(b.Data), err)
		}
	}
}

var (
	mirror = tristrand.Define("faults.mirror", func(_ context.Context, b []byte) ([]byte, error) { return b, nil })
	copied = tristrand.Define("faults.copied", func(_ context.Context, b block) (block, error) { return b, nil })
)

// Descriptors and memory stay what they are over many jobs and restarts.
func TestNothingLeaks(t *testing.T) {
	ctx := adopt(t)
	p := open(t, &process.Pool{Workers: 2, Stderr: new(lines)})
	jobs := func(n int) {
		t.Helper()
		inputs := func(yield func(block) bool) {
			for i := range n {
				b := block{N: i}
				if i%50 == 0 {
					b.Data = make([]byte, 40<<10)
				}
				if !yield(b) {
					return
				}
			}
		}
		for b, err := range copied.Map(ctx, p, inputs, tristrand.Chunk(1)) {
			if err != nil {
				t.Fatal(b.N, err)
			}
		}
	}
	restarts := func(n int) {
		t.Helper()
		for range n {
			if _, err := die.Call(ctx, p, "exit"); exitOf(t, err).Code != 7 {
				t.Fatal(err)
			}
		}
	}
	jobs(2000)
	restarts(10)
	works(ctx, t, p, 2)
	before := usage()
	jobs(10_000)
	restarts(times(30, 1000))
	works(ctx, t, p, 2)
	var after use
	until(t, "descriptors, goroutines and memory are what they were", func() bool {
		after = usage()
		if after.descriptors <= before.descriptors+2 && after.goroutines <= before.goroutines+4 && after.heap < before.heap+(8<<20) {
			return true
		}
		if ctx.Err() != nil {
			t.Fatalf("before %+v, now %+v", before, after)
		}
		return false
	})
	t.Logf("before %+v, after %+v", before, after)
}

type use struct {
	descriptors, goroutines int
	heap                    uint64
}

func usage() use {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return use{descriptors(self), runtime.NumGoroutine(), m.HeapAlloc}
}
