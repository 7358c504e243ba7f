package process_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/process"
)

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// await waits for a file, in a worker.
func await(ctx context.Context, file string) error {
	for !exists(file) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

// initOne succeeds in one worker, and fails in the others when that one has a job.
var initOne = tristrand.Define("broken.init", func(ctx context.Context, dir string) (struct{}, error) {
	if os.Mkdir(filepath.Join(dir, "one"), 0o700) == nil {
		return struct{}{}, nil
	}
	return struct{}{}, errors.Join(errors.New("one is enough"), await(ctx, filepath.Join(dir, "runs")))
})

// dieLater ends its worker when it is told to.
var dieLater = tristrand.Define("broken.die", func(ctx context.Context, dir string) (int, error) {
	if err := os.WriteFile(filepath.Join(dir, "runs"), nil, 0o600); err != nil {
		return 0, err
	}
	if err := await(ctx, filepath.Join(dir, "die")); err != nil {
		return 0, err
	}
	os.Exit(7)
	return 0, nil
})

// A job that would be tried again when the pool has broken meanwhile fails: there will be
// no worker for it.
func TestARetryInABrokenPool(t *testing.T) {
	ctx, dir := adopt(t), t.TempDir()
	p := open(t, &process.Pool{Workers: 2, Init: initOne.Bind(dir)})
	f := dieLater.Submit(ctx, p, dir, tristrand.Retries(3))
	until(t, "the pool breaks", func() bool {
		short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		_, err := echo.Submit(short, p, 1).Result(ctx)
		return errors.Is(err, tristrand.ErrClosed)
	})
	if err := os.WriteFile(filepath.Join(dir, "die"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	_, err := f.Result(short)
	if e := (*process.ExitError)(nil); !errors.Is(err, tristrand.ErrClosed) || !errors.As(err, &e) {
		t.Errorf("the job ended with %v, want its death and that the pool is broken", err)
	}
}
