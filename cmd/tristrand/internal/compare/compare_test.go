package compare_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/cmd/tristrand/internal/builtin"
	"github.com/tristrand/tristrand/cmd/tristrand/internal/compare"
)

// lone is an engine for tests: a goroutine per job, and jobs that it loses as
// it is told.
type lone struct {
	lose   func(n int) error
	closed error

	mu sync.Mutex
	n  int
	wg sync.WaitGroup
}

func (l *lone) Submit(_ context.Context, j tristrand.Job) error {
	l.mu.Lock()
	n := l.n
	l.n++
	l.mu.Unlock()
	if l.lose != nil {
		if err := l.lose(n); err != nil {
			return err
		}
	}
	l.wg.Go(func() { j.Run(context.Background()) })
	return nil
}
func (l *lone) TrySubmit(ctx context.Context, j tristrand.Job) error { return l.Submit(ctx, j) }
func (l *lone) Close(context.Context) error                          { l.wg.Wait(); return l.closed }
func (l *lone) Terminate() error                                     { return nil }
func (l *lone) Stats() tristrand.Stats                               { return tristrand.Stats{QueueCap: 4} }

func engines(l *lone) []compare.Engine {
	return []compare.Engine{
		compare.Engines()[0],
		{Name: "lone", About: "for tests", Open: func(context.Context, int) (tristrand.Executor, error) { return l, nil }},
	}
}

func TestEveryEngineDoesEveryJobOnce(t *testing.T) {
	res, err := compare.Run(t.Context(), compare.Options{
		Tasks: []string{"prime"}, Inputs: []string{"97", "91", "seven", "101"},
	})
	if err != nil {
		t.Fatal(err)
	}
	task := res.Tasks[0]
	if len(task.Runs) != len(compare.Engines()) {
		t.Fatalf("%d runs, want one for each of %d engines", len(task.Runs), len(compare.Engines()))
	}
	for _, m := range task.Runs {
		var got []string
		for _, j := range m.Jobs {
			got = append(got, j.Input+": "+j.Result)
			if j.End < j.Start || j.End > m.Seconds {
				t.Errorf("%s: job %q ran from %g to %g of %g s", m.Engine, j.Input, j.Start, j.End, m.Seconds)
			}
			if j.Worker == "" {
				t.Errorf("%s: job %q names no worker", m.Engine, j.Input)
			}
		}
		want := []string{"97: 97 is prime", "91: 91 = 7 × 13", "seven: ", "101: 101 is prime"}
		if !slices.Equal(got, want) {
			t.Errorf("%s gave %q, want %q", m.Engine, got, want)
		}
		if m.Errors != 1 || !strings.Contains(m.Jobs[2].Error, "seven") {
			t.Errorf("%s: %d errors, the third job's is %q", m.Engine, m.Errors, m.Jobs[2].Error)
		}
		if m.Seconds <= 0 || m.Peak <= 0 || m.Speedup <= 0 {
			t.Errorf("%s: not everything was measured: %+v", m.Engine, m)
		}
	}
	if res.Errors() != len(task.Runs) {
		t.Errorf("Errors() = %d, want one for each run", res.Errors())
	}
}

func TestJobsThatAnEngineLosesAreErrorsOfTheirOwn(t *testing.T) {
	l := &lone{lose: func(n int) error {
		if n == 1 {
			return errors.New("a worker died")
		}
		return nil
	}}
	res, err := compare.Run(t.Context(), compare.Options{
		Tasks: []string{"prime"}, Inputs: []string{"2", "3", "5"}, Engines: engines(l),
	})
	if err != nil {
		t.Fatal(err)
	}
	m := res.Tasks[0].Runs[1]
	if m.Errors != 1 || !strings.Contains(m.Jobs[1].Error, "a worker died") || m.Jobs[2].Result != "5 is prime" {
		t.Errorf("jobs = %+v", m.Jobs)
	}
	var page bytes.Buffer
	if err := res.Page(&page, time.Now()); err != nil || !strings.Contains(page.String(), "a worker died") {
		t.Errorf("the page should show the lost job; %v", err)
	}
}

