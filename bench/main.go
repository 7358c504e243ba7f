// Command bench measures Tristrand beside its peers and prints one table.
//
//	go run . [-quick] [-rows REGEXP] [-pairs N] [-json FILE] [-list]
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
	"github.com/tristrand/tristrand/thread"
)

func main() {
	if err := thread.Main(run); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// errBroken says that the table has rows that could not be measured.
var errBroken = errors.New("a row could not be measured; see its verdict")

func run(ctx context.Context) error {
	quick := flag.Bool("quick", false, "short runs and few pairs: to look, not to quote")
	pattern := flag.String("rows", "", "only the rows whose name matches this regular expression")
	file := flag.String("json", "", "write machine, versions and every sample to this file")
	pairs := flag.Int("pairs", 0, "pairs of each row; 0 is 9, or 5 with -quick")
	list := flag.Bool("list", false, "list the rows and do nothing")
	child := flag.Bool("child", false, "do the work of the memory rows: bench starts itself so")
	flag.Parse()
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	if *child {
		return rows.Child(ctx, os.Stdout, flag.Args())
	}
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q: rows are chosen with -rows", flag.Arg(0))
	}
	if *pairs < 0 {
		return fmt.Errorf("-pairs %d: it cannot be negative", *pairs)
	}
	match, err := regexp.Compile(*pattern)
	if err != nil {
		return fmt.Errorf("-rows: %w", err)
	}
	temp, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)

	options := rows.Options{MapJobs: 1_000_000, Commands: 500, Temp: temp, Source: source(ctx)}
	runner := measure.Runner{Pairs: *pairs, Length: 100 * time.Millisecond}
	if *quick {
		options.MapJobs, options.Commands = 200_000, 100
		runner.Length = 20 * time.Millisecond
	}
	if runner.Pairs == 0 {
		runner.Pairs = 9
		if *quick {
			runner.Pairs = 5
		}
	}
	if options.Self, err = os.Executable(); err != nil {
		return err
	}
	chosen := choose(rows.All(options), match)
	if len(chosen) == 0 {
		return fmt.Errorf("-rows %q matches none; -list shows them", *pattern)
	}
	if *list {
		for _, row := range chosen {
			fmt.Printf("%-32s %s\n", row.Name, row.What)
		}
		return nil
	}
	return tell(ctx, os.Stdout, chosen, runner, options.Source, *file, *quick)
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

// tell measures the rows and writes table and JSON.
func tell(ctx context.Context, w io.Writer, chosen []measure.Row, runner measure.Runner, source, file string, quick bool) error {
	env := report.NewEnvironment(ctx, source)
	var results []measure.Result
	broken := false
	for i, row := range chosen {
		fmt.Fprintf(os.Stderr, "%d/%d %s\n", i+1, len(chosen), row.Name)
		res, err := runner.Run(ctx, row)
		if err != nil {
			return fmt.Errorf("stopped at %s: %w", row.Name, err)
		}
		broken = broken || res.Verdict == measure.Broken
		results = append(results, res)
	}
	env.LoadEnd = report.Load()
	note := ""
	if quick {
		note = ", quick: not to be quoted"
	}
	if err := report.Header(w, env, runner.Pairs, note); err != nil {
		return err
	}
	if err := report.Table(w, results); err != nil {
		return err
	}
	if file != "" {
		if err := writeJSON(file, report.Document{Environment: env, Pairs: runner.Pairs, Quick: quick, Results: results}); err != nil {
			return err
		}
	}
	if broken {
		return errBroken
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
