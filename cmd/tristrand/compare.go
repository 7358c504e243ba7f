package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/tristrand/tristrand/cmd/tristrand/internal/builtin"
	"github.com/tristrand/tristrand/cmd/tristrand/internal/compare"
)

// compareCmd is "tristrand compare".
type compareCmd struct {
	Inputs   []string `arg:"" optional:"" help:"What the task works on: URLs, files, numbers or commands. Without any, it makes its own."`
	Task     []string `short:"t" enum:"${tasks}" placeholder:"NAME" help:"One of ${tasks}; all of them when left out."`
	Workers  int      `name:"workers" short:"j" placeholder:"N" help:"Workers of each engine; the default is 8, or the number of processors if that is more."`
	HTML     string   `name:"html" type:"path" placeholder:"FILE" help:"Also write one self-contained page with a timeline per engine."`
	JSON     bool     `name:"json" help:"Print one JSON document instead of tables."`
	WorkSize float64  `default:"1" placeholder:"X" help:"Make X times as many inputs where it makes its own; 1 is a few seconds."`
}

// Help is shown by "tristrand compare --help".
func (compareCmd) Help() string {
	return `The same task runs over the same inputs, first serially and then on every engine: thread (goroutines), coro (coroutines of one hub), process (worker processes) and cluster (a worker of a cluster in this process). A table says what each took, and a sentence per task which engine suits it. Without arguments it needs nothing, makes its own inputs, runs every task and cleans up behind itself:

  fetch  pages from a local server that waits before it answers
  hash   temporary files
  prime  numbers to test by division
  exec   starts of a small program

Examples:

  tristrand compare
  tristrand compare --html compare.html
  tristrand compare --task hash *.iso
  tristrand compare --task fetch -j 32 https://example.org/ https://example.com/
  tristrand compare --json | jq '.tasks[] | {task, advice}'

Columns: time from opening the engine to having closed it; speed-up against serial; processor time, user and system, children and worker processes included; peak memory, reset before each run (Linux: resident memory of the command and its children, worker processes with what they do not share; elsewhere: what the Go runtime holds); jobs that failed.

--json prints {go, os, arch, cpus, workers, peak_memory_of, tasks: [{task, about, made, inputs, advice, engines: [{engine, seconds, speedup, cpu_seconds, peak_memory_bytes, errors, jobs: [{input, worker, start_seconds, end_seconds, bytes, result, error}]}]}]}. Jobs are in the order of the inputs; their times count from the start of the run; result and error exclude each other.

Exit codes: 0 all jobs done, 1 some failed, 2 wrong usage, 130 stopped by Ctrl-C (what was complete by then is shown).`
}

// Validate is called by kong before Run, so that these are errors of usage.
func (c *compareCmd) Validate() error {
	switch {
	case c.Workers < 0 || c.Workers > maxJobs:
		return fmt.Errorf("--workers=%d: it must be from 1 to %d", c.Workers, maxJobs)
	case !(c.WorkSize > 0 && c.WorkSize <= 1000):
		return fmt.Errorf("--work-size=%g: it must be above 0, at most 1000; 1 is a few seconds", c.WorkSize)
	case len(c.Inputs) > 0 && len(c.Task) != 1:
		return errors.New("inputs need one --task that says what to do with them")
	}
	return nil
}

// Run compares, and shows what it found.
func (c *compareCmd) Run(ctx context.Context, s streams) error {
	page, err := openPage(c.HTML)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding the command's own file, to start it: %w", err)
	}
	// A reader of the tables that goes away ends the comparison.
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var unread error
	bars := newProgress(s.err)
	res, err := compare.Run(ctx, compare.Options{
		Tasks: c.Task, Inputs: c.Inputs, Workers: c.Workers, Size: c.WorkSize,
		Command:  builtin.Quote(self) + " version",
		Progress: bars.show,
		Done: func(t *compare.Task) {
			bars.clear()
			if !c.JSON {
				if unread = t.Table(s.out); unread != nil {
					stop()
				}
			}
		},
	})
	bars.clear()
	if res != nil && c.JSON && (err == nil || len(res.Tasks) > 0) {
		out := json.NewEncoder(s.out)
		out.SetIndent("", "  ")
		err = errors.Join(err, out.Encode(res))
	}
	if unread != nil {
		err = unread
	}
	if e := page.write(res); e != nil || err != nil {
		return errors.Join(err, e)
	}
	if c.HTML != "" && !c.JSON {
		fmt.Fprintf(s.out, "The timelines are in %s\n", c.HTML)
	}
	if n := res.Errors(); n > 0 {
		return fmt.Errorf("%d jobs failed; the tables say where, and --json has every error", n)
	}
	return nil
}

// page is the file of --html. It is opened before the work, so that a path
// that cannot be written costs no waiting.
type page struct {
	file *os.File
	ours bool // it did not exist before
}

func openPage(path string) (page, error) {
	if path == "" {
		return page{}, nil
	}
	_, err := os.Stat(path)
	file, e := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	if e != nil {
		return page{}, fmt.Errorf("--html: %w", e)
	}
	return page{file, errors.Is(err, os.ErrNotExist)}, nil
}

// write writes the page, or leaves the file as it was when there is nothing
// to show.
func (p page) write(res *compare.Result) error {
	if p.file == nil {
		return nil
	}
	if res == nil || len(res.Tasks) == 0 {
		err := p.file.Close()
		if p.ours {
			err = errors.Join(err, os.Remove(p.file.Name()))
		}
		return err
	}
	_ = p.file.Truncate(0) // a pipe or a device has no length to cut
	err := res.Page(p.file, time.Now())
	if err = errors.Join(err, p.file.Close()); err != nil {
		return fmt.Errorf("--html: %w", err)
	}
	return nil
}

// taskNames are the values of --task.
func taskNames() []string { return builtin.Names() }
