//go:build unix

package launch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A process is a child that was started.
type process struct {
	pid   int
	grace time.Duration

	mu       sync.Mutex
	reaped   bool // the pid is not ours any more
	piped    bool // its output is being taken: it is not over, even if it has ended
	stopping bool
	why      reason
	killed   time.Time
	timer    *time.Timer // that follows SIGTERM with SIGKILL
}

type reason int

const (
	byItself reason = iota
	timeUp
	stopped
	outputFailed
)

// errHeld says that somebody holds a pipe open after the kill.
var errHeld = errors.New("held open")

func (l *Launcher) run(ctx context.Context, c *Command) (Exit, error) {
	out, err := l.pipes(c)
	if err != nil {
		return Exit{}, &StartError{c.Path, 126, err}
	}
	defer out.close()
	pid, err := l.start(ctx, c, out)
	out.closeWriters()
	if err != nil {
		return Exit{}, startError(c, err)
	}

	p := &process{pid: pid, grace: l.Grace, piped: !out.inherit}
	l.enter(p)
	if c.Timeout > 0 {
		t := time.AfterFunc(c.Timeout, func() { p.stop(timeUp) })
		defer t.Stop()
	}
	if ctx.Done() != nil {
		defer context.AfterFunc(ctx, func() { p.stop(stopped) })()
	}
	failed := l.collect(c, p, out)
	p.collected()
	if errors.Is(failed, errHeld) {
		failed = nil
	}
	if failed != nil {
		p.stop(outputFailed)
		p.kill()
	}
	exit, err := p.wait()
	l.leave(p)
	switch {
	case failed != nil:
		return exit, &OutputError{failed}
	case err != nil:
		return exit, fmt.Errorf("wait for %s: %w", c.Path, err)
	}
	return exit, nil
}

// start forks. The system may be short of processes or descriptors for a
// moment, with many children at once: that is waited out.
func (l *Launcher) start(ctx context.Context, c *Command, out *output) (int, error) {
	attr := &syscall.ProcAttr{
		Env:   l.env,
		Files: []uintptr{l.stdin().Fd(), out.childStdout(), out.childStderr()},
		Sys:   attributes,
	}
	pause := 10 * time.Millisecond
	for {
		pid, err := syscall.ForkExec(c.Path, c.Args, attr)
		if errors.Is(err, syscall.ENOEXEC) {
			// As execvp, and so xargs: a script without #! is run by sh.
			pid, err = syscall.ForkExec("/bin/sh", append([]string{"sh", c.Path}, c.Args[1:]...), attr)
		}
		if err == nil || !short(err) || pause > 2*time.Second {
			return pid, err
		}
		select {
		case <-ctx.Done():
			return 0, err
		case <-time.After(pause):
			pause *= 2
		}
	}
}

func short(err error) bool {
	return errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.ENFILE) ||
		errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENOMEM)
}

// startError says what can be done about a fork or exec that failed.
func startError(c *Command, err error) error {
	e := &StartError{c.Path, 126, err}
	switch {
	case errors.Is(err, syscall.ENOENT):
		e.Code = 127
		if _, stat := os.Stat(c.Path); stat == nil {
			e.Err = fmt.Errorf("%w: the interpreter in its first line is missing", err)
		}
	case errors.Is(err, syscall.E2BIG):
		longest := 0
		for _, a := range c.Args {
			longest = max(longest, len(a))
		}
		e.Err = fmt.Errorf("%w: the longest argument has %d bytes (Linux passes 131071 at most)", err, longest)
	case errors.Is(err, syscall.EINVAL):
		e.Err = fmt.Errorf("%w: an argument has a NUL byte in it, which no system passes; with -0 inputs end at NUL", err)
	case short(err):
		e.Err = fmt.Errorf("%w: the system had no room for another process for 4 s; use a lower -j, or raise ulimit -u and -n", err)
	}
	return e
}

// stop asks the whole group to end, and makes it after the grace.
func (p *process) stop(why reason) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped || p.stopping {
		return
	}
	p.stopping = true
	if p.piped || !exited(p.pid) { // else it was not this that ended it
		p.why = why
	}
	p.signal(syscall.SIGTERM)
	p.signal(syscall.SIGCONT) // one that is suspended would not hear it
	p.timer = time.AfterFunc(p.grace, p.kill)
}

// kill ends the whole group.
func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return
	}
	if p.why == byItself && !p.stopping && (p.piped || !exited(p.pid)) {
		p.why = stopped
	}
	p.stopping = true
	if p.killed.IsZero() {
		p.killed = time.Now()
	}
	p.signal(syscall.SIGKILL)
}

// signal is called with the pid still ours. The group may be gone.
func (p *process) signal(s syscall.Signal) { _ = syscall.Kill(-p.pid, s) }

// collected notes that all output is there.
func (p *process) collected() {
	p.mu.Lock()
	p.piped = false
	p.mu.Unlock()
}

// lost reports whether the group was killed so long ago that whoever holds the
// output open has left it.
func (p *process) lost() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.killed.IsZero() && time.Since(p.killed) > time.Second
}

// wait reaps the child. If it was stopped, what is left of its group goes too.
func (p *process) wait() (Exit, error) {
	status, err := p.reap()
	if p.timer != nil {
		p.timer.Stop()
	}
	if err != nil {
		return Exit{}, os.NewSyscallError("wait", err)
	}
	exit := Exit{Code: status.ExitStatus(), TimedOut: p.why == timeUp, Stopped: p.why == stopped}
	if status.Signaled() {
		exit.Code, exit.Signal = -1, int(status.Signal())
	}
	return exit, nil
}

// wait4 is the system call, once more after each interruption.
func (p *process) wait4() (status syscall.WaitStatus, err error) {
	for {
		_, err = syscall.Wait4(p.pid, &status, 0, nil)
		if err != syscall.EINTR {
			return status, err
		}
	}
}

// HungUp reports whether the reader of f, a pipe, is gone.
func HungUp(f *os.File) bool {
	fds := []unix.PollFd{{Fd: int32(f.Fd())}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0 && fds[0].Revents&(unix.POLLERR|unix.POLLHUP) != 0
}

func maxFiles() (n uint64, known bool) {
	var r unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r)
	return r.Cur, err == nil
}
