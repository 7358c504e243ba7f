package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/tristrand/tristrand/thread"
)

// The exit codes that main.go documents.
const (
	exitFailed     = 1
	exitUsage      = 2
	exitInterrupt  = 130
	exitTerminated = 143
	exitPipe       = 141
	exitRunUsage   = 255
)

const about = `Processes, threads and coroutines with one set of words: run the same task on the engine you name, or on all of them to see which one suits it.`

// cli is the command line: a field per subcommand.
type cli struct {
	Compare     compareCmd       `cmd:"" help:"Run the same tasks serially and on every engine; show which suits which work."`
	Run         runCmd           `cmd:"" help:"Run a command or a built-in task for every argument or line of input."`
	Serve       serveCmd         `cmd:"" help:"Serve each connection by a program or a built-in handler."`
	Manager     managerCmd       `cmd:"" help:"Hold dicts, queues, locks … behind an address, for Go and for Python programs."`
	Worker      workerCmd        `cmd:"" help:"Take jobs of a cluster and run them."`
	Cluster     clusterCmd       `cmd:"" help:"Look at a cluster, its jobs, workers, locks and dead letters."`
	Version     versionCmd       `cmd:"" help:"Print the version of the command, of Go, and the platform."`
	Completion  completionCmd    `cmd:"" help:"Print a completion script for your shell."`
	ShowVersion kong.VersionFlag `name:"version" help:"Print the version and leave."`
}

// streams are where a subcommand writes; kong hands them to its Run method.
type streams struct {
	out, err io.Writer
}

// command runs one command line on the main strand and returns its exit code.
func command(args []string, stdout, stderr io.Writer) (code int) {
	err := thread.Main(func(ctx context.Context) error {
		code = onMain(ctx, args, stdout, stderr)
		return nil
	})
	if err != nil {
		return report(stderr, "", err)
	}
	return code
}

func onMain(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	ctx, stop := untilSignal(ctx)
	defer stop()

	parser, err := newParser(stdout, stderr)
	if err != nil {
		return report(stderr, "", err)
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return report(stderr, selected(err), err)
	}
	parsed.BindTo(ctx, (*context.Context)(nil))
	err = parsed.Run()
	if err != nil && ctx.Err() != nil {
		err = interrupted(ctx, err)
	}
	return report(stderr, nameOf(parsed.Selected()), err)
}

// newParser builds kong's model of the command line.
func newParser(stdout, stderr io.Writer) (*kong.Kong, error) {
	return kong.New(&cli{},
		kong.Name("tristrand"),
		kong.Description(about),
		kong.Writers(stdout, stderr),
		kong.Vars{"version": versionLine(), "tasks": strings.Join(taskNames(), ",")},
		kong.Bind(streams{out: stdout, err: stderr}),
		kong.Help(help),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
	)
}

// help is kong's, but for the line of usage: flags come first, because "run"
// leaves what follows the command's name to the command.
func help(options kong.HelpOptions, ctx *kong.Context) error {
	if node := ctx.Selected(); node != nil {
		options.NoAppSummary = true
		usage := []string{"Usage: " + node.FullPath() + " [flags]"}
		for _, arg := range node.Positional {
			switch {
			case arg.Passthrough && node.Name == "run":
				usage = append(usage, "[--] <command> ... [::: <input> ...]")
			case arg.Passthrough:
				usage = append(usage, "[--] <"+arg.Name+"> ...")
			default:
				usage = append(usage, arg.Summary())
			}
		}
		if _, err := fmt.Fprintln(ctx.Stdout, strings.Join(usage, " ")); err != nil {
			return err
		}
	}
	return kong.DefaultHelpPrinter(options, ctx)
}

// selected names the subcommand whose arguments kong refused, "" for none.
func selected(err error) string {
	var refused *kong.ParseError
	if errors.As(err, &refused) && refused.Context != nil {
		if node := refused.Context.Selected(); node != nil {
			return nameOf(node)
		}
	}
	return ""
}

// nameOf returns what follows the program's name to call a subcommand: "cluster jobs".
func nameOf(node *kong.Node) string {
	_, name, _ := strings.Cut(node.FullPath(), " ")
	return name
}

// report says on one line what went wrong and returns the exit code. name is
// the subcommand, "" when none was reached. An error that knows its own code
// (ExitCode) keeps it; with an empty message nothing more is printed.
func report(stderr io.Writer, name string, err error) int {
	if err == nil {
		return 0
	}
	var refused *kong.ParseError
	usage := errors.As(err, &refused)
	if isClosedPipe(err) && (usage || name != "run") {
		return exitPipe
	}
	code := exitFailed
	var coded kong.ExitCoder
	switch {
	case usage && name == "run":
		code = exitRunUsage
	case usage:
		code = exitUsage
	case errors.As(err, &coded):
		code = coded.ExitCode()
	}
	if msg := strings.TrimPrefix(err.Error(), name+": "); msg != "" { // kong says it too
		program := strings.TrimSpace("tristrand " + name)
		if usage {
			msg += fmt.Sprintf("; see %q", program+" --help")
		}
		fmt.Fprintf(stderr, "%s: %s\n", program, strings.ReplaceAll(msg, "\n", "; "))
	}
	return code
}

// exitError is an error that knows its exit code.
type exitError struct {
	error
	code int
}

// ExitCode is the code that the command ends with.
func (e exitError) ExitCode() int { return e.code }

// Unwrap returns the error itself.
func (e exitError) Unwrap() error { return e.error }
