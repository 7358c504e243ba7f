package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/tristrand/tristrand/cmd/tristrand/internal/batch"
	"github.com/tristrand/tristrand/cmd/tristrand/internal/builtin"
	"github.com/tristrand/tristrand/cmd/tristrand/internal/inputs"
	"github.com/tristrand/tristrand/cmd/tristrand/internal/joblog"
	"github.com/tristrand/tristrand/cmd/tristrand/internal/launch"
	"github.com/tristrand/tristrand/cmd/tristrand/internal/template"
	"github.com/tristrand/tristrand/process"
)

// duration is a time.Duration that may also be written as a number of seconds.
type duration time.Duration

// UnmarshalText reads 1m30s, 90 or 1.5.
func (d *duration) UnmarshalText(text []byte) error {
	s := string(text)
	v, err := time.ParseDuration(s)
	if err != nil {
		v, err = time.ParseDuration(s + "s")
	}
	switch {
	case err != nil:
		return fmt.Errorf("%q is no duration: want a number of seconds, or one with a unit, as in 500ms or 1h30m", s)
	case v <= 0:
		return fmt.Errorf("%q is no time to wait: it must be above 0", s)
	}
	*d = duration(v)
	return nil
}

// String writes it as time.Duration does.
func (d duration) String() string { return time.Duration(d).String() }

// feed is where the inputs come from.
type feed struct {
	inputs.Source
	file  *os.File // of --arg-file
	stdin bool     // they come from standard input
}

func (f *feed) close() {
	if f.file != nil {
		_ = f.file.Close()
	}
}

func (c *runCmd) openInputs() (*feed, error) {
	_, args, given, err := c.split()
	if err != nil {
		return nil, err
	}
	separator := byte('\n')
	if c.Null {
		separator = 0
	}
	switch {
	case given:
		return &feed{Source: inputs.Args(args)}, nil
	case c.ArgFile != "" && c.ArgFile != "-":
		f, err := os.Open(c.ArgFile)
		if err != nil {
			return nil, fmt.Errorf("--arg-file: %w", err)
		}
		return &feed{Source: inputs.Lines(f, c.ArgFile, separator), file: f}, nil
	}
	if term.IsTerminal(int(os.Stdin.Fd())) {
		fmt.Fprintln(os.Stderr, "tristrand run: reading inputs from the terminal, one on a line; Ctrl-D ends them (or give them after :::)")
	}
	return &feed{Source: inputs.Lines(os.Stdin, "standard input", separator), stdin: true}, nil
}

func (c *runCmd) launcher(in *feed) *launch.Launcher {
	l := &launch.Launcher{
		Grace: time.Duration(c.Grace), MemoryLimitBytes: int64(c.Memory),
		Held: func(cmd *launch.Command) {
			fmt.Fprintf(os.Stderr, "tristrand run: %s has ended, but a process that it left behind holds its output open; waiting for it\n",
				template.Line(cmd.Args))
		},
	}
	// A process group in the background that reads the terminal is suspended.
	if !in.stdin && !term.IsTerminal(int(os.Stdin.Fd())) {
		l.Stdin = os.Stdin
	}
	if batch.Readable(os.Stdout) {
		l.Watch = os.Stdout
	}
	return l
}

// work returns what is done for each input, and a function that ends what it needs.
func (c *runCmd) work(l *launch.Launcher, workers int) (_ batch.Work, done func(), err error) {
	done = func() {}
	if c.Engine == "cluster" {
		return c.remoteWork(workers)
	}
	if c.Task == "" {
		w, err := c.commands(l)
		return w, done, err
	}
	spec, ok := builtin.Lookup(c.Task)
	if !ok {
		return nil, done, fmt.Errorf("--task %s: there is none of that name", c.Task)
	}
	if c.Engine != "process" {
		w, err := batch.NewTask(spec, time.Duration(c.Timeout))
		return w, done, err
	}
	pool := &process.Pool{
		Name: "run", Workers: workers, Queue: workers,
		MemoryLimitBytes: int64(c.Memory), JobGrace: time.Duration(c.Grace),
		Stderr: io.Discard, // a task prints nothing; what a crash says is with its job
	}
	done = func() { _ = pool.Close(context.Background()) } // nothing runs any more
	return batch.NewWorkerTask(spec, pool, time.Duration(c.Timeout)), done, nil
}

func (c *runCmd) template() (*template.Template, error) {
	words, _, _, err := c.split()
	if err != nil {
		return nil, err
	}
	if c.Shell {
		return template.NewShell("sh", words)
	}
	return template.New(words)
}

