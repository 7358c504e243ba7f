package rows

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/bench/internal/measure"
	"github.com/tristrand/tristrand/cluster"
	_ "github.com/tristrand/tristrand/cluster/embed" // the server of our sides
	"github.com/tristrand/tristrand/strand"
	"github.com/tristrand/tristrand/thread"
)

var payload100 = bytes.Repeat([]byte("x"), 100)

// clusterEcho is what jobs of the cluster do.
var clusterEcho = tristrand.Define("bench.echo", func(_ context.Context, b []byte) ([]byte, error) { return b, nil })

const (
	clusterSubmitters = 256 // strands, or goroutines, that submit at once
	clusterSlots      = 64  // of our worker
	clusterMap        = 20000
)

// clusters compares what several processes do by way of a server: jobs, and locks.
func clusters(o Options) []measure.Row {
	jobs := measure.Row{Name: "cluster-jobs", What: fmt.Sprintf("jobs of 100 bytes, stored, to a worker process and back, results stored and pushed, %d submit at once; per job", clusterSubmitters)}
	jobs.Ours = clusterWith(o, cluster.Process, echoMany)
	rows := bounded(jobs, peerBounds{
		{asynqMany(o, false), measure.AtLeast(3.5)}, {celery(o, "many", false, 500), measure.AtLeast(18)},
		{handMany(o, cluster.Process, "each"), measure.AtLeast(0.85)}, {handMany(o, cluster.Process, "window"), measure.Bound{}},
	})
	synced := measure.Row{Name: "cluster-jobs-fsync", What: "the same, on the disk before it is acknowledged; per job"}
	synced.Ours = clusterWith(o, cluster.Power, echoMany)
	rows = append(rows, bounded(synced, peerBounds{
		{asynqMany(o, true), measure.AtLeast(1.3)}, {celery(o, "many", true, 500), measure.Bound{}},
		{handMany(o, cluster.Power, "each"), measure.Bound{}},
	})...)
	mapped := measure.Row{Name: "cluster-map-fsync", What: "the same through Map, which sends quick inputs many to a job; per input"}
	mapped.Ours = clusterWith(o, cluster.Power, echoMap)
	mapped.Ours.N = clusterMap
	rows = append(rows, bounded(mapped, peerBounds{{asynqMany(o, true), measure.AtLeast(15)}})...)
	idle := measure.Row{Name: "cluster-idle", What: "one job after another to a worker that has nothing else to do, submit to result; median", Unit: measure.Nanos}
	idle.Ours = clusterWith(o, cluster.Process, echoIdle)
	idle.Ours.N = 500
	rows = append(rows, bounded(idle, peerBounds{
		{asynqIdle(o, "asynq", 0, 3), measure.AtLeast(2000)}, {asynqIdle(o, "asynq-10ms", 10*time.Millisecond, 50), measure.AtLeast(15)},
		{celery(o, "idle", false, 100), measure.AtLeast(4)},
	})...)
	rested := measure.Row{Name: "cluster-idle-rested", What: "the same, each after 20 ms in which nobody does anything; median", Unit: measure.Nanos}
	rested.Ours = clusterWith(o, cluster.Process, echoRested)
	rested.Ours.N = 100
	rows = append(rows, bounded(rested, peerBounds{{asynqIdle(o, "asynq-10ms", 10*time.Millisecond, 50), measure.Bound{}}})...)
	start := measure.Row{Name: "cluster-start", What: "open a cluster with its server in the process, serve it, first result", Absolute: measure.AtMost(100), Scale: 1e6, ScaleName: "ms"}
	start.Ours = firstResult(o)
	return append(append(rows, start), clusterLocks(o)...)
}

// clusterChild is a worker: its argument is the address of the cluster.
func clusterChild(ctx context.Context, w io.Writer, url string) error {
	c, err := cluster.Connect(ctx, url)
	if err != nil {
		return err
	}
	fmt.Fprintln(w, "ready")
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // its end is ours
		cancel()
	}()
	err = cluster.Serve(ctx, c, &thread.Pool{Workers: clusterSlots})
	return errors.Join(err, c.Close(context.WithoutCancel(ctx)))
}

