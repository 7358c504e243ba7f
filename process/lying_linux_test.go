package process_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/process"
)

type lie struct{ Pool, Way string }

// harmless are the lies that nobody can find out, and need not.
var harmless = map[string]bool{
	"the lane is cut":                true, // it cannot be
	"a mark that it has not reached": true,
	"the head of the jobs":           true,
}

// deceive tells a lie, and returns or waits until it is found out.
var deceive = tristrand.Define("faults.deceive", func(_ context.Context, l lie) (int, error) {
	if err := process.Lie(l.Pool, l.Way); err != nil {
		return 0, err
	}
	if !harmless[l.Way] {
		select {}
	}
	return 77, nil
})

// A worker that lies costs its own job at most: those of others go on, the pool has its
// workers back, and nothing stays open.
func TestALyingWorker(t *testing.T) {
	ctx := adopt(t)
	for way := range process.Lies {
		t.Run(way, func(t *testing.T) {
			const workers = 2
			p := open(t, &process.Pool{Workers: workers, MemoryLimitBytes: 1 << 40, Stderr: new(lines)})
			works(ctx, t, p, workers)
			before := descriptors(self)
			l := newLedger(t)
			var all []*tristrand.Future[written]
			job := func(i int) *tristrand.Future[written] {
				return write.Submit(ctx, p, entry{Ledger: l, ID: i, For: time.Millisecond})
			}
			for i := range 3 { // now the pool knows that its jobs are too slow to be sent ahead
				if _, err := job(i).Result(ctx); err != nil {
					t.Fatal(err)
				}
			}
			for i := range 10 {
				all = append(all, job(i))
			}
			quiet := harmless[way]
			n, err := deceive.Call(ctx, p, lie{p.Name, way}, tristrand.Timeout(patience/2))
			var e *process.ExitError
			if quiet && (n != 77 || err != nil) || !quiet && !errors.As(err, &e) {
				t.Errorf("the job gives %d, %v", n, err)
			}
			for i, f := range all {
				if w, err := f.Result(ctx); w.ID != i || err != nil {
					t.Errorf("job %d gives %d, %v", i, w.ID, err)
				}
			}
			works(ctx, t, p, workers)
			until(t, "no descriptor is left", func() bool { return descriptors(self) <= before })
		})
	}
}

type scribble struct {
	Pool string
	N    int
}

var scribbling atomic.Bool

// vandal gives a result while another goroutine of its worker changes it.
var vandal = tristrand.Define("faults.vandal", func(_ context.Context, s scribble) ([]string, error) {
	if !scribbling.Swap(true) {
		if err := process.Scribble(s.Pool, make(chan struct{})); err != nil {
			return nil, err
		}
	}
	all := make([]string, s.N)
	for i := range all {
		all[i] = "a text of some length"
	}
	return all, nil
})

// What is decoded is not what is being changed.
func TestFramesThatChange(t *testing.T) {
	ctx := adopt(t)
	p := open(t, &process.Pool{Workers: 2, Stderr: new(lines)})
	wrong := 0
	for i := range times(300, 20_000) {
		if _, err := vandal.Call(ctx, p, scribble{p.Name, i % 500}); err != nil {
			wrong++
		}
	}
	t.Logf("%d of the results could not be read", wrong)
	// The vandals are still there: what they spoil is theirs.
	for _, pid := range workersOf(p.Name) {
		sigkill(pid)
	}
	until(t, "the pool works again", func() bool {
		_, err := echo.Call(ctx, p, 1)
		return err == nil
	})
	works(ctx, t, p, 2)
}

// Who wakes a worker, or one that fetches a result from it, may come when the worker is
// gone, and its lane with it.
func TestTheDeadAreWoken(t *testing.T) {
	if err := process.WakeTheDead(); err != nil {
		t.Fatal(err)
	}
}

// What a worker says last is heard, though it ends with something unread that it was
// sent: the system then reports a broken connection first.
func TestTheLastWordOfAWorker(t *testing.T) {
	if body, err := process.LastWord(); err != nil || body != "the last" {
		t.Errorf("got %q, %v", body, err)
	}
}
