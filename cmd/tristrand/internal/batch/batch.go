// Package batch runs a job for every input and reports each of them once.
//
// Every input becomes a job of one tristrand.Task on an Executor. A Work says
// what the job does: a child process or a built-in task. Its output is held
// back until the job is done, so that the outputs of two jobs never mix; then
// the worker itself prints it, logs it, and decides whether to go on.
//
// # Ends
//
// A run ends when the inputs do. It ends earlier when a halting policy is met,
// when its context ends, when standard output has lost its reader, or when it
// cannot go on itself: then no more inputs are taken, jobs that run are stopped
// (unless the policy lets them end), and the error is a *StoppedError that
// counts what was left. A job that was stopped counts as not run: it is neither
// printed nor logged.
//
// # Limits
//
// Inputs are taken as workers come free. In memory are a bounded number of jobs
// and, of each, at most 1 MiB of either stream; with KeepOrder the outputs that
// wait for an earlier job are in memory up to 32 MiB together and in one file
// beyond that.
package batch

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/cmd/tristrand/internal/halt"
	"github.com/tristrand/tristrand/cmd/tristrand/internal/inputs"
	"github.com/tristrand/tristrand/cmd/tristrand/internal/joblog"
	"github.com/tristrand/tristrand/cmd/tristrand/internal/spool"
)

// Work is what is done for an input. It is used by several goroutines at once.
type Work interface {
	// Line returns the job's command on one line, as a shell would read it.
	Line(input string) string
	// Do does it under ctx. What it prints goes to out and errs; both are nil
	// when it prints for itself.
	Do(ctx context.Context, input string, out, errs *spool.Buffer) Outcome
	// Kill ends at once what Do is doing, and what it begins later.
	Kill()
}

// An Outcome is how one try of a job ended.
type Outcome struct {
	Exit     int // of a process; 1 for a task that failed, -1 where a signal or the time-out ended it
	Signal   int
	TimedOut bool
	Stopped  bool  // by the end of ctx or by Kill
	Err      error // why it could not be done, for the reader
	Fatal    bool  // Err is no fault of the job: nothing more can be run
}

func (o *Outcome) failed() bool {
	return o.Exit != 0 || o.Signal != 0 || o.TimedOut || o.Err != nil
}

// A Watcher is a Work that notices when nobody reads standard output any more,
// while jobs run. OnHangup comes before the first job.
type Watcher interface {
	OnHangup(func())
}

// Config says what to run and how. Inputs, Work, Executor, Workers, Stdout and
// Stderr are required.
type Config struct {
	Inputs   inputs.Source
	Work     Work
	Executor tristrand.Executor // that runs the jobs; it is closed in the end
	Workers  int                // that Executor has

	Stdout, Stderr *os.File

	Retries   int  // tries after the first one that failed
	KeepOrder bool // print in the order of the inputs
	Ungroup   bool // jobs print for themselves
	JSON      bool // print an object for each job
	DryRun    bool // print the commands and run nothing
	Halt      halt.Policy

	Log         *joblog.Log  // nil is none
	Done        *joblog.Done // jobs to leave out; nil is none
	RetryFailed bool         // do not leave out those that failed

	Progress Progress // nil is none
}

// Counts say what became of the jobs.
type Counts struct {
	Total   int  // inputs altogether
	Known   bool // Total is final: the inputs have been counted
	Read    int  // inputs taken
	Skipped int  // done in an earlier run
	Done    int  // ended by themselves, failed or not
	Failed  int  // of them
	Stopped int  // ended by the end of the run
	Running int
}

// String says what was done and what was not.
func (c Counts) String() string {
	s := plural(c.Done, "job") + " done"
	if c.Failed > 0 {
		s += fmt.Sprintf(" (%d failed)", c.Failed)
	}
	if c.Skipped > 0 {
		s += fmt.Sprintf(", %d done before", c.Skipped)
	}
	if c.Stopped > 0 {
		s += fmt.Sprintf(", %d stopped", c.Stopped)
	}
	if left := c.Total - c.Skipped - c.Done - c.Stopped; c.Known || left > 0 {
		s += fmt.Sprintf(", %d not started", left)
	}
	if !c.Known {
		s += ", the rest of the input not read"
	}
	return s
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// A StoppedError says that a run ended before its inputs did.
type StoppedError struct {
	Cause  error
	Counts Counts
}

func (e *StoppedError) Error() string { return fmt.Sprintf("%v: %v", e.Cause, e.Counts) }

// Unwrap returns the cause.
func (e *StoppedError) Unwrap() error { return e.Cause }

// A HaltError is the cause of a run that ended by its policy.
type HaltError struct{ Policy halt.Policy }

func (e *HaltError) Error() string { return "halted by --halt " + e.Policy.String() }

// ErrOutputClosed is the cause of a run whose standard output lost its reader.
var ErrOutputClosed = errors.New("nobody reads the output any more")

// Run runs everything and returns what became of it. At the end of ctx it stops
// the jobs that run; when kill is closed, at once. The error is a *StoppedError
// or says what was wrong with the inputs.
func Run(ctx context.Context, kill <-chan struct{}, cfg Config) (Counts, error) {
	defer cfg.Inputs.Close()
	if cfg.DryRun {
		return dryRun(ctx, &cfg)
	}
	if cfg.Halt.NeedsTotal() {
		counted, err := countAll(ctx, cfg.Inputs)
		if err != nil {
			return Counts{}, err
		}
		cfg.Inputs = counted
	}
	r, taking, jobs := newRun(ctx, cfg)
	defer r.end()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-kill:
			cfg.Work.Kill()
		case <-r.finished:
		}
	}()
	r.produce(taking, jobs)
	_ = cfg.Executor.Close(context.WithoutCancel(ctx)) // jobs end by their ctx; it only drains
	r.flush()
	close(r.finished)
	<-watched
	return r.result()
}

// countAll reads all inputs, because a percentage of them is asked for.
func countAll(ctx context.Context, in inputs.Source) (inputs.Source, error) {
	if _, known := in.Total(); known {
		return in, nil
	}
	var all []string
	for {
		v, err := in.Next(ctx)
		if isEnd(err) {
			return inputs.Args(all), nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
}

// dryRun prints what would be run.
func dryRun(ctx context.Context, cfg *Config) (Counts, error) {
	var c Counts
	for {
		in, err := cfg.Inputs.Next(ctx)
		if isEnd(err) {
			c.Total, c.Known = c.Read, true
			return c, nil
		}
		if err != nil {
			return c, err
		}
		c.Read++
		line := cfg.Work.Line(in)
		if skip, err := doneBefore(cfg, c.Read, line); err != nil {
			return c, err
		} else if skip {
			c.Skipped++
			continue
		}
		if _, err := fmt.Fprintln(cfg.Stdout, line); err != nil {
			return c, outputError(err)
		}
	}
}

// doneBefore reports whether a job is left out on account of the log.
func doneBefore(cfg *Config, seq int, line string) (bool, error) {
	if cfg.Done == nil {
		return false, nil
	}
	done, failed, err := cfg.Done.Find(seq, line)
	return done && (!failed || !cfg.RetryFailed), err
}
