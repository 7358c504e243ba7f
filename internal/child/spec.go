package child

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
)

// Spec says what to start: the same binary again.
type Spec struct {
	// Program is another program to run, with all that a child has but Enter: no
	// limit of memory, no clean exit told apart, and what a crash means is for
	// whoever knows the program. Empty: this program's binary.
	Program string

	Name string   // shown by ps as "tristrand: NAME"; empty: "worker of PROGRAM"
	Args []string // the child's os.Args after the first, which Enter sets to the parent's
	Env  []string // nil: the parent's, os.Environ()
	Dir  string   // the working directory; empty: the parent's

	// Files become the child's 3, 4, …, which Enter returns as files. They are
	// duplicated: the caller keeps, and closes, its own.
	Files []*os.File

	Stdin  *os.File // nil: the null device
	Stdout *os.File // nil: the parent's
	Stderr *os.File // nil: the parent's

	// ForwardStdout and Forward, if not nil, are called for each line that the
	// child writes to its stdout and stderr, without its newline, instead of
	// writing it to Stdout and Stderr. A line above 64 KiB comes in pieces. The
	// slice is good until the call returns. One goroutine calls each of them; one
	// that blocks stops the child's output, and Done.
	ForwardStdout, Forward func(line []byte)

	// Tail is how many bytes of the end of stderr are kept for Exit; the output
	// still goes to Forward or Stderr. 0 keeps none and, without Forward, gives
	// the child Stderr itself; fatal errors of the runtime are then named less
	// exactly.
	Tail int

	// MemoryLimitBytes bounds the child's own memory: an allocation beyond it
	// ends the child as out of memory, and its garbage collector works to stay
	// below nine tenths of it. Shared memory does not count. 0: no bound; at
	// least MinMemoryLimitBytes. Children built with -race only try to keep to it.
	MemoryLimitBytes int64

	CPUs []int // the processors that the child may use; nil: as the parent
}

// MinMemoryLimitBytes is the least MemoryLimitBytes: with less the Go runtime
// may not even start.
const MinMemoryLimitBytes = 64 << 20

// ErrExhausted says that the system had no descriptors, memory or processes
// left for a child: fewer at a time, or a later try, may succeed.
var ErrExhausted = errors.New("the system has no room for another process")

// ErrNotEntered says that the program starts children but did not call Enter.
var ErrNotEntered = errors.New("child: this program has not called Enter: it must come first in main (and in TestMain), " +
	"before flags, files and goroutines, so that a child knows that it is one")

// StartError says why a child could not be started. Nothing is left of it.
type StartError struct {
	Op  string // what failed
	Err error  // usually a syscall.Errno
}

func (e *StartError) Error() string {
	text := "child: " + e.Op + ": " + e.Err.Error()
	if hint := e.hint(); hint != "" {
		text += ": " + hint
	}
	return text
}

func (e *StartError) Unwrap() error { return e.Err }

// Is makes a StartError ErrExhausted if a later try may succeed.
func (e *StartError) Is(target error) bool {
	return target == ErrExhausted && exhausted(e.Err)
}

func exhausted(err error) bool {
	for _, no := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EAGAIN} {
		if errors.Is(err, no) {
			return true
		}
	}
	return false
}

func (e *StartError) hint() string {
	switch {
	case errors.Is(e.Err, syscall.EMFILE):
		return "this process has used up its descriptors: start fewer children, close files, or raise 'ulimit -n'"
	case errors.Is(e.Err, syscall.ENFILE):
		return "the machine has used up its descriptors: raise fs.file-max"
	case errors.Is(e.Err, syscall.EAGAIN):
		return "no more processes are allowed: start fewer, or raise 'ulimit -u' or the cgroup's pids.max"
	case errors.Is(e.Err, syscall.ENOMEM):
		return "no memory for another process: start fewer, or raise the memory limit of the machine or cgroup"
	}
	return ""
}

// The parent tells the child what it is by one environment variable, which
// Enter takes away again.
const (
	envKey     = "TRISTRAND_CHILD"
	namePrefix = "tristrand: "

	modeChild    = "child"
	modeGuardian = "guardian"
)

// calledEnter is set by Enter, in any process.
var calledEnter atomic.Bool

func (s *Spec) check() error {
	switch {
	case !calledEnter.Load() || os.Getenv(envKey) != "":
		return ErrNotEntered
	case s.MemoryLimitBytes < 0 || s.MemoryLimitBytes > 0 && s.MemoryLimitBytes < MinMemoryLimitBytes:
		return fmt.Errorf("child: MemoryLimitBytes is %d: give 0 for no limit, or at least %d, which a Go program needs to start",
			s.MemoryLimitBytes, MinMemoryLimitBytes)
	case s.Tail < 0:
		return fmt.Errorf("child: Tail is %d: give the number of bytes of stderr to keep, or 0", s.Tail)
	case strings.ContainsRune(s.Name, 0):
		return fmt.Errorf("child: Name %q has a zero byte, which no argument can hold", s.Name)
	}
	for i, f := range s.Files {
		if f == nil {
			return fmt.Errorf("child: Files[%d] is nil", i)
		}
	}
	return nil
}

func (s *Spec) title() string {
	if s.Name != "" {
		return namePrefix + s.Name
	}
	return namePrefix + "worker of " + programName()
}

// programName is this program's name.
func programName() string { return filepath.Base(os.Args[0]) }
