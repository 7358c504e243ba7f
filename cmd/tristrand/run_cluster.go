package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	root "github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/cmd/tristrand/internal/batch"
	"github.com/tristrand/tristrand/cmd/tristrand/internal/builtin"
	"github.com/tristrand/tristrand/cmd/tristrand/internal/remote"
)

// validateCluster says what is wrong with the flags for --engine cluster.
func (c *runCmd) validateCluster() error {
	switch {
	case c.Engine != "cluster" && (len(c.NATS) > 0 || len(c.Send) > 0):
		return errors.New("--nats and --send are for --engine cluster")
	case c.Engine == "cluster" && c.Ungroup:
		return errors.New("--ungroup: the output of jobs on a cluster comes back in one piece")
	case c.Engine == "cluster" && c.Memory > 0:
		return errors.New("--memory-limit: a cluster's jobs have the limits of its workers")
	case len(c.Send) > 0 && c.Task != "":
		return errors.New("--send is for commands, not for a --task")
	case len(c.NATS) == 0 && c.Queue != "default":
		return errors.New("--queue needs --nats: without it the only worker is this process")
	}
	return nil
}

// remoteWork returns the Work of running the jobs on a cluster.
func (c *runCmd) remoteWork(workers int) (_ batch.Work, done func(), err error) {
	done = func() {}
	files, err := remote.Pack(c.Send)
	if err != nil {
		return nil, done, fmt.Errorf("--send: %w", err)
	}
	pool, done, err := c.openCluster(workers)
	if err != nil {
		return nil, func() {}, err
	}
	if c.Task != "" {
		spec, ok := builtin.Lookup(c.Task)
		if !ok {
			return nil, done, fmt.Errorf("--task %s: there is none of that name", c.Task)
		}
		return batch.NewRemoteTask(spec, pool, time.Duration(c.Timeout)), done, nil
	}
	t, err := c.template()
	if err != nil {
		done()
		return nil, func() {}, err
	}
	return batch.NewRemoteCommand(t, pool, time.Duration(c.Timeout), time.Duration(c.Grace), files), done, nil
}

// openCluster opens the cluster that is named, or one of this process alone.
func (c *runCmd) openCluster(workers int) (pool root.Executor, done func(), err error) {
	ctx := context.Background()
	if len(c.NATS) == 0 {
		local, err := remote.Open(ctx, workers)
		if err != nil {
			return nil, nil, err
		}
		return local, func() { _ = local.Close(ctx) }, nil // nothing runs any more
	}
	cl, err := c.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	p := cl.Pool()
	p.Name, p.Queue = c.Queue, max(workers, 1)
	return p, func() {
		_ = p.Close(ctx) // nothing runs any more
		_ = cl.Close(ctx)
	}, nil
}