// clusterWith makes an impl that has a server in this process and a worker in another.
func clusterWith(o Options, d cluster.Durability, run func(ctx context.Context, p *cluster.Pool, n int) (float64, error)) measure.Impl {
	return measure.Impl{Name: "cluster", Open: func(ctx context.Context) (measure.Trial, error) {
		c, err := openCluster(ctx, o, d)
		if err != nil {
			return measure.Trial{}, err
		}
		w, err := startSide(ctx, o, "cluster-worker", c.URL())
		if err != nil {
			return measure.Trial{}, errors.Join(err, c.Close(ctx))
		}
		p := c.Pool()
		_, err = clusterEcho.Submit(ctx, p, payload100).Result(ctx)
		return measure.Trial{
			Run:   func(n int) (float64, error) { return run(ctx, p, n) },
			Close: func() error { return errors.Join(p.Close(ctx), w.kill(), c.Close(ctx)) },
		}, err
	}}
}

func openCluster(ctx context.Context, o Options, d cluster.Durability) (*cluster.Cluster, error) {
	dir, err := os.MkdirTemp(o.Temp, "cluster")
	if err != nil {
		return nil, err
	}
	return cluster.Open(ctx, cluster.Options{Dir: dir, Listen: "127.0.0.1:0", Durability: d})
}

func echoed(got []byte, err error) error {
	if err == nil && !bytes.Equal(got, payload100) {
		err = wrong(len(got), len(payload100))
	}
	return err
}

// echoMany has as many strands as clusterSubmitters submit jobs, and wait for the results at the
// end.
func echoMany(ctx context.Context, p *cluster.Pool, n int) (float64, error) {
	return measure.Time(func(n int) error {
		var wg sync.WaitGroup
		var next atomic.Int64
		errs := make([]error, clusterSubmitters)
		for i := range errs {
			wg.Add(1)
			strand.Go(ctx, strand.Options{Kind: strand.Thread}, func(ctx context.Context) {
				defer wg.Done()
				var fs []*tristrand.Future[[]byte]
				for int(next.Add(1)) <= n {
					fs = append(fs, clusterEcho.Submit(ctx, p, payload100))
				}
				for _, f := range fs {
					errs[i] = errors.Join(errs[i], echoed(f.Result(ctx)))
				}
			})
		}
		wg.Wait()
		return errors.Join(errs...)
	})(n)
}

func echoMap(ctx context.Context, p *cluster.Pool, n int) (float64, error) {
	return measure.Time(func(n int) error {
		got := 0
		in := func(yield func([]byte) bool) {
			for range n {
				if !yield(payload100) {
					return
				}
			}
		}
		for v, err := range clusterEcho.Map(ctx, p, in) {
			if err := echoed(v, err); err != nil {
				return err
			}
			got++
		}
		return checkCount(got, n)
	})(n)
}

func echoIdle(ctx context.Context, p *cluster.Pool, n int) (float64, error) {
	return medianOf(n, 0, func() error { return echoed(clusterEcho.Submit(ctx, p, payload100).Result(ctx)) })
}

func echoRested(ctx context.Context, p *cluster.Pool, n int) (float64, error) {
	return medianOf(n, 20*time.Millisecond, func() error { return echoed(clusterEcho.Submit(ctx, p, payload100).Result(ctx)) })
}

// medianOf returns the median time of n calls, each after a pause.
func medianOf(n int, pause time.Duration, call func() error) (float64, error) {
	took := make([]time.Duration, n)
	for i := range took {
		time.Sleep(pause)
		begin := time.Now()
		if err := call(); err != nil {
			return 0, err
		}
		took[i] = time.Since(begin)
	}
	slices.Sort(took)
	return float64(took[n/2]), nil
}

// firstResult opens clusters, each with a worker in this process.
func firstResult(o Options) measure.Impl {
	one := func(ctx context.Context) (took time.Duration, err error) {
		dir, err := os.MkdirTemp(o.Temp, "cluster")
		if err != nil {
			return 0, err
		}
		begin := time.Now()
		c, err := cluster.Open(ctx, cluster.Options{Dir: dir})
		if err != nil {
			return 0, err
		}
		ended := make(chan error, 1)
		inner, cancel := context.WithCancel(ctx)
		defer cancel()
		strand.Go(inner, strand.Options{Kind: strand.Thread, Name: "worker"}, func(ctx context.Context) {
			engine := &thread.Pool{Workers: 2}
			w := &cluster.Worker{NoSignals: true}
			ended <- errors.Join(w.Serve(ctx, c, engine), engine.Close(context.WithoutCancel(ctx)))
		})
		err = echoed(clusterEcho.Submit(ctx, c.Pool(), payload100).Result(ctx))
		took = time.Since(begin)
		cancel()
		return took, errors.Join(err, <-ended, c.Close(ctx), os.RemoveAll(dir))
	}
	return measure.Impl{Name: "cluster", N: 5, Open: func(ctx context.Context) (measure.Trial, error) {
		return measure.Trial{Run: each(ctx, one)}, nil
	}}
}
