// Command bench measures Tristrand beside its peers and prints one table.
//
//	go run . [-quick] [-rows REGEXP] [-pairs N] [-json FILE] [-into FILE] [-list]
//
// Each row is measured in interleaved pairs, ours and the peer in turns, and
// shows the median of the pairs' ratios, its 90 % interval, the bound that is
// asked for, and the verdict. See README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strings"
	"time"

	"github.com/tristrand/tristrand/bench/internal/measure"
	"github.com/tristrand/tristrand/bench/internal/report"
	"github.com/tristrand/tristrand/bench/internal/rows"
	"github.com/tristrand/tristrand/process"
	"github.com/tristrand/tristrand/thread"
)

func main() {
	process.Init() // first: worker processes of the rows enter here
	if err := thread.Main(run); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// errBroken says that the table has rows that could not be measured.
var errBroken = errors.New("a row could not be measured; see its verdict")

// flags are those of the command line.
type flags struct {
	quick, list, child bool
	pairs              int
	rows               *regexp.Regexp
	json, into         string
}

func parse() (flags, error) {
	var f flags
	flag.BoolVar(&f.quick, "quick", false, "short runs and few pairs: to look, not to quote")
	pattern := flag.String("rows", "", "only the rows whose name matches this regular expression")
	flag.IntVar(&f.pairs, "pairs", 0, "pairs of each row; 0 is 9, or 5 with -quick")
	flag.StringVar(&f.json, "json", "", "write machine, versions and every sample to this file")
	flag.StringVar(&f.into, "into", "", "write machine, versions and table between the marks in this file of Markdown, as README.md has them")
	flag.BoolVar(&f.list, "list", false, "list the rows and do nothing")
	flag.BoolVar(&f.child, "child", false, "do the work of the memory rows: bench starts itself so")
	flag.Parse()
	if !f.child && flag.NArg() > 0 {
		return f, fmt.Errorf("unexpected argument %q: rows are chosen with -rows", flag.Arg(0))
	}
	if f.pairs < 0 {
		return f, fmt.Errorf("-pairs %d: it cannot be negative", f.pairs)
	}
	var err error
	if f.rows, err = regexp.Compile(*pattern); err != nil {
		return f, fmt.Errorf("-rows: %w", err)
	}
	return f, nil
}

func run(ctx context.Context) error {
	f, err := parse()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	if f.child {
		return rows.Child(ctx, os.Stdout, flag.Args())
	}
	temp, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	runner, options := f.settings(temp, source(ctx))
	if options.Self, err = os.Executable(); err != nil {
		return err
	}
	chosen := choose(rows.All(options), f.rows)
	switch {
	case len(chosen) == 0:
		return fmt.Errorf("-rows %q matches none; -list shows them", f.rows)
	case f.list:
		for _, row := range chosen {
			fmt.Printf("%-32s %s\n", row.Name, row.What)
		}
		return nil
	}
	d, err := measureAll(ctx, chosen, runner, options.Source)
	if err != nil {
		return err
	}
	d.Quick = f.quick
	return tell(os.Stdout, d, f)
}

// settings says how long and how often rows are measured.
func (f flags) settings(temp, source string) (measure.Runner, rows.Options) {
	runner := measure.Runner{Pairs: f.pairs, Length: 100 * time.Millisecond}
	options := rows.Options{MapJobs: 1_000_000, Commands: 500, Temp: temp, Source: source}
	if runner.Pairs == 0 {
		runner.Pairs = 9
	}
	if f.quick {
		runner.Length = 20 * time.Millisecond
		options.MapJobs, options.Commands = 200_000, 100
		if f.pairs == 0 {
			runner.Pairs = 5
		}
	}
	return runner, options
}

func choose(all []measure.Row, match *regexp.Regexp) []measure.Row {
	var chosen []measure.Row
	for _, row := range all {
		if match.MatchString(row.Name) {
			chosen = append(chosen, row)
		}
	}
	return chosen
}

// measureAll measures the rows, one after another, naming each on stderr.
func measureAll(ctx context.Context, chosen []measure.Row, runner measure.Runner, source string) (report.Document, error) {
	d := report.Document{Environment: report.NewEnvironment(ctx, source), Pairs: runner.Pairs}
	for i, row := range chosen {
		fmt.Fprintf(os.Stderr, "%d/%d %s\n", i+1, len(chosen), row.Name)
		res, err := runner.Run(ctx, row)
		if err != nil {
			return d, fmt.Errorf("stopped at %s: %w", row.Name, err)
		}
		d.Results = append(d.Results, res)
	}
	d.Environment.LoadEnd = report.Load()
	return d, nil
}

// tell writes the table, and the files that are asked for.
func tell(w io.Writer, d report.Document, f flags) error {
	if err := report.Header(w, d); err != nil {
		return err
	}
	fmt.Fprintln(w)
	if err := report.Table(w, d.Results); err != nil {
		return err
	}
	if f.json != "" {
		if err := writeJSON(f.json, d); err != nil {
			return err
		}
	}
	if f.into != "" {
		if err := report.Into(f.into, d); err != nil {
			return err
		}
	}
	for _, r := range d.Results {
		if r.Verdict == measure.Broken {
			return errBroken
		}
	}
	return nil
}

func writeJSON(file string, d report.Document) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	return errors.Join(report.JSON(f, d), f.Close())
}

// source returns the folder of the module that is measured.
func source(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/tristrand/tristrand").Output()
	if err != nil {
		return ".."
	}
	return strings.TrimSpace(string(out))
}
