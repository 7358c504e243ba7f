package process

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/child"
	"github.com/tristrand/tristrand/internal/kinds"
	"github.com/tristrand/tristrand/internal/registry"
	"github.com/tristrand/tristrand/thread"
)

var initialised atomic.Bool

// Init makes the program one that has worker processes. In a worker it does not
// return: the worker runs its jobs and ends. It comes before flags, files and
// goroutines; in a test binary it is
//
//	func TestMain(m *testing.M) {
//		process.Init()
//		os.Exit(m.Run())
//	}
//
// It closes the declarations: tristrand.Define and Propagate panic afterwards.
func Init() {
	if initialised.Swap(true) {
		return
	}
	registry.Freeze("process.Init")
	if files, worker := child.Enter(); worker {
		if other, ok := kinds.Lookup(os.Args[1:]); ok {
			other(files)
		}
		serve(files)
	}
}

func entered() bool { return initialised.Load() }

// Main is the main of a program that has worker processes: Init, then run as the
// program's first strand, as by thread.Main. The first SIGINT or SIGTERM ends its ctx,
// and the second one ends the program. When run returns, threads that are not daemons
// are waited for, and pools and processes that are open are closed, daemons killed. The
// program then ends with status 0, or after an error, which is written to stderr, with
// status 1.
func Main(run func(ctx context.Context) error) {
	Init()
	os.Exit(mainStatus(run))
}

func mainStatus(run func(ctx context.Context) error) int {
	end := func() {}
	defer func() { end() }()
	err := thread.Main(func(ctx context.Context) error {
		ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
		end = stop                   // not yet: threads and jobs that go on have this ctx
		context.AfterFunc(ctx, stop) // so that a second one ends the program
		return run(ctx)
	})
	closeOpen(context.Background()) // after the threads, which may use it
	if err != nil {
		_, _ = os.Stderr.WriteString(err.Error() + "\n") // there is nobody else to tell
		return 1
	}
	return 0
}

// open are the pools and processes that the program's end has to wait for.
var open struct {
	sync.Mutex
	all map[closer]struct{}
}

type closer interface {
	closeAtEnd(ctx context.Context) error
}

func list(c closer) {
	open.Lock()
	defer open.Unlock()
	if open.all == nil {
		open.all = make(map[closer]struct{})
	}
	open.all[c] = struct{}{}
}

func unlist(c closer) {
	open.Lock()
	defer open.Unlock()
	delete(open.all, c)
}

// closeOpen closes what nobody has closed, as a program does at its end.
func closeOpen(ctx context.Context) {
	for {
		open.Lock()
		all := make([]closer, 0, len(open.all))
		for c := range open.all {
			all = append(all, c)
		}
		open.Unlock()
		if len(all) == 0 {
			return
		}
		for _, c := range all {
			if err := c.closeAtEnd(ctx); err != nil {
				tristrand.Report(ctx, err)
			}
			unlist(c)
		}
	}
}
