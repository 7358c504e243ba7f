// Command small is the program whose processes the rows about the start of processes
// start: the bench itself links every peer, whose packages take milliseconds to
// initialise in each process, ours and bare ones alike.
//
//	small start|start-bare|rate|rate-bare
//	small serve-fresh|serve-exec
//
// The first line says that it is ready, or the address of a server. Of starts, each
// line of input is how many are wanted, and each answer how many nanoseconds they took.
// It ends with its input.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/tristrand/tristrand/process"
	"github.com/tristrand/tristrand/thread"
)

// bareKey is the variable that makes this program one that does nothing but what is
// compared.
const bareKey = "BENCH_BARE"

func main() {
	process.Init() // first: worker processes enter here
	if bare := os.Getenv(bareKey); bare != "" {
		beBare(bare)
	}
	if err := thread.Main(run); err != nil {
		fmt.Fprintln(os.Stderr, "small:", err)
		os.Exit(1)
	}
}

// beBare is what a process does that is started by exec alone.
func beBare(what string) {
	if what == "answer" {
		if err := answer(); err != nil {
			fmt.Fprintln(os.Stderr, "small:", err)
			os.Exit(1)
		}
	} else {
		_, _ = os.Stdout.WriteString("x") // the reader sees that it is missing
	}
	os.Exit(0)
}

func run(ctx context.Context) error {
	if len(os.Args) != 2 {
		return fmt.Errorf("%q: want what to do", os.Args[1:])
	}
	switch what := os.Args[1]; what {
	case "start":
		return onDemand(ctx, one(ours))
	case "start-bare":
		return onDemand(ctx, one(bare))
	case "rate":
		return onDemand(ctx, twoAtOnce(ours))
	case "rate-bare":
		return onDemand(ctx, twoAtOnce(bare))
	case "serve-fresh":
		return serveFresh(ctx)
	case "serve-exec":
		return serveExec()
	default:
		return fmt.Errorf("%q is nothing that it does", what)
	}
}

// onDemand measures as often as its input says.
func onDemand(ctx context.Context, measure func(ctx context.Context, n int) (float64, error)) error {
	fmt.Println("ready")
	for {
		var n int
		if _, err := fmt.Scanln(&n); err == io.EOF { //nolint:errorlint // as Scanln returns it
			return nil
		} else if err != nil {
			return err
		}
		took, err := measure(ctx, n)
		if err != nil {
			return err
		}
		fmt.Println(took)
	}
}
