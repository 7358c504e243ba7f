package rows

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tristrand/tristrand/bench/internal/measure"
)

// commands compares "tristrand run" with xargs and GNU parallel: a command for
// each line of standard input, two at once.
func commands(o Options) []measure.Row {
	build := builder(o)
	ungrouped := []string{"run", "-j", "2", "--ungroup", "--"}
	grouped := []string{"run", "-j", "2", "--"}
	n, few := o.Commands, max(20, o.Commands/5)

	row := measure.Row{
		Name: "run", What: "true for each of 500 lines, 2 at once, --ungroup; per job",
		Ours: commandLine("tristrand", build, ungrouped, "true", n), Floor: bareExec(n), Bound: measure.AtLeast(0.9),
	}
	row.What = fmt.Sprintf("true for each of %d lines, 2 at once, --ungroup; per job", n)
	rows := against(row, commandLine("xargs", look("xargs"), []string{"-P", "2", "-n", "1"}, "true", n))
	row.What, row.Bound = strings.Replace(row.What, strconv.Itoa(n), strconv.Itoa(few), 1), measure.AtLeast(5)
	row.Ours, row.Floor = commandLine("tristrand", build, ungrouped, "true", few), bareExec(few)
	rows = append(rows, against(row, commandLine("parallel", look("parallel"), []string{"-j", "2", "--ungroup"}, "true", few))...)

	row.Name, row.What = "run-grouped", fmt.Sprintf("true for each of %d lines, 2 at once, output grouped; per job", n)
	row.Ours, row.Floor, row.Bound = commandLine("tristrand", build, grouped, "true", n), bareExec(n), measure.AtLeast(0.75)
	rows = append(rows, against(row, commandLine("xargs", look("xargs"), []string{"-P", "2", "-n", "1"}, "true", n))...)
	row.What, row.Bound = strings.Replace(row.What, strconv.Itoa(n), strconv.Itoa(few), 1), measure.AtLeast(5)
	row.Ours, row.Floor = commandLine("tristrand", build, grouped, "true", few), bareExec(few)
	rows = append(rows, against(row, commandLine("parallel", look("parallel"), []string{"-j", "2"}, "true", few))...)

	row.Name, row.What = "run-echo", fmt.Sprintf("echo for each of %d lines, 2 at once, output grouped; per job", few)
	row.Ours, row.Floor, row.Bound = commandLine("tristrand", build, grouped, "echo", few), measure.Impl{}, measure.Bound{}
	return append(rows, against(row,
		commandLine("xargs-mixed", look("xargs"), []string{"-P", "2", "-n", "1"}, "echo", few),
		commandLine("parallel", look("parallel"), []string{"-j", "2"}, "echo", few))...)
}

// startup measures starting the command, against the least that a Go program
// and a C program need.
func startup(o Options) []measure.Row {
	build := builder(o)
	row := measure.Row{
		Name: "startup", What: "start tristrand version and wait for its end",
		Ours: starts("tristrand", build, "tristrand ", "version"), Floor: starts("true", look("true"), ""),
		Absolute: measure.AtMost(30), Scale: 1e6, ScaleName: "ms",
	}
	return against(row, starts("empty-Go-program", emptyProgram(o), ""))
}

// A finder says where a program is.
type finder func(ctx context.Context) (string, error)

func look(name string) finder {
	return func(context.Context) (string, error) {
		path, err := exec.LookPath(name)
		if err != nil {
			return "", measure.MissingError(name + " is not installed")
		}
		return path, nil
	}
}

// builder builds the command when it is first asked for.
func builder(o Options) finder {
	return goBuild("tristrand", o, func(string) (string, string, error) { return o.Source, "./cmd/tristrand", nil })
}

// emptyProgram builds a Go program that does nothing.
func emptyProgram(o Options) finder {
	return goBuild("empty", o, func(dir string) (string, string, error) {
		file := filepath.Join(dir, "empty.go")
		return dir, file, os.WriteFile(file, []byte("package main\n\nfunc main() {}\n"), 0o600)
	})
}

func goBuild(name string, o Options, source func(dir string) (in, what string, err error)) finder {
	return func(ctx context.Context) (string, error) {
		path := filepath.Join(o.Temp, name)
		if runtime.GOOS == "windows" {
			path += ".exe"
		}
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
		in, what, err := source(o.Temp)
		if err != nil {
			return "", err
		}
		cmd := exec.CommandContext(ctx, "go", "build", "-o", path, what)
		cmd.Dir = in
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("go build %s: %w: %s", what, err, bytes.TrimSpace(out))
		}
		return path, nil
	}
}

