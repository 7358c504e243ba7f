package process

import (
	"bytes"
	"context"
	"io"
	"os"
	"sync"
	"syscall"

	"github.com/tristrand/tristrand/internal/child"
)

// startChild starts the binary again, as a worker that has its end of the post. What
// the child writes goes to stdout and stderr, in whole lines if they are no files.
func startChild(ctx context.Context, spec child.Spec, theirs []*os.File, stdout, stderr io.Writer) (*child.Child, error) {
	spec.Files = theirs
	spec.Tail = tailBytes
	switch w := stdout.(type) {
	case nil:
	case *os.File:
		spec.Stdout = w
	default:
		spec.ForwardStdout = lines(w)
	}
	switch w := stderr.(type) {
	case nil:
	case *os.File:
		spec.Stderr = w
	default:
		spec.Forward = lines(w)
	}
	return child.Start(ctx, spec)
}

// lines returns a function that writes whole lines. Several workers may write to one
// writer, so one line is written at a time.
func lines(w io.Writer) func([]byte) {
	var buf bytes.Buffer
	return func(line []byte) {
		buf.Reset()
		buf.Write(line)
		buf.WriteByte('\n')
		lineMu.Lock()
		defer lineMu.Unlock()
		_, _ = w.Write(buf.Bytes()) // a worker does not end because its words cannot be written
	}
}

var lineMu sync.Mutex

// kill ends a process and all that it has started.
func kill(c *child.Child) { _ = c.KillGroup() } // it fails for one that is gone

// terminate asks a process to end.
func terminate(c *child.Child) { _ = c.Signal(syscall.SIGTERM) } // likewise
