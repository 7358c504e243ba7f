package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/process"
)

var sayByte = tristrand.Define("small.byte", func(context.Context, struct{}) (struct{}, error) {
	_, err := os.Stdout.WriteString("x")
	return struct{}{}, err
})

// A starter starts a process that writes a byte to w and ends; wait waits for its end.
type starter func(ctx context.Context, w *os.File) (wait func() error, err error)

func ours(ctx context.Context, w *os.File) (func() error, error) {
	p, err := process.Start(ctx, sayByte.Bind(struct{}{}), process.Output(w, nil))
	if err != nil {
		return nil, err
	}
	return func() error { return p.Join(ctx) }, nil
}

func bare(_ context.Context, w *os.File) (func() error, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), bareKey+"=byte")
	cmd.Stdout = w
	return cmd.Wait, cmd.Start()
}

// oneStart returns the time until the byte came.
func oneStart(ctx context.Context, start starter) (time.Duration, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	begin := time.Now()
	wait, err := start(ctx, w)
	if err := errors.Join(err, w.Close()); err != nil {
		return 0, err
	}
	_, err = io.ReadFull(r, make([]byte, 1))
	took := time.Since(begin)
	return took, errors.Join(err, wait())
}

// one measures starts, one after another, without their ends.
func one(start starter) func(context.Context, int) (float64, error) {
	return func(ctx context.Context, n int) (float64, error) {
		var all time.Duration
		for range n {
			took, err := oneStart(ctx, start)
			if err != nil {
				return 0, err
			}
			all += took
		}
		return float64(all), nil
	}
}

// twoAtOnce measures starts with their ends, two at once.
func twoAtOnce(start starter) func(context.Context, int) (float64, error) {
	return func(ctx context.Context, n int) (float64, error) {
		begin := time.Now()
		var wg sync.WaitGroup
		errs := make([]error, 2)
		for i := range errs {
			wg.Go(func() {
				for j := i; j < n && errs[i] == nil; j += len(errs) {
					_, errs[i] = oneStart(ctx, start)
				}
			})
		}
		wg.Wait()
		return float64(time.Since(begin)), errors.Join(errs...)
	}
}
