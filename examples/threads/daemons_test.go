package threads_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/strand"
	"github.com/tristrand/tristrand/thread"
)

// onlyDaemons ends while its threads sleep: nobody waits for a daemon.
func onlyDaemons(ctx context.Context) error {
	for i := range 10 {
		// Daemon is an option of Start, so there is no setting it too late:
		// Python's setDaemon after start() is a RuntimeError.
		thread.Start(ctx, "", func(ctx context.Context) error {
			strand.Sleep(ctx, time.Hour)
			fmt.Println("daemon", i, "has slept")
			return nil
		}, thread.Daemon())
	}
	fmt.Println("the main thread ends")
	return nil
}

// shortAndLongDaemon has a foreground thread that keeps the program up until
// the short daemon is done, but not the long one.
func shortAndLongDaemon(ctx context.Context) error {
	var shortDone local.Event
	thread.Start(ctx, "short", func(ctx context.Context) error {
		fmt.Println("short daemon: done")
		return shortDone.Set(ctx)
	}, thread.Daemon())
	thread.Start(ctx, "long", func(ctx context.Context) error {
		strand.Sleep(ctx, time.Hour)
		fmt.Println("long daemon: done")
		return nil
	}, thread.Daemon())
	thread.Start(ctx, "foreground", func(ctx context.Context) error {
		shortDone.Wait(ctx)
		fmt.Println("foreground thread: done")
		return nil
	})
	return nil
}

// T06: the program ends with its last thread that is not a daemon; what daemons
// had not yet printed is missing.
func TestDaemonsEndWithTheProgram(t *testing.T) {
	tests := []struct{ program, want string }{
		{"only daemons", "the main thread ends\n"},
		{"short and long daemon", "short daemon: done\nforeground thread: done\n"},
	}
	for _, tt := range tests {
		t.Run(tt.program, func(t *testing.T) {
			if got := runProgram(t, tt.program); got != tt.want {
				t.Errorf("printed %q, want %q", got, tt.want)
			}
		})
	}
}

// T06: a thread knows whether it is a daemon.
func Example_isDaemon() {
	thread.Main(func(ctx context.Context) error {
		rest := func(context.Context) error { return nil }
		fmt.Println(thread.Start(ctx, "", rest).IsDaemon(), thread.Start(ctx, "", rest, thread.Daemon()).IsDaemon())
		return nil
	})
	// Output: false true
}
