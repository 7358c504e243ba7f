// Package remote runs commands and tasks on the workers of a cluster, and has a cluster of
// this process alone for those who name none.
package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/cluster"
	_ "github.com/tristrand/tristrand/cluster/embed" // the server of those who name none
	"github.com/tristrand/tristrand/cmd/tristrand/internal/launch"
	"github.com/tristrand/tristrand/strand"
	"github.com/tristrand/tristrand/thread"
)

// A Command is what a worker runs.
type Command struct {
	Args  []string
	Grace time.Duration // between SIGTERM and SIGKILL
	Files []File        // to be there, in a directory that is the command's and goes with it
}

// A File is sent along.
type File struct {
	Name string // relative, with slashes
	Mode os.FileMode
	Data []byte
}

// A Report is what a command has come to.
type Report struct {
	Exit, Signal   int
	Stdout, Stderr []byte
	Cut            bool // of its output only the beginning is here
	NotStarted     string
}

// maxOutput bounds each stream of a command's output, as it is one message.
const maxOutput = 8 << 20

// Run is the task that runs a command.
var Run = tristrand.Define("tristrand.command", run)

func run(ctx context.Context, c Command) (Report, error) {
	if len(c.Args) == 0 {
		return Report{}, tristrand.Permanent(errors.New("the command is empty"))
	}
	dir, err := unpack(c.Files)
	if dir != "" {
		defer func() { _ = os.RemoveAll(dir) }()
	}
	if err != nil {
		return Report{}, err
	}
	path, err := find(c.Args[0], dir)
	if err != nil {
		return notStarted(err), nil
	}
	l := &launch.Launcher{Grace: c.Grace}
	defer l.Close()
	var out, errs head
	args := c.Args
	if dir != "" { // there is no place for a directory in a launch.Command
		args = append([]string{"env", "-C", dir, path}, args[1:]...)
		if path, err = launch.LookPath("env"); err != nil {
			return notStarted(err), nil
		}
	}
	exit, err := l.Run(ctx, &launch.Command{Path: path, Args: args, Stdout: &out, Stderr: &errs})
	r := Report{Exit: exit.Code, Signal: exit.Signal, Stdout: out.Bytes(), Stderr: errs.Bytes(), Cut: out.cut || errs.cut}
	switch {
	case exit.Stopped:
		return r, strand.Err(ctx)
	case err != nil:
		return notStarted(err), nil
	}
	return r, nil
}

func notStarted(err error) Report {
	r := Report{Exit: 126, NotStarted: err.Error()}
	if start, ok := errors.AsType[*launch.StartError](err); ok {
		r.Exit = start.Code
	}
	return r
}

// find looks a program up: among the files that came along, then in PATH.
func find(name, dir string) (string, error) {
	if dir != "" && filepath.IsLocal(name) {
		own := filepath.Join(dir, name)
		if st, err := os.Stat(own); err == nil && !st.IsDir() {
			return own, nil
		}
	}
	return launch.LookPath(name)
}

// unpack writes the files into a new directory.
func unpack(files []File) (dir string, err error) {
	if len(files) == 0 {
		return "", nil
	}
	if dir, err = os.MkdirTemp("", "tristrand-run-"); err != nil {
		return "", err
	}
	for _, f := range files {
		name := filepath.FromSlash(f.Name)
		if !filepath.IsLocal(name) {
			return dir, tristrand.Permanent(fmt.Errorf("the file %q that was sent along is not below the directory", f.Name))
		}
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return dir, err
		}
		if err := os.WriteFile(name, f.Data, f.Mode.Perm()|0o400); err != nil {
			return dir, err
		}
	}
	return dir, nil
}

// Pack reads files that are to be sent along, which are named relative to the directory
// that the program is in.
func Pack(names []string) ([]File, error) {
	var all []File
	total := int64(0)
	for _, name := range names {
		rel := filepath.Clean(name)
		if !filepath.IsLocal(rel) {
			rel = filepath.Base(rel)
		}
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		st, err := f.Stat()
		var data []byte
		if err == nil && !st.Mode().IsRegular() {
			err = fmt.Errorf("%s is no regular file", name)
		}
		if err == nil {
			data, err = io.ReadAll(f)
		}
		_ = f.Close() // it was only read
		if err != nil {
			return nil, err
		}
		if total += int64(len(data)); total > maxFiles {
			return nil, fmt.Errorf("the files to send along have more than %d MiB together", maxFiles>>20)
		}
		all = append(all, File{filepath.ToSlash(rel), st.Mode(), data})
	}
	return all, nil
}

// maxFiles bounds what is sent along with each job.
const maxFiles = 256 << 20

// A head keeps the beginning of what is written to it.
type head struct {
	bytes.Buffer
	cut bool
}

// Write never fails: a command is not to die of a reader that has enough.
func (h *head) Write(p []byte) (int, error) {
	n := min(len(p), maxOutput-h.Len())
	h.cut = h.cut || n < len(p)
	h.Buffer.Write(p[:n])
	return len(p), nil
}

// A Local is an executor of a cluster that is in this process, with a worker.
type Local struct {
	*cluster.Pool
	c      *cluster.Cluster
	engine tristrand.Executor
	end    context.CancelFunc
	ended  sync.WaitGroup
}

// Open opens a cluster of this process alone, with a worker of so many slots.
func Open(ctx context.Context, workers int) (*Local, error) {
	c, err := cluster.Open(ctx, cluster.Options{Durability: cluster.Memory})
	if err != nil {
		return nil, err
	}
	l := &Local{Pool: c.Pool(), c: c, engine: &thread.Pool{Name: "worker", Workers: workers}}
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l.end = cancel
	l.ended.Add(1)
	strand.Go(inner, strand.Options{Kind: strand.Thread, Name: "cluster worker"}, func(ctx context.Context) {
		defer l.ended.Done()
		w := &cluster.Worker{NoSignals: true, Grace: -1}
		if err := w.Serve(ctx, c, l.engine); err != nil {
			tristrand.Report(ctx, err)
		}
	})
	return l, nil
}

// Close waits for the jobs, and ends the worker and the cluster.
func (l *Local) Close(ctx context.Context) error {
	err := l.Pool.Close(ctx)
	l.end()
	l.ended.Wait()
	return errors.Join(err, l.engine.Close(ctx), l.c.Close(ctx))
}
