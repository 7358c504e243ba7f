package launch

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

// A process is a child that was started.
type process struct {
	mu   sync.Mutex
	proc *os.Process
	why  Exit
}

func (p *process) kill() { p.stop(Exit{Stopped: true}) }

func (p *process) stop(why Exit) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.proc.Kill() == nil && p.why == (Exit{}) {
		p.why = why
	}
}

func (l *Launcher) run(ctx context.Context, c *Command) (Exit, error) {
	cmd := exec.Command(c.Path)
	cmd.Args, cmd.Env, cmd.Stdin = c.Args, l.env, l.stdin()
	var failed writeError
	if c.Stdout == nil && c.Stderr == nil {
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	} else {
		cmd.Stdout, cmd.Stderr = failed.watch(c.Stdout), failed.watch(c.Stderr)
	}
	if err := cmd.Start(); err != nil {
		e := &StartError{c.Path, 126, err}
		if errors.Is(err, os.ErrNotExist) {
			e.Code = 127
		}
		return Exit{}, e
	}
	p := &process{proc: cmd.Process}
	failed.onError = p.kill
	l.enter(p)
	defer l.leave(p)
	if c.Timeout > 0 {
		defer time.AfterFunc(c.Timeout, func() { p.stop(Exit{TimedOut: true}) }).Stop()
	}
	defer context.AfterFunc(ctx, p.kill)()
	err := cmd.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	exit := p.why
	exit.Code = cmd.ProcessState.ExitCode()
	var status *exec.ExitError
	switch {
	case failed.err != nil:
		return exit, &OutputError{failed.err}
	case err != nil && !errors.As(err, &status):
		return exit, err
	}
	return exit, nil
}

// A writeError keeps the first error of a child's writers and ends the child.
type writeError struct {
	mu      sync.Mutex
	err     error
	onError func()
}

type watched struct {
	io.Writer
	of *writeError
}

func (e *writeError) watch(w io.Writer) io.Writer {
	if w == nil {
		return nil
	}
	return &watched{w, e}
}

func (w *watched) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	if err != nil {
		w.of.mu.Lock()
		if w.of.err == nil {
			w.of.err = err
		}
		end := w.of.onError
		w.of.mu.Unlock()
		if end != nil {
			end()
		}
	}
	return n, err
}

// HungUp is not known here; the next write fails.
func HungUp(*os.File) bool { return false }

func maxFiles() (n uint64, known bool) { return 0, false }
