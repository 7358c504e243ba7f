package threads_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/tristrand/tristrand/examples/stage"
	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/strand"
	"github.com/tristrand/tristrand/thread"
)

// T17: ten threads wait on an Event until somebody types a line. After Clear it
// makes others wait again.
func TestTypedLineSetsAnEvent(t *testing.T) {
	stage.Play(t, func(ctx context.Context, out *stage.Screen) error {
		keyboard, typist := io.Pipe() // os.Stdin in a program of one's own
		lines := bufio.NewScanner(keyboard)
		var goOn local.Event // threading.Event() in Python
		for range 10 {
			thread.Start(ctx, "", func(ctx context.Context) error {
				goOn.Wait(ctx)
				out.Print("a thread passes")
				return nil
			})
		}
		thread.AfterFunc(ctx, 5*time.Second, func(context.Context) error {
			_, err := fmt.Fprintln(typist, "go on")
			return err
		})
		lines.Scan() // input() in Python; it blocks this thread alone
		out.Print("typed:", lines.Text())
		goOn.Set(ctx)

		strand.Sleep(ctx, time.Second)
		goOn.Clear(ctx)
		thread.Start(ctx, "late", func(ctx context.Context) error {
			short, cancel := strand.WithTimeout(ctx, time.Second)
			defer cancel()
			if goOn.Wait(short) != nil { // False in Python
				out.Print("the late one has waited in vain")
			}
			return nil
		})
		return nil
	}, `
		5s a thread passes
		5s a thread passes
		5s a thread passes
		5s a thread passes
		5s a thread passes
		5s a thread passes
		5s a thread passes
		5s a thread passes
		5s a thread passes
		5s a thread passes
		5s typed: go on
		7s the late one has waited in vain
		7s ~ the program ends
	`)
}
