package rows

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/tristrand/tristrand/bench/internal/measure"
	"github.com/tristrand/tristrand/process"
	"github.com/tristrand/tristrand/strand"
)

// TestMain begins as the program does: worker processes enter there.
func TestMain(m *testing.M) {
	process.Init()
	os.Exit(m.Run())
}

// Every side does its work once and a few times and finds it right. Sides that
// start programs are in the table only.
func TestEverySideDoesItsWork(t *testing.T) {
	seen := make(map[string]bool)
	for _, row := range All(Options{MapJobs: 1000, Commands: 20}) {
		for _, impl := range []measure.Impl{row.Ours, row.Peer, row.Floor} {
			name := groupOf(row) + "/" + impl.Name
			if impl.Name == "" || impl.N > 0 || seen[name] || slices.Contains(slowGroups, groupOf(row)) {
				continue
			}
			seen[name] = true
			t.Run(name, func(t *testing.T) { work(t, impl) })
		}
	}
}

// slowGroups are those of which even a few take long, or that build programs.
var slowGroups = []string{"startup", "serve-program", "proc-start-rate", "payload-bytes", "payload-shm"}

func work(t *testing.T, impl measure.Impl) {
	ctx, leave := strand.Adopt(t.Context(), "test")
	defer leave()
	trial, err := impl.Open(ctx)
	if errors.As(err, new(measure.MissingError)) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 137} {
		if v, err := trial.Run(n); err != nil || v <= 0 {
			t.Errorf("%d times: %v, %v", n, v, err)
		}
	}
	if trial.Close != nil {
		if err := trial.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestRowsAreNamedOnceAndTheirGroupsStandTogether(t *testing.T) {
	var names, groups []string
	for _, row := range All(Options{MapJobs: 1000, Commands: 20}) {
		if row.What == "" || row.Ours.Name == "" {
			t.Errorf("%q: what %q, ours %q", row.Name, row.What, row.Ours.Name)
		}
		if slices.Contains(names, row.Name) {
			t.Errorf("two rows are named %q", row.Name)
		}
		names = append(names, row.Name)
		if g := groupOf(row); len(groups) == 0 || groups[len(groups)-1] != g {
			if slices.Contains(groups, g) {
				t.Errorf("the group %q stands in two places", g)
			}
			groups = append(groups, g)
		}
	}
}

// What must be seen, by the names of the rows and their bounds.
func TestBoundsAreThoseThatAreAsked(t *testing.T) {
	want := map[string]string{
		"fire/ants": "≤ 1.2", "fire/pond": "≤ 1.2", "fire/conc": "≤ 1.2", "fire/errgroup": "≤ 1.2", "fire/workerpool": "≤ 1.2",
		"fire-future/pond": "≤ 1.2", "result/bare-goroutine": "≤ 1.3", "result/python-executor": "≥ 20",
		"lock/sync.Mutex": "≤ 2", "shm-lock/sync.Mutex": "≤ 2", "shm-lock/python-mp-lock": "≤ 0.35", "shm-hand/futex-ping-pong": "≤ 2", "lock-4deep/sync.Mutex": "≤ 3", "lock-8/sync.Mutex": "≥ 0.8",
		"queue/channel": "≤ 1.5", "queue-2/channel": "≤ 1.5",
		"manager-dict-py1/cpython": "≥ 0.7", "manager-dict-py8/cpython": "≥ 2", "manager-dict-py64/cpython": "≥ 2",
		"manager-dict-py1-cpu/cpython": "≤ 0.4", "manager-create-py1-tcp/cpython": "≥ 30", "manager-dict-go64/cpython": "≥ 2.5",
		"manager-lock-go64/cpython": "≥ 3", "manager-lock-hand-go64/cpython": "≥ 3", "manager-call/unix-echo": "≤ 1.5",
		"proc-call/unix-netpoll": "≤ 0.6", "proc-call/unix-blocking": "≤ 1", "proc-call/python-executor": "≥ 10",
		"proc-call-idle/unix-netpoll": "≤ 1.1", "proc-call-idle/python-executor": "≥ 3",
		"proc-bulk/ring+CBOR": "≥ 0.6", "proc-bulk/python-executor": "≥ 50", "proc-bulk/go-plugin-netrpc": "≥ 10", "proc-bulk/go-plugin-grpc": "≥ 10",
		"python-call/python-executor": "≥ 3", "python-bulk/python-executor": "≥ 2.5",
		"proc-map/python-pool-map": "≥ 1", "payload-bytes/unix-socket": "≥ 1.8", "payload-shm/unix-socket": "≥ 3", "payload-shm/python-pipe": "≥ 10",
		"proc-start/bare-exec": "≤ 1.1", "proc-start-warm/later-job": "≤ 2", "proc-start-rate/bare-exec": "≥ 0.85",
		"shm-queue/python-mp-queue": "≥ 10", "shm-queue/unix-socket": "≥ 3",
		"run/xargs": "≥ 0.9", "run-grouped/xargs": "≥ 0.75", "run/parallel": "≥ 5", "run-grouped/parallel": "≥ 5",
	}
	own := map[string]measure.Bound{"startup": measure.AtMost(30), "memory-growth": measure.AtMost(1), "memory-left": measure.AtMost(256),
		"manager-lock-fair": measure.AtMost(1.5), "manager-idle": measure.AtMost(16)}
	allocs := map[string]float64{"fire/": 2, "result/bare": 4, "lock/sync": -1, "lock-4deep/": -1}
	for _, row := range All(Options{MapJobs: 1000, Commands: 20}) {
		if b, ok := want[row.Name]; ok && row.Bound.String() != b {
			t.Errorf("%s: bound %v, want %s", row.Name, row.Bound, b)
		}
		delete(want, row.Name)
		for prefix, most := range allocs {
			if strings.HasPrefix(row.Name, prefix) && !row.Bound.None() && row.Allocs != most {
				t.Errorf("%s: at most %v allocations, want %v", row.Name, row.Allocs, most)
			}
		}
		if b, ok := own[groupOf(row)]; ok && row.Absolute != b {
			t.Errorf("%s: bound of our own figure %v, want %v", row.Name, row.Absolute, b)
		}
	}
	for name := range want {
		t.Errorf("there is no row %s", name)
	}
}
