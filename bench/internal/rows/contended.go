package rows

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sasha-s/go-deadlock"

	"github.com/tristrand/tristrand/bench/internal/measure"
	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/thread"
)

const contenders = 8

// contended compares eight threads that want one lock.
func contended() []measure.Row {
	row := measure.Row{
		Name: "lock-8", What: "8 threads acquire, count, release; throughput",
		Ours: oursContended(0), Floor: syncContended(0),
		Bound: measure.AtLeast(0.8), Allocs: -1,
	}
	work := row
	work.Name, work.What = "lock-8-work", "as lock-8, with 100 ns of work inside and outside"
	work.Ours, work.Floor = oursContended(inside), syncContended(inside)
	rows := against(row, syncContended(0))
	row.Bound, row.Allocs = measure.Bound{}, 0
	rows = append(rows, against(row,
		mutexContended("channel-mutex", func() sync.Locker { return make(channelLock, 1) }),
		mutexContended("go-deadlock", func() sync.Locker { return new(deadlock.Mutex) }),
		python("python-lock", "contended"))...)
	return append(rows, against(work, syncContended(inside))...)
}

// waits compares the longest time that any of the eight threads waits in a
// run. It is measured apart: reading the clock is longer than holding a lock.
func waits() []measure.Row {
	row := measure.Row{
		Name: "longest-wait", What: "longest wait of any of 8 threads for the lock in a run",
		Unit: measure.Nanos,
		Ours: waitImpl("local.Lock", func(ctx context.Context) func(body func(lock, unlock func() error) error) error {
			var l local.Lock
			return func(body func(lock, unlock func() error) error) error {
				return eachThread(ctx, func(ctx context.Context) error {
					return body(func() error { return l.Acquire(ctx) }, func() error { return l.Release(ctx) })
				})
			}
		}),
	}
	return against(row, waitImpl("sync.Mutex", func(context.Context) func(body func(lock, unlock func() error) error) error {
		var mu sync.Mutex
		return func(body func(lock, unlock func() error) error) error {
			return eachGoroutine(func() error {
				return body(func() error { mu.Lock(); return nil }, func() error { mu.Unlock(); return nil })
			})
		}
	}))
}

// inside is so many rounds of work that they take about 100 ns.
const inside = 100

// spin works for about a nanosecond a round.
func spin(rounds int, x uint64) uint64 {
	for range rounds {
		x = x*6364136223846793005 + 1442695040888963407
	}
	return x
}

func oursContended(work int) measure.Impl {
	return under("local.Lock", func(ctx context.Context, n int) error {
		var l local.Lock
		count, mixed := 0, uint64(0)
		each := n/contenders + 1
		err := eachThread(ctx, func(ctx context.Context) error {
			own := uint64(0)
			for range each {
				if err := l.Acquire(ctx); err != nil {
					return err
				}
				count++
				mixed = spin(work, mixed)
				if err := l.Release(ctx); err != nil {
					return err
				}
				own = spin(work, own)
			}
			return checkSpin(work*each, own)
		})
		return errors.Join(err, checkCount(count, each*contenders), checkSpin(work*each*contenders, mixed))
	})
}

func syncContended(work int) measure.Impl {
	return plain("sync.Mutex", func(n int) error {
		var mu sync.Mutex
		count, mixed := 0, uint64(0)
		each := n/contenders + 1
		err := eachGoroutine(func() error {
			own := uint64(0)
			for range each {
				mu.Lock()
				count++
				mixed = spin(work, mixed)
				mu.Unlock()
				own = spin(work, own)
			}
			return checkSpin(work*each, own)
		})
		return errors.Join(err, checkCount(count, each*contenders), checkSpin(work*each*contenders, mixed))
	})
}

func mutexContended(name string, open func() sync.Locker) measure.Impl {
	return plain(name, func(n int) error {
		mu := open()
		count := 0
		each := n/contenders + 1
		err := eachGoroutine(func() error {
			for range each {
				mu.Lock()
				count++
				mu.Unlock()
			}
			return nil
		})
		return errors.Join(err, checkCount(count, each*contenders))
	})
}

// checkSpin says whether work has been done: 0 is a fixed point of none.
func checkSpin(rounds int, x uint64) error {
	if (rounds == 0) != (x == 0) {
		return wrong(x, rounds)
	}
	return nil
}

// eachThread runs fn on eight threads and joins them.
func eachThread(ctx context.Context, fn func(ctx context.Context) error) error {
	threads := make([]*thread.Thread, contenders)
	for i := range threads {
		threads[i] = thread.Start(ctx, "", fn)
	}
	var errs []error
	for _, t := range threads {
		errs = append(errs, t.Join(ctx))
	}
	return errors.Join(errs...)
}

func eachGoroutine(fn func() error) error {
	errs := make([]error, contenders)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = fn() })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// waitImpl makes an impl whose figure is the longest wait.
func waitImpl(name string, open func(ctx context.Context) func(body func(lock, unlock func() error) error) error) measure.Impl {
	return measure.Impl{Name: name, Open: func(ctx context.Context) (measure.Trial, error) {
		each := open(ctx)
		return measure.Trial{Run: func(n int) (float64, error) {
			var longest time.Duration // guarded by the lock
			count, turns := 0, n/contenders+1
			err := each(func(lock, unlock func() error) error {
				for range turns {
					begin := time.Now()
					if err := lock(); err != nil {
						return err
					}
					longest = max(longest, time.Since(begin))
					count++
					if err := unlock(); err != nil {
						return err
					}
				}
				return nil
			})
			return float64(longest), errors.Join(err, checkCount(count, turns*contenders))
		}}, nil
	}}
}