func TestAnEngineThatDoesNotCloseFailsTheComparison(t *testing.T) {
	l := &lone{closed: errors.New("it would not end")}
	_, err := compare.Run(t.Context(), compare.Options{Tasks: []string{"prime"}, Inputs: []string{"2"}, Engines: engines(l)})
	if err == nil || !strings.Contains(err.Error(), "prime: on lone: it would not end") {
		t.Errorf("err = %v", err)
	}
}

// TestItsOwnInputs runs every task with nothing given, and looks for what is
// left behind.
func TestItsOwnInputs(t *testing.T) {
	tmp := t.TempDir()
	for _, name := range []string{"TMPDIR", "TMP", "TEMP"} {
		t.Setenv(name, tmp)
	}
	var pages string
	var shown []string
	res, err := compare.Run(t.Context(), compare.Options{
		Size: 0.05, Command: builtin.Quote(os.Args[0]) + " -test.run=^$",
		Done: func(task *compare.Task) {
			var b bytes.Buffer
			if err := task.Table(&b); err != nil || !strings.Contains(b.String(), "serial") {
				t.Errorf("table of %s: %v\n%s", task.Name, err, b.String())
			}
			shown = append(shown, task.Name)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(shown, builtin.Names()) {
		t.Errorf("tables of %q, want %q", shown, builtin.Names())
	}
	for _, task := range res.Tasks {
		if !task.Made || task.Advice == "" || task.Inputs == 0 {
			t.Errorf("%s: %+v", task.Name, task)
		}
		for _, m := range task.Runs {
			if m.Errors > 0 {
				t.Errorf("%s on %s: %d errors, the first job's %q", task.Name, m.Engine, m.Errors, m.Jobs[0].Error)
			}
		}
		if task.Name == "fetch" {
			pages = task.Runs[0].Jobs[0].Input
		}
	}
	if left, _ := filepath.Glob(filepath.Join(tmp, "*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	u, err := url.Parse(pages)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := net.DialTimeout("tcp", u.Host, time.Second); err == nil {
		c.Close()
		t.Errorf("the server of the pages still listens on %s", u.Host)
	}
}

func TestItStopsWithItsContext(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	res, err := compare.Run(ctx, compare.Options{
		Tasks: []string{"prime", "hash", "fetch"}, Size: 0.1,
		Progress: func(task, _ string, done, _ int) {
			if task == "hash" && done == 1 {
				cancel(enough)
			}
		},
	})
	if !errors.Is(err, enough) || !strings.Contains(err.Error(), "hash: on serial: stopped after 1 of") {
		t.Errorf("err = %v", err)
	}
	if res == nil || len(res.Tasks) != 1 || res.Tasks[0].Name != "prime" {
		t.Errorf("result = %+v, want prime alone, which was complete", res)
	}
	if left, _ := filepath.Glob(filepath.Join(tmp, "*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestWrongOptionsAreRefused(t *testing.T) {
	for want, o := range map[string]compare.Options{
		`there is no task "sing"`: {Tasks: []string{"sing"}},
		"name one task":           {Inputs: []string{"2"}},
		"-1 workers":              {Workers: -1},
		"work size -2":            {Size: -2},
	} {
		if _, err := compare.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: err = %v, want one with %q", o, err, want)
		}
	}
}

func TestJSONHasTheDocumentedFields(t *testing.T) {
	res, err := compare.Run(t.Context(), compare.Options{Tasks: []string{"prime"}, Inputs: []string{"7", "x"}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(res)
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{
		"go", "os", "arch", "cpus", "workers", "peak_memory_of", "tasks", "task", "about", "made", "inputs", "advice", "engines",
		"engine", "seconds", "speedup", "cpu_seconds", "peak_memory_bytes", "errors", "jobs",
		"input", "worker", "start_seconds", "end_seconds", "bytes", "result", "error",
	} {
		if !bytes.Contains(b, []byte(`"`+field+`":`)) {
			t.Errorf("no field %q in %s", field, b)
		}
	}
}
