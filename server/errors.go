package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/tristrand/tristrand"
)

// What a caller may branch on, with errors.Is.
var (
	// ErrServerClosed is what reads of a connection return when the server shuts
	// down, the cause of a handler's ctx then, and what Serve returns when Shutdown
	// came before it. It is also tristrand.ErrClosed.
	ErrServerClosed = fmt.Errorf("server: it is shut down (%w)", tristrand.ErrClosed)

	// ErrIdleTimeout, ErrReadTimeout and ErrWriteTimeout say which time-out of
	// the Server a connection ran into. They are also os.ErrDeadlineExceeded.
	ErrIdleTimeout  error = &timeoutError{"the client has sent nothing for IdleTimeout"}
	ErrReadTimeout  error = &timeoutError{"what the client sends was not whole within ReadTimeout"}
	ErrWriteTimeout error = &timeoutError{"the client has not read for WriteTimeout"}

	// ErrLineTooLong and ErrRecordTooLong end the use of a connection for lines
	// and records: what follows is the rest of what was too long.
	ErrLineTooLong   = errors.New("server: a line longer than Server.MaxLineBytes")
	ErrRecordTooLong = errors.New("server: a record longer than Server.MaxRecordBytes")

	// ErrHandshake is what went wrong before the handler: in TLS, or with the
	// PROXY header.
	ErrHandshake = errors.New("server: the handshake failed")

	// ErrUnsupported says that the operating system lacks something.
	ErrUnsupported = fmt.Errorf("server: not on this system: %w", errors.ErrUnsupported)

	// ErrTruncated says that a datagram was longer than can be received.
	ErrTruncated = errors.New("server: a datagram was longer than 64 KiB, and was dropped")
)

// A timeoutError is a net.Error.
type timeoutError struct{ text string }

func (e *timeoutError) Error() string   { return "server: " + e.text }
func (e *timeoutError) Timeout() bool   { return true }
func (e *timeoutError) Temporary() bool { return true }
func (e *timeoutError) Is(target error) bool {
	return target == os.ErrDeadlineExceeded
}

var _ net.Error = (*timeoutError)(nil)

// A ShutdownError says whose connections had to be cut.
type ShutdownError struct {
	Cut []ConnView // as they were when they were cut

	// Running counts those whose handlers have not returned: Go cannot stop a
	// goroutine. In worker processes there are none: those are killed.
	Running int

	Err error // why Shutdown did not wait longer
}

func (e *ShutdownError) Error() string {
	const most = 5
	var who []string
	for i, c := range e.Cut {
		if i == most {
			who = append(who, fmt.Sprintf("and %d more", len(e.Cut)-most))
			break
		}
		who = append(who, c.Remote)
	}
	text := fmt.Sprintf("server: shut down with %d connections cut: %s", len(e.Cut), strings.Join(who, ", "))
	if e.Running > 0 {
		text += fmt.Sprintf("; %d handlers still run", e.Running)
	}
	return text + ": " + e.Err.Error()
}

// Unwrap returns why Shutdown did not wait longer.
func (e *ShutdownError) Unwrap() error { return e.Err }

// errStopped is the cause of a handler's ctx: canceled, because the server is
// shut down.
var errStopped = &stoppedError{}

type stoppedError struct{}

func (*stoppedError) Error() string { return ErrServerClosed.Error() }
func (*stoppedError) Is(target error) bool {
	return target == context.Canceled
}
func (*stoppedError) Unwrap() error { return ErrServerClosed }

// A ConnView is what is known of a connection at one moment.
type ConnView struct {
	ID     uint64
	Remote string // the client, as a PROXY header names it
	Local  string
	Since  time.Time
	PID    int    // of the worker process that serves it, 0 if it is this one
	Strand string // the name of the strand that serves it, "" if it waits for one

	// What the handler has read and written; 0 for those in worker processes.
	ReadBytes, WrittenBytes uint64
}
