package rows

import (
	"context"
	_ "embed" // celery.py
	"errors"
	"os"
	"path/filepath"

	"github.com/tristrand/tristrand/bench/internal/measure"
)

//go:embed celery.py
var celeryScript string

// celery makes an impl of a function of celery.py: Redis is its broker and keeps its
// results, and its worker has two processes, which is its way.
func celery(o Options, row string, sync bool, n int) measure.Impl {
	return measure.Impl{Name: "celery", N: n, Open: func(ctx context.Context) (measure.Trial, error) {
		path, err := interpreter(ctx, "celery, redis")
		if err != nil {
			return measure.Trial{}, err
		}
		r, err := startRedis(o, sync)
		if err != nil {
			return measure.Trial{}, err
		}
		file := filepath.Join(r.dir, "bench_celery.py")
		if err := os.WriteFile(file, []byte(celeryScript), 0o600); err != nil {
			return measure.Trial{}, errors.Join(err, r.close())
		}
		p, err := startProgram(ctx, "/usr/bin/env", "BENCH_REDIS=redis://"+r.addr+"/0", path, file)
		if err != nil {
			return measure.Trial{}, errors.Join(err, r.close())
		}
		return measure.Trial{
			Run:   func(n int) (float64, error) { return ask(p.in, p.out, row, n) },
			Close: func() error { return errors.Join(p.end(), r.close()) },
		}, nil
	}}
}
