//go:build unix

package child

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// run has the child started by a spawner and waits for that.
func (l *launch) run(ctx context.Context, c *Child) error {
	o, err := l.order(c)
	if err != nil {
		return err
	}
	if err := o.submit(ctx); err != nil {
		return err
	}
	select {
	case <-o.started:
	case <-ctx.Done():
		// Whatever comes of it must not live.
		go func() {
			<-o.started
			if o.err == nil {
				o.discard()
			}
		}()
		return context.Cause(ctx)
	}
	if o.err != nil {
		return o.err
	}
	c.pid = o.pid
	c.proc.adopt(o.pid, o.pidfd)
	l.started = true
	return nil
}

// paths returns where the program may be found, best first.
func (s *Spec) paths() []string {
	if s.Program != "" {
		return []string{s.Program}
	}
	return executables()
}

// order is what a spawner is asked to start.
type order struct {
	paths   []string
	argv    []string
	attr    syscall.ProcAttr
	cpus    []int
	pidfd   int
	started chan struct{} // closed when pid and pidfd, or err, are there
	pid     int
	err     error
}

func (l *launch) order(*Child) (*order, error) {
	s := l.spec
	r := role{mode: modeChild, parent: os.Getpid(), report: uint64(len(l.files) - 1), strays: strays(), memory: s.MemoryLimitBytes, program: os.Args[0]}
	for i := range s.Files {
		r.files = append(r.files, uint64(3+i))
	}
	o := &order{
		paths:   s.paths(),
		argv:    append([]string{s.argv0()}, s.Args...),
		attr:    syscall.ProcAttr{Dir: s.Dir, Env: s.environment(r), Sys: &syscall.SysProcAttr{Setpgid: true}},
		cpus:    s.CPUs,
		pidfd:   -1,
		started: make(chan struct{}),
	}
	o.watchable()
	for i, f := range l.files {
		fd, err := duplicate(f)
		if err != nil {
			o.close()
			if i < 3 {
				err = fmt.Errorf("descriptor %d: %w", i, err)
			} else {
				err = fmt.Errorf("file %d of the Spec's: %w", i-3, err)
			}
			return nil, &StartError{"duplicating the child's files", err}
		}
		o.attr.Files = append(o.attr.Files, fd)
	}
	// A descriptor that does not block would lose output when the pipe is full.
	for i, k := range []*sink{l.stdout, l.stderr, l.report} {
		if k == nil {
			continue
		}
		at := i + 1
		if k == l.report {
			at = len(o.attr.Files) - 1
		}
		if err := unix.SetNonblock(int(o.attr.Files[at]), false); err != nil {
			o.close()
			return nil, &StartError{"preparing a pipe", err}
		}
	}
	return o, nil
}

// duplicate leaves the file as it is; File.Fd would make it block.
func duplicate(f *os.File) (fd uintptr, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	cerr := raw.Control(func(from uintptr) {
		var n int
		n, err = unix.FcntlInt(from, unix.F_DUPFD_CLOEXEC, 3)
		fd = uintptr(n)
	})
	return fd, errors.Join(cerr, err)
}

func (o *order) close() {
	for _, fd := range o.attr.Files {
		_ = unix.Close(int(fd))
	}
	o.attr.Files = nil
}

// spawn runs on the spawner's thread.
func (o *order) spawn() {
	defer close(o.started)
	defer o.close()
	restore, err := pin(o.cpus)
	if err != nil {
		o.err = &StartError{fmt.Sprintf("giving the child the processors %v", o.cpus), err}
		return
	}
	defer restore()
	var tried []error
	for _, path := range o.paths {
		if o.pid, err = syscall.ForkExec(path, o.argv, &o.attr); err == nil {
			return
		}
		tried = append(tried, fmt.Errorf("%s: %w", path, err))
		// A missing directory or file looks the same, so look at another file
		// only if this one is not there.
		if !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.EACCES) {
			break
		}
	}
	if o.attr.Dir != "" {
		if _, serr := os.Stat(o.attr.Dir); serr != nil {
			tried = []error{serr}
		}
	}
	if len(tried) == 0 {
		tried = []error{errNoExecutable}
	}
	o.err = &StartError{"executing this program again", errors.Join(tried...)}
}

var errNoExecutable = errors.New("its file cannot be found: /proc is not mounted, and the file that was started is gone or another")

// discard kills and reaps a child that nobody wants any more.
func (o *order) discard() {
	var p process
	p.adopt(o.pid, o.pidfd)
	_ = p.killGroup()
	p.reap(&Exit{}, func() {})
}

// spawners start the children. They are locked to their threads for ever: a
// child dies with the thread that started it. Two of them start most: one
// executes while the other prepares.
const spawners = 2

var (
	orders     = make(chan *order)
	spawnsOnce sync.Once
)

// submit hands the order to a spawner, which closes the order's files.
func (o *order) submit(ctx context.Context) error {
	spawnsOnce.Do(func() {
		for range spawners {
			go spawner()
		}
	})
	select {
	case orders <- o:
		return nil
	case <-ctx.Done():
		o.close()
		return context.Cause(ctx)
	}
}

// reapByPID takes the status of a child that has ended.
func reapByPID(pid int, e *Exit) {
	var status unix.WaitStatus
	var usage unix.Rusage
	for {
		_, err := unix.Wait4(pid, &status, 0, &usage)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return // ECHILD: SIGCHLD is ignored, or somebody else waits for any child
		}
		break
	}
	e.Kind = Exited // known; judge says more
	switch {
	case status.Exited():
		e.Code = status.ExitStatus()
	case status.Signaled():
		e.Signal, e.Core = status.Signal(), status.CoreDump()
	}
	e.usage(&usage)
}
