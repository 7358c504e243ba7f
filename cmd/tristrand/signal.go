package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// The causes of a context that a signal ended.
var (
	errInterrupted = errors.New("stopped by Ctrl-C")
	errTerminated  = errors.New("stopped by SIGTERM")
)

// untilSignal returns a context that ends at Ctrl-C or SIGTERM. From then on
// the signals have their usual effect again, so that a second one ends the
// command at once.
//
// It also keeps SIGPIPE from killing the command: a write to a reader that
// went away then fails with EPIPE, and temporary files are still removed.
// (Notify, not Ignore: what is ignored stays ignored in child processes.)
func untilSignal(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	end := make(chan os.Signal, 1)
	signal.Notify(end, os.Interrupt, syscall.SIGTERM)
	broken := make(chan os.Signal, 1)
	notifyPipe(broken)

	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case s := <-end:
			signal.Stop(end)
			if s == syscall.SIGTERM {
				cancel(errTerminated)
			}
			cancel(errInterrupted)
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		cancel(nil)
		<-done
		signal.Stop(end)
		signal.Stop(broken)
	}
}

// interrupted gives err the exit code of the signal that ended ctx, unless it
// has a code of its own.
func interrupted(ctx context.Context, err error) error {
	var coded kong.ExitCoder
	switch {
	case errors.As(err, &coded):
		return err
	case errors.Is(context.Cause(ctx), errTerminated):
		return exitError{err, exitTerminated}
	default:
		return exitError{err, exitInterrupt}
	}
}
