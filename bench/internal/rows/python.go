package rows

import (
	"bufio"
	"context"
	_ "embed" // rows.py
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"

	"github.com/tristrand/tristrand/bench/internal/measure"
)

//go:embed rows.py
var script string

// python makes an impl of a function of rows.py. Its interpreter is started
// before the time begins; the clock is Python's own.
func python(name, row string) measure.Impl {
	return interpreted(name, row, script, func() (string, error) {
		path, err := exec.LookPath("python3")
		if err != nil {
			return "", measure.MissingError("python3 is not installed")
		}
		return path, nil
	})
}

// interpreted makes an impl of a function of a script, for the interpreter that
// find finds.
func interpreted(name, row, script string, find func() (string, error)) measure.Impl {
	return measure.Impl{Name: name, Open: func(context.Context) (measure.Trial, error) {
		path, err := find()
		if err != nil {
			return measure.Trial{}, err
		}
		cmd := exec.Command(path, "-c", script)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		in, err := cmd.StdinPipe()
		if err != nil {
			return measure.Trial{}, err
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			return measure.Trial{}, err
		}
		if err := cmd.Start(); err != nil {
			return measure.Trial{}, err
		}
		answers := bufio.NewReader(out)
		if _, err := answers.ReadString('\n'); err != nil { // it has started
			return measure.Trial{}, errors.Join(fmt.Errorf("python3: did not start: %w", err), cmd.Wait(), errors.New(stderr.String()))
		}
		return measure.Trial{
			Run: func(n int) (float64, error) { return ask(in, answers, row, n) },
			Close: func() error {
				_ = in.Close() // its end of file
				if err := cmd.Wait(); err != nil {
					return fmt.Errorf("python3: %w: %s", err, strings.TrimSpace(stderr.String()))
				}
				return nil
			},
		}, nil
	}}
}

// ask has a row done n times and returns the nanoseconds.
func ask(in io.Writer, answers *bufio.Reader, row string, n int) (float64, error) {
	if _, err := fmt.Fprintln(in, row, n); err != nil {
		return 0, fmt.Errorf("python3: %w", err)
	}
	line, err := answers.ReadString('\n')
	if err != nil {
		return 0, fmt.Errorf("python3: no answer: %w", err)
	}
	ns, err := strconv.ParseFloat(strings.TrimSpace(line), 64)
	if err != nil {
		return 0, fmt.Errorf("python3: %s", strings.TrimSpace(line))
	}
	return ns, nil
}
