package rows

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/tristrand/tristrand/bench/internal/measure"
	"github.com/tristrand/tristrand/cluster"
	"github.com/tristrand/tristrand/strand"
)

const (
	clusterContenders   = 8
	clusterAcquisitions = 1000 // of them together, in a run
	fairAcquisitions    = 4000 // the same; who is there first has some more, which is the edge of the run
)

// clusterLocks compares our lock with the one that is written in ten lines: create a key,
// delete it, watch it. Each contender has a connection of its own, as
// one in a program of its own has.
func clusterLocks(o Options) []measure.Row {
	alone := measure.Row{Name: "cluster-lock", What: "lock of the cluster, acquire and release, alone"}
	alone.Ours = lockImpl(o, 1, 1, lockTime)
	rows := bounded(alone, peerBounds{{kvLock(o, 1, 1, lockTime), measure.Bound{}}})
	eight := measure.Row{Name: "cluster-lock-8", What: "the same, 8 contenders, each with a connection; per acquisition"}
	eight.Ours = lockImpl(o, clusterContenders, clusterContenders, lockTime)
	eight.Ours.N = clusterAcquisitions
	naive := kvLock(o, clusterContenders, clusterContenders, lockTime)
	naive.N = clusterAcquisitions
	rows = append(rows, bounded(eight, peerBounds{{naive, measure.AtLeast(1.7)}})...)
	strands := measure.Row{Name: "cluster-lock-8-strands", What: "the same, 8 contenders with one connection; per acquisition"}
	strands.Ours = lockImpl(o, clusterContenders, 1, lockTime)
	strands.Ours.N = clusterAcquisitions
	naive = kvLock(o, clusterContenders, 1, lockTime)
	naive.N = clusterAcquisitions
	rows = append(rows, bounded(strands, peerBounds{{naive, measure.AtLeast(1.7)}})...)
	fair := measure.Row{Name: "cluster-lock-8-fair", What: "the most served of the 8 to the least", Unit: measure.Count, Absolute: measure.AtMost(1.1)}
	fair.Ours = lockImpl(o, clusterContenders, clusterContenders, lockFairness)
	fair.Ours.N = fairAcquisitions
	naive = kvLock(o, clusterContenders, clusterContenders, lockFairness)
	naive.N = fairAcquisitions
	return append(rows, bounded(fair, peerBounds{{naive, measure.Bound{}}})...)
}

// A mutex is a lock as one contender has it.
type mutex struct {
	lock   func(ctx context.Context) error
	unlock func(ctx context.Context) error
}

// contend has contenders share n acquisitions, first come first served, and returns how
// long it took and how often each was served. Each has had the lock before.
func contend(ctx context.Context, all []mutex, n int) (time.Duration, []int, error) {
	for _, m := range all {
		if err := errors.Join(m.lock(ctx), m.unlock(ctx)); err != nil {
			return 0, nil, err
		}
	}
	begin := time.Now()
	var wg sync.WaitGroup
	served, errs := make([]int, len(all)), make([]error, len(all))
	left := n // guarded by the lock
	for i, m := range all {
		wg.Add(1)
		strand.Go(ctx, strand.Options{Kind: strand.Thread, Name: fmt.Sprint("contender ", i)}, func(ctx context.Context) {
			defer wg.Done()
			for over := false; !over && errs[i] == nil; {
				if errs[i] = m.lock(ctx); errs[i] != nil {
					return
				}
				if over = left <= 0; !over {
					left--
					served[i]++
				}
				errs[i] = m.unlock(ctx)
			}
		})
	}
	wg.Wait()
	err := errors.Join(errs...)
	total := 0
	for _, x := range served {
		total += x
	}
	return time.Since(begin), served, errors.Join(err, checkCount(total, n))
}

func lockTime(took time.Duration, _ []int) float64 { return float64(took) }

func lockFairness(_ time.Duration, served []int) float64 {
	return float64(slices.Max(served)) / float64(max(slices.Min(served), 1))
}

func lockTrial(ctx context.Context, all []mutex, figure func(time.Duration, []int) float64, closes ...func() error) measure.Trial {
	return measure.Trial{
		Run: func(n int) (float64, error) {
			took, served, err := contend(ctx, all, n)
			return figure(took, served), err
		},
		Close: func() error {
			var errs []error
			for _, fn := range slices.Backward(closes) {
				errs = append(errs, fn())
			}
			return errors.Join(errs...)
		},
	}
}

func lockImpl(o Options, contenders, conns int, figure func(time.Duration, []int) float64) measure.Impl {
	return measure.Impl{Name: "cluster.Lock", Open: func(ctx context.Context) (measure.Trial, error) {
		server, err := openCluster(ctx, o, cluster.Process)
		if err != nil {
			return measure.Trial{}, err
		}
		closes := []func() error{func() error { return server.Close(ctx) }}
		var opened []*cluster.Cluster
		for range conns {
			c, err := cluster.Connect(ctx, server.URL())
			if err != nil {
				return measure.Trial{}, err
			}
			opened = append(opened, c)
			closes = append(closes, func() error { return c.Close(ctx) })
		}
		var all []mutex
		for i := range contenders {
			l := cluster.NewLock(opened[i%conns], "bench")
			all = append(all, mutex{l.Acquire, l.Release})
		}
		return lockTrial(ctx, all, figure, closes...), nil
	}}
}

func kvLock(o Options, contenders, conns int, figure func(time.Duration, []int) float64) measure.Impl {
	return measure.Impl{Name: "kv-create-watch", Open: func(ctx context.Context) (measure.Trial, error) {
		server, err := openCluster(ctx, o, cluster.Process) // for its server
		if err != nil {
			return measure.Trial{}, err
		}
		closes := []func() error{func() error { return server.Close(ctx) }}
		var kvs []jetstream.KeyValue
		for range conns {
			nc, err := nats.Connect(server.URL())
			if err != nil {
				return measure.Trial{}, err
			}
			closes = append(closes, func() error { nc.Close(); return nil })
			js, err := jetstream.New(nc)
			if err != nil {
				return measure.Trial{}, err
			}
			kv, err := js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "bench", History: 1, Storage: jetstream.FileStorage})
			if err != nil {
				return measure.Trial{}, err
			}
			kvs = append(kvs, kv)
		}
		var all []mutex
		for i := range contenders {
			kv := kvs[i%conns]
			w, err := kv.Watch(ctx, "lock")
			if err != nil {
				return measure.Trial{}, err
			}
			closes = append(closes, w.Stop)
			all = append(all, mutex{
				lock:   func(ctx context.Context) error { return kvAcquire(ctx, kv, w) },
				unlock: func(ctx context.Context) error { return kv.Delete(ctx, "lock") },
			})
		}
		return lockTrial(ctx, all, figure, closes...), nil
	}}
}

// kvAcquire creates the key; while it is there it waits for the watch to tell that it was
// deleted.
func kvAcquire(ctx context.Context, kv jetstream.KeyValue, w jetstream.KeyWatcher) error {
	for {
		_, err := kv.Create(ctx, "lock", []byte("me"))
		if err == nil || !errors.Is(err, jetstream.ErrKeyExists) {
			return err
		}
		// What it told before is of no use. If the key has gone meanwhile, that is told.
		for e := range w.Updates() {
			if e != nil && e.Operation() != jetstream.KeyValuePut {
				break
			}
		}
	}
}
