// Package launch runs child processes at the speed of xargs and takes their
// output.
//
// A Launcher starts a program in a process group of its own, waits for it on
// the calling goroutine, and returns how it ended. Per child it costs two pipes
// and no goroutine: the caller itself polls both pipes, and what the child
// writes goes to the writers of its Command as it comes.
//
// # Ends
//
// A child is over when its process has ended and nobody holds its pipes open any
// more, as with the shell's $(…): what a background process of it still writes
// belongs to its output. Launcher.Held is told when that takes long.
//
// A child is stopped when its time is up, when ctx ends, or when its output
// cannot be kept: its process group gets SIGTERM, after Grace SIGKILL, and
// once its first process is gone, so are those it left in the group. Kill ends
// every child at once. On Linux a child also dies with this process, whatever
// kills it.
//
// # Windows
//
// Only the child itself is ended, at once: there are no process groups and no
// SIGTERM.
package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

// A Launcher starts children. Its methods are safe for concurrent use; its
// fields must not change after the first use.
type Launcher struct {
	Stdin *os.File      // of every child; nil is /dev/null
	Env   []string      // of every child; nil is this process's
	Grace time.Duration // between SIGTERM and SIGKILL; 0 is 5 s

	// MemoryLimitBytes bounds the data of each process of a child (RLIMIT_DATA): an
	// allocation beyond it fails. sh starts the child then. 0 is no bound; it is
	// ignored where LimitsMemory is false.
	MemoryLimitBytes int64

	// Held, if set, is told that a child has ended, but that a process which
	// it left behind holds its output open.
	Held func(c *Command)
	// Watch, if set, is a pipe that this process writes to; Hangup is called,
	// once, when its reader goes away. Seen only while a child runs whose
	// output is taken.
	Watch  *os.File
	Hangup func()

	once    sync.Once
	null    *os.File
	failed  error // of once
	env     []string
	mu      sync.Mutex
	running map[*process]struct{}
	killed  bool
	hungUp  sync.Once
}

const defaultGrace = 5 * time.Second

// A Command is one child to run.
type Command struct {
	Path string   // of the file to run, as LookPath returns it
	Args []string // the first is the program's name

	// Stdout and Stderr take the output. With both nil the child writes to this
	// process's own standard output and error.
	Stdout, Stderr io.Writer

	Timeout time.Duration // 0 is none
}

// An Exit is how a child ended.
type Exit struct {
	Code     int // -1 if a signal ended it
	Signal   int // 0 if none did
	TimedOut bool
	Stopped  bool // by the end of ctx, or by Kill
}

// A StartError says that a command did not run.
type StartError struct {
	Path string
	Code int // as shells have it: 127 if there is no such program, else 126
	Err  error
}

func (e *StartError) Error() string { return fmt.Sprintf("cannot start %q: %v", e.Path, e.Err) }

// Unwrap returns why.
func (e *StartError) Unwrap() error { return e.Err }

// An OutputError says that a child was stopped because its output could not be
// kept.
type OutputError struct{ Err error }

func (e *OutputError) Error() string { return e.Err.Error() }

// Unwrap returns why.
func (e *OutputError) Unwrap() error { return e.Err }

// LookPath finds a program as shells do. The error is a *StartError.
func LookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil || (errors.Is(err, exec.ErrDot) && path != "") {
		return path, nil
	}
	e := &StartError{Path: name, Code: 126, Err: err}
	if look, ok := errors.AsType[*exec.Error](err); ok {
		e.Err = look.Err
	}
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
		e.Code = 127
	}
	if errors.Is(err, exec.ErrNotFound) {
		e.Err = errors.New("there is no such program in PATH")
	}
	return "", e
}

// Run starts a child and waits for its end. The error is a *StartError or an
// *OutputError, or says that the wait failed; a child that fails is no error.
func (l *Launcher) Run(ctx context.Context, c *Command) (Exit, error) {
	if l.once.Do(l.prepare); l.failed != nil {
		return Exit{}, l.failed
	}
	select {
	case <-ctx.Done():
		return Exit{Code: -1, Stopped: true}, nil
	default:
		return l.run(ctx, l.limited(c))
	}
}

// filesPerChild is how many descriptors a child costs while it is started.
const filesPerChild = 4

// Room says whether n children can run at once with the descriptors that this
// process may have.
func Room(n int) error {
	const others = 64
	limit, known := maxFiles()
	if !known || uint64(n)*filesPerChild+others <= limit {
		return nil // what cannot be known is tried
	}
	return fmt.Errorf("%d jobs at once need %d open files, and this process may have %d: use -j %d or raise ulimit -n",
		n, n*filesPerChild+others, limit, max((int(limit)-others)/filesPerChild, 1))
}

func (l *Launcher) prepare() {
	if l.env = l.Env; l.env == nil {
		l.env = os.Environ()
	}
	if l.Grace <= 0 {
		l.Grace = defaultGrace
	}
	l.running = make(map[*process]struct{})
	if l.Stdin == nil {
		l.null, l.failed = os.Open(os.DevNull)
	}
}

func (l *Launcher) stdin() *os.File {
	if l.Stdin != nil {
		return l.Stdin
	}
	return l.null
}

// Close gives back what the children shared. No child may run.
func (l *Launcher) Close() {
	if l.null != nil {
		_ = l.null.Close()
	}
}

// Kill ends every child at once, and each one that is started later.
func (l *Launcher) Kill() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.killed = true
	for p := range l.running {
		p.kill()
	}
}

// enter notes a child that runs; leave forgets it.
func (l *Launcher) enter(p *process) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running[p] = struct{}{}
	if l.killed {
		p.kill()
	}
}

func (l *Launcher) leave(p *process) {
	l.mu.Lock()
	delete(l.running, p)
	l.mu.Unlock()
}
