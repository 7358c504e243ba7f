package local_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/strand"
)

// patience is how long newcomers may overtake one who waits for a lock.
const patience = time.Millisecond

func lockers() map[string]func() tristrand.Locker {
	return map[string]func() tristrand.Locker{
		"Lock":  func() tristrand.Locker { return new(local.Lock) },
		"RLock": func() tristrand.Locker { return new(local.RLock) },
	}
}

// In fake time the longest wait is exact: patience, and then one turn of each
// strand that was there before.
func TestNobodyWaitsMuchLongerThanPatience(t *testing.T) {
	const strands, turns, hold = 8, 50, 100 * time.Microsecond
	for name, mk := range lockers() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := mk()
				var wg sync.WaitGroup
				var longest time.Duration // the lock guards it
				for i := range strands {
					wg.Add(1)
					strand.Go(t.Context(), strand.Options{Kind: strand.Thread, Name: fmt.Sprint("greedy ", i)}, func(ctx context.Context) {
						defer wg.Done()
						for range turns { // it comes back at once
							began := time.Now()
							if err := l.Acquire(ctx); err != nil {
								t.Error(err)
							}
							longest = max(longest, time.Since(began))
							if err := strand.Sleep(ctx, hold); err != nil {
								t.Error(err)
							}
							if err := l.Release(ctx); err != nil {
								t.Error(err)
							}
						}
					})
				}
				wg.Wait()
				if most := patience + (strands+1)*hold; longest > most {
					t.Errorf("a strand waited for %v, want %v at most", longest, most)
				}
			})
		})
	}
}

// On real threads nothing can be said about times, but about order: once a
// strand has been seen to wait for longer than patience, the others get the
// lock only if they were in the queue before it. There is an exception, which
// sync.Mutex has as well: while one that was woken before is kept from running
// by the machine, the rest may go on. So not every round is held to it.
func TestNobodyIsOvertakenAfterPatience(t *testing.T) {
	const hogs, rounds = 3, 40
	for name, mk := range lockers() {
		t.Run(name, func(t *testing.T) {
			l := mk()
			var patient atomic.Pointer[strand.Strand]
			var stop atomic.Bool
			var since time.Time // when a hog first saw it wait; the lock guards this and the count
			overtaken, good := 0, 0
			var wg sync.WaitGroup
			for i := range hogs {
				wg.Add(1)
				strand.Go(t.Context(), strand.Options{Kind: strand.Thread, Name: fmt.Sprint("hog ", i)}, func(ctx context.Context) {
					defer wg.Done()
					for !stop.Load() {
						if err := l.Acquire(ctx); err != nil {
							t.Error(err)
							return
						}
						switch p := patient.Load(); {
						case p == nil || p.Waiting() != l.(strand.Resource): // it sleeps, or is on its way
						case since.IsZero():
							since = time.Now()
						case time.Since(since) > patience:
							overtaken++
						}
						for began := time.Now(); time.Since(began) < 20*time.Microsecond; {
							runtime.Gosched()
						}
						if err := l.Release(ctx); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			wg.Add(1)
			strand.Go(t.Context(), strand.Options{Kind: strand.Thread, Name: "patient"}, func(ctx context.Context) {
				defer wg.Done()
				defer stop.Store(true)
				patient.Store(strand.Current(ctx))
				for range rounds {
					if err := l.Acquire(ctx); err != nil {
						t.Error(err)
						return
					}
					if overtaken <= hogs+1 { // one more may have been on its way when patience ended
						good++
					}
					since, overtaken = time.Time{}, 0
					if err := l.Release(ctx); err != nil {
						t.Error(err)
						return
					}
					if err := strand.Sleep(ctx, 50*time.Microsecond); err != nil {
						t.Error(err)
						return
					}
				}
			})
			wg.Wait()
			if good < rounds/2 {
				t.Errorf("a strand that had waited for %v was overtaken by more than %d in %d rounds of %d", patience, hogs+1, rounds-good, rounds)
			}
		})
	}
}
