package cluster

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/wire"
	"github.com/tristrand/tristrand/strand"
)

// A Status is what a cluster has to do, at about one moment.
type Status struct {
	Info Info

	Jobs    uint64 // that wait or run
	InHand  int    // of them those that a worker has
	Later   uint64 // that wait for their time, and schedules
	Results uint64 // that are kept
	Dead    uint64

	Workers, Slots, Busy int
}

// Status asks the cluster. It waits some tenths of a second for the workers to answer.
func (c *Cluster) Status(ctx context.Context) (Status, error) {
	st := Status{Info: c.Info()}
	count := func(kind string) (uint64, error) {
		var info struct {
			State struct {
				Messages uint64 `json:"messages"`
			} `json:"state"`
		}
		err := c.link.ask(ctx, "the cluster's store", "STREAM.INFO."+c.stream(kind), nil, &info, storeWait)
		if hasCode(err, codeNoStream) {
			return 0, nil
		}
		return info.State.Messages, err
	}
	for i := range st.Info.Shards {
		n, err := count(taskStream(i))
		if err != nil {
			return st, fmt.Errorf("cluster: Status: %w", err)
		}
		st.Jobs += n
	}
	for kind, to := range map[string]*uint64{streamLater: &st.Later, streamResults: &st.Results, streamDead: &st.Dead} {
		n, err := count(kind)
		if err != nil {
			return st, fmt.Errorf("cluster: Status: %w", err)
		}
		*to = n
	}
	workers, err := c.Workers(ctx)
	if err != nil {
		return st, err
	}
	seen := map[string]bool{}
	for _, w := range workers {
		if !seen[w.ID] { // it may serve several queues
			seen[w.ID] = true
			st.Workers++
			st.Slots += w.Slots
			st.Busy += w.Busy
			st.InHand += w.InHand
		}
	}
	return st, nil
}

// Leaders returns the servers that lead the shards of the jobs, in the order of these: with
// peers, another for each, so that the loss of one server stops one shard alone.
func (c *Cluster) Leaders(ctx context.Context) ([]string, error) {
	var all []string
	for i := range c.info.Shards {
		var info struct {
			Cluster *struct {
				Leader string `json:"leader"`
			} `json:"cluster"`
		}
		if err := c.link.ask(ctx, "the cluster's store", "STREAM.INFO."+c.stream(taskStream(i)), nil, &info, storeWait); err != nil {
			return nil, fmt.Errorf("cluster: Leaders: %w", err)
		}
		name := ""
		if info.Cluster != nil {
			name = info.Cluster.Leader
		}
		all = append(all, name)
	}
	return all, nil
}

// A WorkerInfo is what a worker tells of itself, for one of its queues.
type WorkerInfo struct {
	ID, Host, Queue, Engine string
	Slots, Busy, InHand     int
	Done, Failed            uint64
	Up                      time.Duration
}

// rollCall is how long workers have to answer.
const rollCall = 300 * time.Millisecond

// Workers asks the workers of all queues who they are.
func (c *Cluster) Workers(ctx context.Context) ([]WorkerInfo, error) {
	var mu sync.Mutex
	found := map[string]WorkerInfo{}
	sub, err := c.link.nc.Subscribe(c.subject("a.*"), func(m *nats.Msg) {
		var a announcement
		if unpack(m.Data, false, &a) != nil || a.Leaving {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		found[a.Worker+"/"+a.Queue] = WorkerInfo{a.Worker, a.Host, a.Queue, a.Engine, a.Slots, a.Busy, a.Hand, a.Done, a.Failed, a.Up}
	})
	if err != nil {
		return nil, fmt.Errorf("cluster: Workers: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := c.link.nc.Publish(c.subject("roll"), nil); err != nil {
		return nil, fmt.Errorf("cluster: Workers: %w", err)
	}
	if err := strand.Sleep(ctx, rollCall); err != nil {
		return nil, err
	}
	mu.Lock()
	defer mu.Unlock()
	var all []WorkerInfo
	for _, w := range found {
		all = append(all, w)
	}
	slices.SortFunc(all, func(a, b WorkerInfo) int {
		return cmp.Or(strings.Compare(a.Host, b.Host), strings.Compare(a.Queue, b.Queue), strings.Compare(a.ID, b.ID))
	})
	return all, nil
}

// A JobInfo is a job that waits or runs.
type JobInfo struct {
	ID, Task, Queue, From string
	Level, Bytes          int
	Since                 time.Time
}

// Jobs yields the jobs that wait or run, the oldest of each shard first.
func (c *Cluster) Jobs(ctx context.Context) iter.Seq2[JobInfo, error] {
	return func(yield func(JobInfo, error) bool) {
		for i := range c.info.Shards {
			kind := taskStream(i)
			for seq := uint64(1); ; {
				m, err := c.link.get(ctx, c.stream(kind), map[string]any{"seq": seq, "next_by_subj": c.subject("t" + kind[1:] + ".>")})
				if hasCode(err, codeNoStream) || err == nil && m == nil {
					break
				}
				if err != nil {
					yield(JobInfo{}, fmt.Errorf("cluster: Jobs: %w", err))
					return
				}
				seq = m.Seq + 1
				var f frame
				if wire.Decode(m.Data, &f) != nil {
					continue
				}
				if !yield(JobInfo{f.id(), f.Task, f.Queue, f.Host, f.Level, len(m.Data), m.Time}, nil) {
					return
				}
			}
		}
	}
}

// A LockInfo is a lock that is held.
type LockInfo struct {
	Name      string
	Holder    tristrand.Holder
	Token     uint64
	Waiting   int
	OwnerDied bool
}

// Locks yields the locks that are held.
func (c *Cluster) Locks(ctx context.Context) iter.Seq2[LockInfo, error] {
	return func(yield func(LockInfo, error) bool) {
		var all []LockInfo
		err := c.eachLock(ctx, func(name string, _ uint64, st *lockState) {
			if st.Holder != nil {
				all = append(all, LockInfo{name, *c.holder(st.Holder), st.Token, len(st.Queue), st.Died})
			}
		})
		if err != nil {
			yield(LockInfo{}, fmt.Errorf("cluster: Locks: %w", err))
			return
		}
		for _, l := range all {
			if !yield(l, nil) {
				return
			}
		}
	}
}
