package batch

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/tristrand/tristrand/cmd/tristrand/internal/launch"
	"github.com/tristrand/tristrand/cmd/tristrand/internal/spool"
	"github.com/tristrand/tristrand/cmd/tristrand/internal/template"
)

// Commands is the Work of running a child process for each input.
type Commands struct {
	template *template.Template
	launcher *launch.Launcher
	timeout  time.Duration
	path     string // of the program, if it is the same for all

	mu    sync.Mutex
	paths map[string]string // of programs that depend on the input
}

// NewCommands returns the Work of t. It fails at once if the program does not
// exist and is the same for all inputs. A job's process group is stopped when
// its time-out, if above 0, has passed.
func NewCommands(t *template.Template, l *launch.Launcher, timeout time.Duration) (*Commands, error) {
	c := &Commands{template: t, launcher: l, timeout: timeout, paths: make(map[string]string)}
	if name, fixed := t.Program(); fixed {
		path, err := launch.LookPath(name)
		if err != nil {
			return nil, err
		}
		c.path = path
	}
	return c, nil
}

// Line is the command as a shell would read it.
func (c *Commands) Line(input string) string { return template.Line(c.template.Expand(input)) }

// Kill ends the children.
func (c *Commands) Kill() { c.launcher.Kill() }

// OnHangup has fn called when the reader of standard output goes away.
func (c *Commands) OnHangup(fn func()) { c.launcher.Hangup = fn }

// Do runs the command and waits for its end.
func (c *Commands) Do(ctx context.Context, input string, out, errs *spool.Buffer) Outcome {
	args := c.template.Expand(input)
	path, err := c.find(args[0])
	if err != nil {
		return notStarted(err)
	}
	cmd := &launch.Command{Path: path, Args: args, Timeout: c.timeout}
	if out != nil {
		cmd.Stdout, cmd.Stderr = out, errs
	}
	exit, err := c.launcher.Run(ctx, cmd)
	o := Outcome{Exit: exit.Code, Signal: exit.Signal, TimedOut: exit.TimedOut, Stopped: exit.Stopped}
	var output *launch.OutputError
	switch {
	case errors.As(err, &output):
		o.Err, o.Fatal = err, true
	case err != nil:
		return notStarted(err)
	case o.TimedOut:
		o.Exit = -1
		o.Err = timeUp(c.timeout)
	}
	return o
}

func notStarted(err error) Outcome {
	o := Outcome{Exit: 126, Err: err}
	if start, ok := errors.AsType[*launch.StartError](err); ok {
		o.Exit = start.Code
	}
	return o
}

const maxPaths = 1024

// find looks a program up, once.
func (c *Commands) find(name string) (string, error) {
	if c.path != "" {
		return c.path, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if path, ok := c.paths[name]; ok {
		return path, nil
	}
	path, err := launch.LookPath(name)
	if err != nil {
		return "", err
	}
	if len(c.paths) >= maxPaths {
		clear(c.paths)
	}
	c.paths[name] = path
	return path, nil
}

// Readable reports whether f has a reader that can go away: f is a pipe or a
// socket.
func Readable(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&(os.ModeNamedPipe|os.ModeSocket) != 0
}