// commandLine makes an impl of a program that runs a command for each line. The
// first trial has it run echo, unmeasured, and checks the lines.
func commandLine(name string, find finder, args []string, command string, n int) measure.Impl {
	checked := false
	return measure.Impl{Name: name, N: n, Open: func(ctx context.Context) (measure.Trial, error) {
		path, err := find(ctx)
		if err != nil {
			return measure.Trial{}, err
		}
		for _, tool := range []string{"echo", "true"} {
			if _, err := look(tool)(ctx); err != nil {
				return measure.Trial{}, err
			}
		}
		least, err := faultsOf(ctx, "true")
		if err != nil {
			return measure.Trial{}, err
		}
		with := func(command string) *exec.Cmd {
			return exec.CommandContext(ctx, path, slices.Concat(args, []string{command})...)
		}
		if !checked {
			if _, err := runLines(with("echo"), n, true, least); err != nil {
				return measure.Trial{}, err
			}
			checked = true
		}
		return measure.Trial{Run: func(n int) (float64, error) {
			return runLines(with(command), n, command == "echo", least)
		}}, nil
	}}
}

// runLines gives cmd the numbers from 1 to n, a line each, and checks what it
// prints: each line once if it echoes, nothing otherwise. That a command that
// prints nothing has been run, the page faults of all processes tell: one has at
// least so many, and those of the program that starts it come on top.
func runLines(cmd *exec.Cmd, n int, echo bool, least int64) (float64, error) {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = strconv.Itoa(i + 1)
	}
	var out, problems bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(strings.Join(lines, "\n")+"\n"), &out, &problems
	begin := time.Now()
	err := cmd.Run()
	took := float64(time.Since(begin))
	if err != nil {
		return 0, fmt.Errorf("%s: %w: %s", cmd, err, bytes.TrimSpace(problems.Bytes()))
	}
	got := strings.Fields(out.String())
	if !echo {
		lines = nil
		if f := faults(cmd.ProcessState); f < least*int64(n) {
			return 0, fmt.Errorf("%s: its processes have had %d page faults; %d need %d at least", cmd, f, n, least*int64(n))
		}
	}
	slices.Sort(got)
	slices.Sort(lines)
	if !slices.Equal(got, lines) {
		return 0, fmt.Errorf("%s: wrong output of %d lines: %.100q %.100q", cmd, len(got), out.String(), problems.String())
	}
	return took, nil
}

// faultsOf returns how many page faults a program has at least: nine tenths of
// those that one run of it had.
func faultsOf(ctx context.Context, program string) (int64, error) {
	cmd := exec.CommandContext(ctx, program)
	if err := cmd.Run(); err != nil {
		return 0, err
	}
	return faults(cmd.ProcessState) * 9 / 10, nil
}

// bareExec is the least that starting n processes takes from Go, two at once.
func bareExec(n int) measure.Impl {
	return measure.Impl{Name: "bare-exec", N: n, Open: func(ctx context.Context) (measure.Trial, error) {
		path, err := look("true")(ctx)
		return measure.Trial{Run: measure.Time(func(n int) error {
			errs := make([]error, 2)
			var wg sync.WaitGroup
			for i := range errs {
				wg.Go(func() {
					for j := i; j < n; j += len(errs) {
						errs[i] = errors.Join(errs[i], exec.Command(path).Run())
					}
				})
			}
			wg.Wait()
			return errors.Join(errs...)
		})}, err
	}}
}

// starts makes an impl that starts a program again and again and checks how its
// output begins.
func starts(name string, find finder, begins string, args ...string) measure.Impl {
	return measure.Impl{Name: name, Open: func(ctx context.Context) (measure.Trial, error) {
		path, err := find(ctx)
		return measure.Trial{Run: measure.Time(func(n int) error {
			for range n {
				out, err := exec.CommandContext(ctx, path, args...).Output()
				if err != nil {
					return err
				}
				if !strings.HasPrefix(string(out), begins) {
					return wrong(string(out), begins)
				}
			}
			return nil
		})}, err
	}}
}
