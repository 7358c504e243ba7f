package conformance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// An ExecutorMaker makes an executor with so many workers and room for so many
// jobs that wait for one. The suite closes it.
type ExecutorMaker func(ctx context.Context, t testing.TB, workers, queue int) tristrand.Executor

// ExecutorOptions say what an engine can do, beside what [Options] say. The zero
// value is right for one that runs jobs on goroutines.
type ExecutorOptions struct {
	Options

	// Portable says that jobs leave the process: closures are refused, and a
	// job cannot reach the executor that runs it.
	Portable bool

	// CanKill says that a job that runs is ended for good when it is cancelled
	// or its time is up, and, if Portable, that one that ends its process by
	// os.Exit does not end the program.
	CanKill bool
}

// Executor checks an engine's executor, with everything that waits for its jobs:
// futures, Wait, AsCompleted, Map and, for one that takes closures, Group.
//
// Jobs tell what they did by files in a folder of the rule, and wait for files
// there, so that the rules are the same for jobs that run in other processes.
func Executor(t *testing.T, mk ExecutorMaker, o ExecutorOptions) {
	t.Helper()
	var rules []rule[ExecutorMaker]
	for _, er := range executorRules() {
		if er.kind == ofClosures && o.Portable || er.kind == ofPortable && !o.Portable {
			continue
		}
		rules = append(rules, rule[ExecutorMaker]{er.name, er.clause, er.needs, func(ctx context.Context, r *run, mk ExecutorMaker) {
			runTrial(ctx, r, mk, o, er.check)
		}})
	}
	skip := map[string]string{}
	for name, why := range o.Skip { // it may name a rule of the other kind of executor
		if slices.ContainsFunc(rules, func(rl rule[ExecutorMaker]) bool { return rl.name == name }) ||
			!slices.ContainsFunc(executorRules(), func(er executorRule) bool { return er.name == name }) {
			skip[name] = why
		}
	}
	o.Skip = skip
	runRules(t, rules, mk, o.Options)
}

// An executorRule is one thing that every executor must keep.
type executorRule struct {
	name   string
	clause string // of the design or the contract
	kind   executorKind
	needs  need
	check  func(ctx context.Context, x *trial)
}

// An executorKind says for which executors a rule is.
type executorKind int

const (
	ofAll      executorKind = iota
	ofClosures              // those that run jobs in this process
	ofPortable              // the others
)

func executorRules() []executorRule {
	return slices.Concat(runRulesOfExecutors(), stateRules(), backlogRules(), cancelRules(), contextRules(),
		closeRules(), timeoutRules(), retryRules(), mapRules(), chunkRules(), waitRules(), closureRules(), nestedRules())
}

// A trial is one run of one rule. Its methods may be called by any strand of it.
type trial struct {
	*run
	ExecutorOptions
	journal
	mk    ExecutorMaker
	pools []tristrand.Executor

	closedLate bool // the rule has closed an executor that had jobs left
}

// errStuck is what ends a rule that takes too long. It is not a deadline, as
// that would make deadlocks into time-outs.
var errStuck = errors.New("the rule took too long: something hangs")

func runTrial(ctx context.Context, r *run, mk ExecutorMaker, o ExecutorOptions, check func(context.Context, *trial)) {
	before := strandsNow()
	x := &trial{run: r, ExecutorOptions: o, mk: mk, journal: journal{r.TempDir()}}
	inner, cancel := r.withCancel(ctx)
	stop := strand.Named(ctx).After(patience, func() {
		x.releaseAll() // who does not mind ctx may mind this
		cancel(errStuck)
	})
	func() {
		defer stop()
		defer x.closeAll(ctx)
		defer x.releaseAll()
		check(inner, x)
	}()
	cancel(context.Canceled)
	x.noneLeft(ctx, before)
}

// open makes an executor that is closed when the rule is over.
func (x *trial) open(ctx context.Context, workers, queue int) tristrand.Executor {
	ex := x.mk(ctx, x.TB, workers, queue)
	x.pools = append(x.pools, ex)
	return ex
}

func (x *trial) closeAll(ctx context.Context) {
	for _, ex := range x.pools {
		bounded, cancel := strand.WithTimeout(ctx, patience)
		err := ex.Close(bounded)
		cancel()
		if err != nil && !x.closedLate {
			x.Errorf("Close at the end of the rule: %v", err)
		}
		if st := ex.Stats(); err == nil && (st.Queued != 0 || st.Busy != 0) {
			x.Errorf("after Close the executor counts %+v, want nothing queued or running", st)
		}
	}
}