func (c *runCmd) commands(l *launch.Launcher) (batch.Work, error) {
	t, err := c.template()
	if err != nil {
		return nil, err
	}
	return batch.NewCommands(t, l, time.Duration(c.Timeout))
}

// minWorkerBytes is what a Go program needs to start.
const minWorkerBytes = 64 << 20

// validateMemory says what is wrong with --memory-limit.
func (c *runCmd) validateMemory() error {
	switch {
	case c.Memory == 0:
		return nil
	case c.Task != "" && c.Engine != "process":
		return fmt.Errorf("--memory-limit bounds processes: --task %s needs --engine process with it", c.Task)
	case c.Task != "" && c.Memory < minWorkerBytes:
		return fmt.Errorf("--memory-limit %v: a worker process needs 64M at least", c.Memory)
	case c.Task == "" && !launch.LimitsMemory:
		return errors.New("--memory-limit bounds commands on Linux only; here it is for a --task with --engine process")
	}
	return nil
}

// jobLog is the log of a run, if it has one.
type jobLog struct {
	*joblog.Log
	done *joblog.Done
}

func (l *jobLog) close() {
	if l.Log != nil {
		_ = l.Close() // each line has been written by itself
	}
}

func (c *runCmd) openLog() (*jobLog, error) {
	switch {
	case c.Joblog == "":
		return &jobLog{}, nil
	case c.DryRun && !c.Resume && !c.ResumeFailed:
		return &jobLog{}, nil // what is only shown leaves an old log as it is
	case !c.Resume && !c.ResumeFailed:
		log, err := joblog.Create(c.Joblog)
		return &jobLog{Log: log}, err
	}
	log, done, torn, err := joblog.Resume(c.Joblog)
	if err != nil {
		return nil, err
	}
	if torn {
		fmt.Fprintf(os.Stderr, "tristrand run: the last line of %s was cut off; its job runs again\n", c.Joblog)
	}
	return &jobLog{log, done}, nil
}

// errHangup is the cause of a context that SIGHUP ended.
var errHangup = errors.New("stopped by SIGHUP")

// untilKilled returns a ctx that ends at the first signal to stop, with a cause
// that says which, and a channel that is closed at the second. If the run has
// not ended a second later, because somebody holds up its output, the process
// ends without it.
func untilKilled(parent context.Context) (context.Context, <-chan struct{}, func()) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(parent))
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup
		signal.Notify(signals, syscall.SIGHUP)
	}
	kill := make(chan struct{})
	done := make(chan struct{})
	over := make(chan struct{})
	go func() {
		defer close(done)
		first := parent.Done()
		for n := 0; ; {
			select {
			case <-first:
				first = nil
				cancel(context.Cause(parent))
			case s := <-signals:
				if s == syscall.SIGHUP {
					cancel(errHangup)
				}
				if n++; n == 2 {
					cancel(errInterrupted)
					close(kill)
					time.AfterFunc(time.Second, func() { os.Exit(exitInterrupt) })
				}
			case <-over:
				return
			}
		}
	}()
	return ctx, kill, func() {
		signal.Stop(signals)
		close(over)
		<-done
		cancel(nil)
	}
}

// outcome is the exit code of a run, and what it says at its end.
func (c *runCmd) outcome(counts batch.Counts, err error) error {
	failures := exitError{errors.New(""), min(counts.Failed, exitManyFailed)}
	if err == nil {
		if counts.Failed == 0 {
			return nil
		}
		return failures
	}
	var mismatch *joblog.MismatchError
	if c.Joblog != "" && counts.Read > 0 && !errors.As(err, &mismatch) {
		err = fmt.Errorf("%w (the same with --resume goes on from here)", err)
	}
	var halted *batch.HaltError
	switch {
	case errors.As(err, &halted) && halted.Policy.OnSuccess():
		return exitError{err, 0}
	case errors.As(err, &halted):
		return exitError{err, failures.code}
	case errors.Is(err, errInterrupted):
		return exitError{err, exitInterrupt}
	case errors.Is(err, errTerminated):
		return exitError{err, exitTerminated}
	case errors.Is(err, errHangup):
		return exitError{err, exitHangup}
	case errors.Is(err, batch.ErrOutputClosed):
		return exitError{err, exitPipe}
	}
	return exitError{err, exitRunUsage}
}

// Exit codes of run beside those in cli.go.
const (
	exitManyFailed = 101
	exitHangup     = 129
)
