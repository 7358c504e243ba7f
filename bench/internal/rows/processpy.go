package rows

import (
	"context"
	_ "embed" // process.py
	"errors"
	"os"
	"os/exec"

	"github.com/tristrand/tristrand/bench/internal/measure"
)

//go:embed process.py
var processScript string

// pythonProcess makes an impl of a function of process.py. It is a file, because
// spawned processes import it.
func pythonProcess(name, row string) measure.Impl {
	return pythonFile(name, row, "multiprocessing", 0)
}

// pythonLoky is pythonProcess with an interpreter that has joblib.
func pythonLoky(name, row string, n int) measure.Impl { return pythonFile(name, row, "joblib", n) }

func pythonFile(name, row, module string, n int) measure.Impl {
	return measure.Impl{Name: name, N: n, Open: func(ctx context.Context) (measure.Trial, error) {
		path, err := interpreter(ctx, module)
		if err != nil {
			return measure.Trial{}, err
		}
		file, err := os.CreateTemp("", "bench-*.py")
		if err != nil {
			return measure.Trial{}, err
		}
		_, err = file.WriteString(processScript)
		remove := func() error { return os.Remove(file.Name()) }
		if err := errors.Join(err, file.Close()); err != nil {
			return measure.Trial{}, errors.Join(err, remove())
		}
		p, err := startProgram(ctx, path, file.Name())
		if err != nil {
			return measure.Trial{}, errors.Join(err, remove())
		}
		return measure.Trial{
			Run:   func(n int) (float64, error) { return ask(p.in, p.out, row, n) },
			Close: func() error { return errors.Join(p.end(), remove()) },
		}, nil
	}}
}

// interpreter finds a python3 that has a module: the first in PATH, or the system's.
func interpreter(ctx context.Context, module string) (string, error) {
	for _, name := range []string{"python3", "/usr/bin/python3"} {
		out, err := exec.CommandContext(ctx, name, "-c", "import sys, "+module+"; print(sys.executable)").Output()
		if err == nil && len(out) > 1 {
			return string(out[:len(out)-1]), nil // not a script that starts it
		}
	}
	return "", measure.MissingError("there is no python3 with " + module)
}
