package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/tristrand/tristrand/cluster"
)

// clusterCmd is "tristrand cluster".
type clusterCmd struct {
	Status  clusterStatus  `cmd:"" help:"Show what the cluster is, and how much it has to do."`
	Jobs    clusterJobs    `cmd:"" help:"Show the jobs that wait or run."`
	Dead    clusterDead    `cmd:"" help:"Show the dead letters: jobs that were given up, and why."`
	Retry   clusterRetry   `cmd:"" help:"Put dead letters into their queue again."`
	Drop    clusterDrop    `cmd:"" help:"Forget dead letters."`
	Workers clusterWorkers `cmd:"" help:"Show the workers."`
	Locks   clusterLocks   `cmd:"" help:"Show the locks that are held, by whom, and who waits."`
}

// Help is shown by "tristrand cluster --help".
func (clusterCmd) Help() string {
	return `Looks at a cluster and its dead letters.

Examples:

  tristrand cluster status --nats nats://127.0.0.1:4222
  tristrand cluster dead --nats nats://127.0.0.1:4222 --json | jq -r .ID
  tristrand cluster retry --nats nats://127.0.0.1:4222 abcdefghijklmnop.1

--json prints one JSON object on a line for each job, worker, lock or dead letter.

Exit codes: 0 it was done, 1 it failed, 2 wrong usage.`
}

// looking is what the subcommands have in common.
type looking struct {
	natsFlags

	JSON bool `name:"json" help:"Print a JSON object on a line for each."`
}

// with opens the cluster for fn.
func (l *looking) with(ctx context.Context, fn func(c *cluster.Cluster) error) error {
	c, err := l.open(ctx)
	if err != nil {
		return err
	}
	return errors.Join(fn(c), c.Close(context.WithoutCancel(ctx)))
}

// table prints rows in columns, or as JSON.
type table struct {
	json *json.Encoder
	tab  *tabwriter.Writer
}

