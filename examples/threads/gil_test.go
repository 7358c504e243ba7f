package threads_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/strand"
	"github.com/tristrand/tristrand/thread"
)

// A meter sees how many threads are between two check-ins at once.
type meter struct {
	inside, most atomic.Int32
}

// work computes for a number of rounds, about 50 µs each, and checks in after
// each round. Python's interpreter checks in by itself; a Go loop has to say
// where it can be interrupted.
func (m *meter) work(ctx context.Context, rounds int) (x uint32) {
	for range rounds {
		now := m.inside.Add(1)
		for most := m.most.Load(); now > most && !m.most.CompareAndSwap(most, now); most = m.most.Load() {
		}
		for i := range uint32(50_000) {
			x = x*1664525 + i
		}
		m.inside.Add(-1)
		strand.Yield(ctx)
	}
	return x
}

const rounds = 1000

// twice has two threads work and returns how long they took together.
func (m *meter) twice(t *testing.T, opts ...thread.Option) time.Duration {
	ctx := t.Context()
	start := local.NewBarrier(2)
	began := time.Now()
	var threads []*thread.Thread
	for range 2 {
		threads = append(threads, thread.Start(ctx, "", func(ctx context.Context) error {
			_, err := start.Wait(ctx)
			m.work(ctx, rounds)
			return err
		}, opts...))
	}
	if err := joinAll(ctx, threads); err != nil {
		t.Error(err)
	}
	return time.Since(began)
}

// T21: two threads that compute under a global interpreter lock take as long as
// one after the other, and switch about every interval; free ones run at once
// and are faster by the number of processors.
func TestGlobalInterpreterLock(t *testing.T) {
	ctx := t.Context()
	serial := time.Hour
	for try := range 5 { // the machine may be busy with other things; the quickest counts
		var m meter
		began := time.Now()
		m.work(ctx, rounds)
		m.work(ctx, rounds)
		serial = min(serial, time.Since(began))

		gil := thread.NewGIL(0) // 5 ms, as in CPython
		m = meter{}
		locked := m.twice(t, thread.Under(gil))
		if most := m.most.Load(); most != 1 {
			t.Fatalf("%d threads ran at once under the lock", most)
		}
		// Nobody is asked to give way before the interval is over. (Twice as many
		// switches are allowed for, as the last one may have been late.)
		switches := gil.Switches()
		if most := uint64(2*locked/thread.DefaultInterval) + 4; switches > most {
			t.Fatalf("%d switches in %v, more than %d", switches, locked, most)
		}

		m = meter{}
		free := m.twice(t)
		t.Logf("serial %v, under the lock %v with %d switches, free %v", serial, locked, switches, free)
		if most := m.most.Load(); most == 2 && switches >= 2 && locked > serial/2 {
			return
		}
		t.Logf("try %d did not show it", try+1)
	}
	t.Errorf("threads under the lock never switched or took less than half the serial %v, or free ones never ran at once", serial)
}

// T21: who waits gives the lock up, so a call that blocks lets the other thread
// run.
func Example_blockingCallsReleaseTheGIL() {
	err := thread.Main(func(ctx context.Context) error {
		gil := thread.NewGIL(time.Hour) // nobody is made to give way
		var page local.Event
		reader := thread.Start(ctx, "reader", func(ctx context.Context) error {
			fmt.Println("reader: waits for a page")
			page.Wait(ctx)
			fmt.Println("reader: has a page")
			return nil
		}, thread.Under(gil))
		waitsForPage(ctx, &page)

		computer := thread.Start(ctx, "computer", func(ctx context.Context) error {
			fmt.Println("computer: computes meanwhile")
			page.Set(ctx)
			fmt.Println("computer: goes on until it ends")
			return nil
		}, thread.Under(gil))
		return joinAll(ctx, []*thread.Thread{reader, computer})
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// reader: waits for a page
	// computer: computes meanwhile
	// computer: goes on until it ends
	// reader: has a page
}

// waitsForPage returns when somebody waits on the event.
func waitsForPage(ctx context.Context, page *local.Event) {
	for state, _ := page.State(ctx); state.Waiting == 0; state, _ = page.State(ctx) {
		strand.Sleep(ctx, time.Millisecond)
	}
}

// T21: under a lock with a short interval the order of the turns is the order of
// asking: nobody is left out.
func TestGILTurnsGoRound(t *testing.T) {
	ctx := t.Context()
	gil := thread.NewGIL(time.Millisecond)
	var m meter
	var done [3]int
	var threads []*thread.Thread
	for i := range done {
		threads = append(threads, thread.Start(ctx, "", func(ctx context.Context) error {
			for done[0]+done[1]+done[2] < 600 { // guarded by the GIL: one thread runs at a time
				m.work(ctx, 1)
				done[i]++
			}
			return nil
		}, thread.Under(gil)))
	}
	if err := joinAll(ctx, threads); err != nil {
		t.Error(err)
	}
	t.Log("rounds of each:", done)
	if slices.Min(done[:]) == 0 {
		t.Errorf("somebody never ran: %v", done)
	}
}
