package rows

import (
	"context"
	"sync"

	"github.com/sasha-s/go-deadlock"
	"golang.org/x/sync/semaphore"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/bench/internal/measure"
	"github.com/tristrand/tristrand/local"
)

// uncontended compares taking and giving back a lock that nobody else wants.
func uncontended() []measure.Row {
	row := measure.Row{
		Name: "lock", What: "acquire and release, uncontended, ctx of the strand",
		Ours: oursLock("local.Lock", 0, new(local.Lock)), Floor: syncMutex(),
		Bound: measure.AtMost(2), Allocs: -1,
	}
	deep := row
	deep.Name, deep.What = "lock-4deep", "as lock, ctx four contexts below the strand's"
	deep.Ours, deep.Bound = oursLock("local.Lock", 4, new(local.Lock)), measure.AtMost(3)
	rows := against(row, syncMutex())
	row.Bound, row.Allocs = measure.Bound{}, 0
	rows = append(rows, against(row, channelMutex(), weighted(), goDeadlock(), python("python-lock", "lock"))...)
	rows = append(rows, against(deep, syncMutex())...)
	row.Name, row.What = "rlock", "as lock, re-entrant: acquired twice, released twice"
	row.Ours = oursRLock()
	return append(rows, against(row, goDeadlockTwice(), python("python-rlock", "rlock"))...)
}

func oursLock(name string, deep int, l tristrand.Locker) measure.Impl {
	return measure.Impl{Name: name, Open: func(ctx context.Context) (measure.Trial, error) {
		ctx, end := nested(ctx, deep)
		return measure.Trial{
			Run:   measure.Time(func(n int) error { return lockLoop(ctx, l, n) }),
			Close: func() error { end(); return nil },
		}, nil
	}}
}

// lockLoop calls a *local.Lock itself, not through its interface, as programs
// do.
func lockLoop(ctx context.Context, l tristrand.Locker, n int) error {
	lock, count := l.(*local.Lock), 0
	for range n {
		if err := lock.Acquire(ctx); err != nil {
			return err
		}
		count++
		if err := lock.Release(ctx); err != nil {
			return err
		}
	}
	return checkCount(count, n)
}

func checkCount(got, want int) error {
	if got != want {
		return wrong(got, want)
	}
	return nil
}

// nested returns a ctx that is n contexts below ctx: values and cancellations
// in turns, as in a server's handler.
func nested(ctx context.Context, n int) (context.Context, context.CancelFunc) {
	type key int
	end := func() {}
	for i := range n {
		if i%2 == 0 {
			ctx = context.WithValue(ctx, key(i), i)
			continue
		}
		outer := end
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		end = func() { cancel(); outer() }
	}
	return ctx, end
}

func oursRLock() measure.Impl {
	return under("local.RLock", func(ctx context.Context, n int) error {
		var l local.RLock
		count := 0
		for range n {
			for range 2 {
				if err := l.Acquire(ctx); err != nil {
					return err
				}
			}
			count++
			for range 2 {
				if err := l.Release(ctx); err != nil {
					return err
				}
			}
		}
		return checkCount(count, n)
	})
}

func syncMutex() measure.Impl {
	return plain("sync.Mutex", func(n int) error {
		var mu sync.Mutex
		count := 0
		for range n {
			mu.Lock()
			count++
			mu.Unlock()
		}
		return checkCount(count, n)
	})
}

// A channelLock is a channel with room for one: full while it is held.
type channelLock chan struct{}

func (c channelLock) Lock()   { c <- struct{}{} }
func (c channelLock) Unlock() { <-c }

func channelMutex() measure.Impl {
	return plain("channel-mutex", func(n int) error {
		mu := make(channelLock, 1)
		count := 0
		for range n {
			mu.Lock()
			count++
			mu.Unlock()
		}
		return checkCount(count, n)
	})
}

func weighted() measure.Impl {
	return under("x/sync-semaphore", func(ctx context.Context, n int) error {
		sem := semaphore.NewWeighted(1)
		count := 0
		for range n {
			if err := sem.Acquire(ctx, 1); err != nil {
				return err
			}
			count++
			sem.Release(1)
		}
		return checkCount(count, n)
	})
}

// goDeadlock is the lock that knows its holder and reports deadlocks, too.
func goDeadlock() measure.Impl {
	return plain("go-deadlock", func(n int) error {
		var mu deadlock.Mutex
		count := 0
		for range n {
			mu.Lock()
			count++
			mu.Unlock()
		}
		return checkCount(count, n)
	})
}

// goDeadlockTwice takes two locks: it has no re-entrant one.
func goDeadlockTwice() measure.Impl {
	return plain("go-deadlock-two", func(n int) error {
		var outer, inner deadlock.Mutex
		count := 0
		for range n {
			outer.Lock()
			inner.Lock()
			count++
			inner.Unlock()
			outer.Unlock()
		}
		return checkCount(count, n)
	})
}

// semaphores compares semaphores of four.
func semaphores() []measure.Row {
	row := measure.Row{
		Name: "semaphore", What: "acquire and release one of 4, uncontended",
		Ours: under("local.Semaphore", func(ctx context.Context, n int) error {
			sem := local.NewSemaphore(4)
			count := 0
			for range n {
				if err := sem.Acquire(ctx); err != nil {
					return err
				}
				count++
				if err := sem.Release(ctx, 1); err != nil {
					return err
				}
			}
			return checkCount(count, n)
		}),
	}
	return against(row, under("x/sync-semaphore", func(ctx context.Context, n int) error {
		sem := semaphore.NewWeighted(4)
		count := 0
		for range n {
			if err := sem.Acquire(ctx, 1); err != nil {
				return err
			}
			count++
			sem.Release(1)
		}
		return checkCount(count, n)
	}))
}