func (l *looking) table(w io.Writer, heads ...any) *table {
	if l.JSON {
		return &table{json: json.NewEncoder(w)}
	}
	t := &table{tab: tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	t.line(heads...)
	return t
}

func (t *table) line(cells ...any) {
	for i, c := range cells {
		if i > 0 {
			fmt.Fprint(t.tab, "\t")
		}
		fmt.Fprint(t.tab, c)
	}
	fmt.Fprintln(t.tab)
}

// row prints v, or its cells.
func (t *table) row(v any, cells ...any) error {
	if t.json != nil {
		return t.json.Encode(v)
	}
	t.line(cells...)
	return nil
}

func (t *table) end() error {
	if t.json != nil {
		return nil
	}
	return t.tab.Flush()
}

func ago(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return time.Since(t).Round(time.Second).String()
}

type clusterStatus struct{ looking }

// Run shows it.
func (c *clusterStatus) Run(ctx context.Context, s streams) error {
	return c.with(ctx, func(cl *cluster.Cluster) error {
		st, err := cl.Status(ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			return json.NewEncoder(s.out).Encode(st)
		}
		i := st.Info
		_, err = fmt.Fprintf(s.out, "namespace %s, durability %v (%s)\n%d copies of each stream, jobs in %d shards, lease %v, NATS %s\n"+
			"jobs %d (%d in hand), results %d, dead letters %d, workers %d with %d slots, %d busy\n",
			i.Namespace, i.Durability, i.Basis, i.Replicas, i.Shards, i.Lease, i.Version,
			st.Jobs, st.InHand, st.Results, st.Dead, st.Workers, st.Slots, st.Busy)
		return err
	})
}

type clusterJobs struct {
	looking

	Limit int `default:"100" placeholder:"N" help:"Show so many at most; ${default}."`
}

// Validate is called by kong before Run, so that these are errors of usage.
func (c *clusterJobs) Validate() error {
	if c.Limit < 1 {
		return fmt.Errorf("--limit=%d: it must be 1 or more", c.Limit)
	}
	return nil
}

// Run shows them.
func (c *clusterJobs) Run(ctx context.Context, s streams) error {
	return c.with(ctx, func(cl *cluster.Cluster) error {
		t := c.table(s.out, "ID", "TASK", "QUEUE", "LEVEL", "AGE", "BYTES", "FROM")
		n := 0
		for j, err := range cl.Jobs(ctx) {
			if err != nil {
				return err
			}
			if err := t.row(j, j.ID, j.Task, j.Queue, j.Level, ago(j.Since), j.Bytes, j.From); err != nil {
				return err
			}
			if n++; n == c.Limit {
				break
			}
		}
		return t.end()
	})
}

type clusterDead struct{ looking }

// Run shows them.
func (c *clusterDead) Run(ctx context.Context, s streams) error {
	return c.with(ctx, func(cl *cluster.Cluster) error {
		t := c.table(s.out, "ID", "TASK", "QUEUE", "TIMES", "AGE", "WORKER", "REASON")
		for d, err := range cl.DeadLetters(ctx) {
			if err != nil {
				return err
			}
			if err := t.row(d, d.ID, d.Task, d.Queue, d.Times, ago(d.At), d.Worker, d.Reason); err != nil {
				return err
			}
		}
		return t.end()
	})
}

// letters are the dead letters that are named.
type letters struct {
	looking

	All bool     `help:"All of them."`
	ID  []string `arg:"" optional:"" help:"The IDs, as \"tristrand cluster dead\" shows them."`
}

// Validate is called by kong before Run, so that these are errors of usage.
func (l *letters) Validate() error {
	if l.All == (len(l.ID) > 0) {
		return errors.New("give the IDs of dead letters, or --all")
	}
	return nil
}

// each does something with each, and prints its ID.
func (l *letters) each(ctx context.Context, s streams, do func(c *cluster.Cluster, id string) error) error {
	return l.with(ctx, func(cl *cluster.Cluster) error {
		ids := l.ID
		if l.All {
			for d, err := range cl.DeadLetters(ctx) {
				if err != nil {
					return err
				}
				ids = append(ids, d.ID)
			}
		}
		var failed error
		for _, id := range ids {
			if err := do(cl, id); err != nil {
				failed = errors.Join(failed, err)
				continue
			}
			fmt.Fprintln(s.out, id)
		}
		return failed
	})
}

type clusterRetry struct{ letters }

// Run retries them.
func (c *clusterRetry) Run(ctx context.Context, s streams) error {
	return c.each(ctx, s, func(cl *cluster.Cluster, id string) error { return cl.RetryDead(ctx, id) })
}

type clusterDrop struct{ letters }

// Run drops them.
func (c *clusterDrop) Run(ctx context.Context, s streams) error {
	return c.each(ctx, s, func(cl *cluster.Cluster, id string) error { return cl.DropDead(ctx, id) })
}

type clusterWorkers struct{ looking }

// Run shows them.
func (c *clusterWorkers) Run(ctx context.Context, s streams) error {
	return c.with(ctx, func(cl *cluster.Cluster) error {
		all, err := cl.Workers(ctx)
		if err != nil {
			return err
		}
		t := c.table(s.out, "WORKER", "HOST/PID", "QUEUE", "ENGINE", "SLOTS", "BUSY", "DONE", "FAILED", "UP")
		for _, w := range all {
			if err := t.row(w, w.ID, w.Host, w.Queue, w.Engine, w.Slots, w.Busy, w.Done, w.Failed, w.Up.Round(time.Second)); err != nil {
				return err
			}
		}
		return t.end()
	})
}

type clusterLocks struct{ looking }

// Run shows them.
func (c *clusterLocks) Run(ctx context.Context, s streams) error {
	return c.with(ctx, func(cl *cluster.Cluster) error {
		t := c.table(s.out, "LOCK", "HOLDER", "ON", "SINCE", "AT", "TOKEN", "WAITING")
		for l, err := range cl.Locks(ctx) {
			if err != nil {
				return err
			}
			holder := l.Holder.Name
			if l.OwnerDied {
				holder += " (died)"
			}
			if err := t.row(l, l.Name, holder, fmt.Sprintf("%s/%d", l.Holder.Host, l.Holder.PID), ago(l.Holder.Since), l.Holder.At, l.Token, l.Waiting); err != nil {
				return err
			}
		}
		return t.end()
	})
}