// noneLeft waits until every strand that the rule has brought about is over.
func (x *trial) noneLeft(ctx context.Context, before map[strand.ID]bool) {
	var left []string
	for began := x.now(ctx); x.now(ctx)-began < patience; {
		left = nil
		for s := range strand.All() {
			ours := !x.world.scheduled() || s.Kind() != strand.Nameless // it may be whoever runs the world
			if ours && !before[s.ID()] && s != strand.Current(ctx) {
				left = append(left, s.String())
			}
		}
		if left == nil {
			return
		}
		if err := strand.Sleep(ctx, tick); err != nil {
			break
		}
	}
	stacks := make([]byte, 1<<16)
	x.Errorf("the executor is closed, but these strands go on: %s\n%s",
		strings.Join(left, ", "), stacks[:runtime.Stack(stacks, true)])
}

func strandsNow() map[strand.ID]bool {
	all := map[strand.ID]bool{}
	for s := range strand.All() {
		all[s.ID()] = true
	}
	return all
}

// result returns the outcome of f, which must be a success.
func result[T any](ctx context.Context, x *trial, f *tristrand.Future[T]) T {
	x.Helper()
	v, err := f.Result(ctx)
	if err != nil {
		x.Fatalf("Result: %v", err)
	}
	return v
}

// fails checks that f has an error, which matches the targets.
func fails[T any](ctx context.Context, x *trial, f *tristrand.Future[T], targets ...error) {
	x.Helper()
	_ = failure(ctx, x, f, targets...)
}

// failure returns the error of f, which must match the targets.
func failure[T any](ctx context.Context, x *trial, f *tristrand.Future[T], targets ...error) error {
	x.Helper()
	v, err := f.Result(ctx)
	if err == nil {
		x.Fatalf("Result is %v, want an error", v)
	}
	x.is(err, "Result", targets...)
	return err
}

// state checks the state of f.
func state[T any](x *trial, f *tristrand.Future[T], want tristrand.FutureState) {
	x.Helper()
	if got := f.State(); got != want {
		x.Errorf("the state is %v, want %v", got, want)
	}
}

// equal checks two slices.
func equal[T comparable](x *trial, what string, got, want []T) {
	x.Helper()
	if !slices.Equal(got, want) {
		x.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// A journal is a folder in which jobs say what they do, whatever process they
// run in.
type journal struct{ dir string }

func (j journal) path(name string) string { return j.dir + string(os.PathSeparator) + name }

// note adds a line.
func (j journal) note(line string) error {
	f, err := os.OpenFile(j.path("log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, line)
	return errors.Join(err, f.Close())
}

// lines returns all lines so far.
func (j journal) lines() []string {
	text, err := os.ReadFile(j.path("log"))
	if err != nil || len(text) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// starting returns, without the prefix, the lines that have it.
func (j journal) starting(prefix string) []string {
	var rest []string
	for _, l := range j.lines() {
		if after, ok := strings.CutPrefix(l, prefix); ok {
			rest = append(rest, after)
		}
	}
	return rest
}

func (j journal) wrote(line string) bool { return slices.Contains(j.lines(), line) }

// release lets the jobs that hold under these names go on.
func (j journal) release(names ...string) {
	for _, name := range names {
		_ = os.WriteFile(j.path(name+".go"), nil, 0o600) // a job that is not released fails its rule
	}
}

func (j journal) releaseAll() { j.release("all") }

func (j journal) released(name string) bool {
	for _, n := range []string{name, "all"} {
		if _, err := os.Stat(j.path(n + ".go")); err == nil {
			return true
		}
	}
	return false
}

// untilBegan waits until the jobs of these names run.
func (x *trial) untilBegan(ctx context.Context, names ...string) {
	x.Helper()
	x.until(ctx, fmt.Sprintf("the beginning of %v", names), func() bool {
		began := x.starting("begin ")
		for _, n := range names {
			if !slices.Contains(began, n) {
				return false
			}
		}
		return true
	})
}

// untilLine waits until a job has written the line.
func (x *trial) untilLine(ctx context.Context, line string) {
	x.Helper()
	x.until(ctx, fmt.Sprintf("the line %q", line), func() bool { return x.wrote(line) })
}

// rest is a time for which something is given the chance to go wrong.
const rest = 20 * time.Millisecond
