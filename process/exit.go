package process

import (
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/tristrand/tristrand/internal/child"
)

// An ExitError says how a process ended that should not have: the outcome of the job
// that its worker ran, and of a Process.
type ExitError struct {
	Name        string         // of the process
	PID         int            //
	Kind        string         // "exit", "panic", "fatal runtime error", "signal", "killed", "out of memory", "unknown"
	Code        int            // the exit status, -1 if a signal ended it
	Signal      syscall.Signal // 0 if it exited
	OutOfMemory bool           // it, or its group, had no memory left
	Reason      string         // what the runtime said, or why the pool killed it; may be ""
	Crash       string         // what the runtime wrote: the reason and the stacks, 32 KiB at most; may be ""
	Stderr      string         // the last lines that it wrote to stderr itself, 4 KiB at most

	User, System time.Duration // processor time
	MaxRSSBytes  int64         // the most memory that was resident
}

func (e *ExitError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "process %s (pid %d): ", e.Name, e.PID)
	switch {
	case e.Signal != 0:
		fmt.Fprintf(&b, "%s: signal %d (%v)", e.Kind, int(e.Signal), e.Signal)
	case e.Code >= 0:
		fmt.Fprintf(&b, "%s: exit status %d", e.Kind, e.Code)
	default:
		b.WriteString("ended, and how is not known")
	}
	if e.Reason != "" {
		b.WriteString(": " + e.Reason)
	}
	if last := lastLine(e.Stderr); last != "" && e.Crash == "" {
		b.WriteString("; its last words: " + last)
	}
	return b.String()
}

func lastLine(s string) string {
	s = strings.TrimRight(s, "\n")
	return s[strings.LastIndexByte(s, '\n')+1:]
}

const (
	// lastBytes is how much of a worker's stderr an ExitError has.
	lastBytes = 4096
	// tailBytes is how much of it is kept, so that what came before the stacks of a
	// crash is among that.
	tailBytes = 64 << 10
)

// lastWordsOf returns the end of what a process wrote to stderr, without what the
// runtime wrote there when it crashed, which is in Crash.
func lastWordsOf(x child.Exit) string {
	s := string(x.Stderr)
	if reason := x.Reason(); reason != "" {
		if i := strings.LastIndex("\n"+s, "\n"+reason); i >= 0 {
			s = s[:i]
		}
	}
	return s[max(0, len(s)-lastBytes):]
}

func exitErrorOf(name string, x child.Exit) *ExitError {
	if x.Kind == child.Clean { // it meant to leave, and should not have
		x.Kind = child.Exited
	}
	return &ExitError{
		Name: name, PID: x.PID, Kind: x.Kind.String(), Code: x.Code, Signal: x.Signal,
		OutOfMemory: x.Kind == child.OutOfMemory, Reason: x.Reason(), Crash: x.Crash, Stderr: lastWordsOf(x),
		User: x.User, System: x.System, MaxRSSBytes: x.MaxRSSBytes,
	}
}

// A memoryError is why a pool kills a worker that has grown too large.
type memoryError struct {
	worker       string
	bytes, limit int64
}

func (e *memoryError) Error() string {
	return fmt.Sprintf("worker %s has %d MiB resident, and may have %d", e.worker, e.bytes>>20, e.limit>>20)
}
