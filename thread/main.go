package thread

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// Main calls fn as the program's first strand, named "main", then waits for the
// threads that are not daemons and closes the pools that are open, and returns
// fn's error. What daemons still do is cut off when the program ends. Threads
// that failed and that nobody has joined are reported, see tristrand.OnReport. A
// panic of fn is not caught. There can be one Main at a time.
//
// The body of main is usually
//
//	if err := thread.Main(run); err != nil {
//		log.Fatal(err)
//	}
func Main(fn func(ctx context.Context) error) error {
	if fn == nil {
		panic("thread: Main: the function is nil")
	}
	ctx, leave := strand.Become(context.Background(), strand.Options{Kind: strand.Main, Name: "main"})
	defer leave()
	t := &Thread{end: &ending{name: "main"}}
	self := strand.Current(ctx)
	t.s.Store(self)
	registry.Lock()
	if registry.main != nil {
		registry.Unlock()
		return errors.New("thread: Main is running already; a program has one")
	}
	registry.main = t
	registry.Unlock()
	register(t)
	self.Local(currentKey{}, func() any { return t })
	defer func() {
		registry.Lock()
		registry.main = nil
		delete(registry.threads, t)
		registry.Unlock()
	}()

	err := fn(ctx)
	for waitForOthers(ctx, t) || closePools(ctx) {
	}
	reportFailed()
	return err
}

// MainThread returns the thread of Main, nil if Main is not running.
func MainThread() *Thread {
	registry.Lock()
	defer registry.Unlock()
	return registry.main
}

// waitForOthers joins the threads that keep the program up. It reports whether
// there were any.
func waitForOthers(ctx context.Context, self *Thread) bool {
	waited := false
	for t := range All() {
		if t == self || t.daemon {
			continue
		}
		waited = true
		before := t.end.wanted()
		if err := t.Join(context.WithoutCancel(ctx)); err != nil && !before {
			tristrand.Report(ctx, fmt.Errorf("thread %q, which nobody joined: %w", t.Name(), err))
		}
	}
	return waited
}

// reportFailed tells of the errors of threads that ended before anybody waited:
// the program is about to end, and will not collect their handles.
func reportFailed() {
	registry.Lock()
	failed := slices.Collect(maps.Keys(registry.failed))
	registry.Unlock()
	for _, e := range failed {
		e.report()
	}
}

// closePools lets the pools that nobody has closed do the work that they have
// accepted. It reports whether there were any.
func closePools(ctx context.Context) bool {
	registry.Lock()
	open := make([]*Pool, 0, len(registry.pools))
	for p := range registry.pools {
		open = append(open, p)
	}
	registry.Unlock()
	for _, p := range open {
		if err := p.Close(ctx); err != nil {
			tristrand.Report(ctx, fmt.Errorf("thread: closing %v, which nobody closed: %w", p, err))
		}
	}
	return len(open) > 0
}
