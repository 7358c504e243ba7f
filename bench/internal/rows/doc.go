// Package rows states what is compared: each row's work, how ours and each peer
// do it, and the bound.
//
// A file holds a group of rows. In each the sides do the same work, written as
// a user of each library would write it, and check what came of it: a pool's
// jobs count down a WaitGroup, a lock guards a counter, a queue's items are
// added up, a command's output is compared.
package rows

import (
	"context"
	"fmt"
	"strings"

	"github.com/tristrand/tristrand/bench/internal/measure"
)

// Options say how much work the rows do whose runs cannot be cut to a length.
type Options struct {
	MapJobs  int    // through Map while memory is watched
	Commands int    // that a run of the command line starts
	Self     string // this program, which is started again to be watched
	Source   string // the module's folder, for building its command
	Temp     string // a folder for what is built
}

// All returns every row, in the order of the table.
func All(o Options) []measure.Row {
	var all []measure.Row
	for _, group := range [][]measure.Row{
		fire(), submitters(), scaling(), results(), batches(), groups(), mapping(), memory(o), threads(),
		uncontended(), contended(), waits(), sharedLocks(o), semaphores(), queues(), commands(o), startup(o), managers(o),
		coroutines(o), serving(o),
		processes(o), guests(), payloads(o), starting(o), sharing(o), clusters(o),
	} {
		all = append(all, group...)
	}
	return all
}

// against makes a row for each peer from what they share.
func against(row measure.Row, peers ...measure.Impl) []measure.Row {
	rows := make([]measure.Row, 0, len(peers))
	for _, peer := range peers {
		r := row
		r.Name, r.Peer = row.Name+"/"+peer.Name, peer
		if r.Floor.Name == peer.Name {
			r.Floor = measure.Impl{}
		}
		rows = append(rows, r)
	}
	return rows
}

// wrong says that a run gave another result than its work has.
func wrong(got, want any) error {
	return fmt.Errorf("wrong result: got %v, want %v", got, want)
}

// plain makes an impl that needs no preparation.
func plain(name string, run func(n int) error) measure.Impl {
	return measure.Impl{Name: name, Open: func(context.Context) (measure.Trial, error) {
		return measure.Trial{Run: measure.Time(run)}, nil
	}}
}

// under makes an impl whose work needs the ctx of the strand that calls.
func under(name string, run func(ctx context.Context, n int) error) measure.Impl {
	return measure.Impl{Name: name, Open: func(ctx context.Context) (measure.Trial, error) {
		return measure.Trial{Run: measure.Time(func(n int) error { return run(ctx, n) })}, nil
	}}
}

// groupOf returns the part of a row's name that says the work.
func groupOf(row measure.Row) string {
	group, _, _ := strings.Cut(row.Name, "/")
	return group
}
