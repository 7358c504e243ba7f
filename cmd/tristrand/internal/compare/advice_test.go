package compare

import (
	"strings"
	"testing"
)

func TestAdvice(t *testing.T) {
	run := func(engine string, seconds, cpu float64, failed int) *Measurement {
		m := &Measurement{Engine: engine, Seconds: seconds, CPU: cpu, Errors: failed}
		for range failed {
			m.Jobs = append(m.Jobs, Job{Error: "no\nluck."})
		}
		return m
	}
	crowded := run("serial", 10, 1, 0) // or else it would seem to wait for something
	crowded.queued = 8
	for _, row := range []struct {
		name string
		runs []*Measurement
		want string
	}{
		{"waiting", []*Measurement{run("serial", 10, 0.5, 0), run("thread", 1, 0.5, 0)}, "mostly waits (5 % of one processor): use thread, 10.0 × faster, because the waits overlap"},
		{"busy", []*Measurement{run("serial", 10, 9.9, 0), run("thread", 5, 9.9, 0)}, "keeps a processor busy: use thread, 2.00 × faster on"},
		{"both", []*Measurement{run("serial", 10, 6, 0), run("thread", 5, 6, 0)}, "waits and computes (60 % of one processor): use thread, 2.00 × faster."},
		{"no gain", []*Measurement{run("serial", 10, 9, 0), run("thread", 9, 9, 0)}, "no engine gains much"},
		{"tiny jobs", []*Measurement{run("serial", 0.0004, 0.0004, 0), run("thread", 0.0005, 0.0009, 0)}, "keeps a processor busy, but its jobs are too short to be worth handing over (10 µs each)"},
		{"a tie", []*Measurement{run("serial", 10, 1, 0), run("thread", 1, 1, 0), run("coro", 1.05, 1, 0), run("process", 2, 1, 0)}, "use thread or coro,"},
		{"the fastest fails", []*Measurement{run("serial", 10, 1, 0), run("thread", 1, 1, 2), run("coro", 2, 1, 0)}, "use coro, 5.00 ×"},
		{"all but serial fail", []*Measurement{run("serial", 10, 1, 0), run("thread", 1, 1, 2)}, "look at the errors first"},
		{"serial fails now and then", []*Measurement{run("serial", 40, 1, 4), run("thread", 4, 1, 4), run("coro", 3, 1, 5)}, "use thread, 10.0 ×"},
		{"serial fails", []*Measurement{run("serial", 10, 1, 5), run("thread", 1, 1, 5)}, "5 of 40 jobs failed, so its times say little; first: no luck."},
		{"alone", []*Measurement{run("serial", 10, 1, 0)}, "mostly waits (10 % of one processor)."},
		{"nothing", []*Measurement{run("serial", 0, 0, 0)}, "nothing was measured"},
		{"a busy machine", []*Measurement{crowded, run("thread", 1, 1, 0)}, "cannot be judged: the machine was busy with other work (alone it waited for a processor for 80 % of its time)"},
	} {
		task := &Task{Name: "work", Inputs: 40, Runs: row.runs}
		task.compute()
		got := task.Advice
		if !strings.Contains(got, row.want) || strings.ContainsRune(got, '\n') {
			t.Errorf("%s: %q, want it to say %q", row.name, got, row.want)
		}
	}
}

func TestTableAligns(t *testing.T) {
	task := &Task{Name: "work", About: "2 things", Runs: []*Measurement{
		{Engine: "serial", Seconds: 10, CPU: 0.0123, Peak: 5 << 20},
		{Engine: "thread", Seconds: 0.5, CPU: 1, Peak: 123 << 20, Errors: 1, Jobs: []Job{{Error: "bad\nluck"}}},
	}}
	task.compute()
	var b strings.Builder
	if err := task.Table(&b); err != nil {
		t.Fatal(err)
	}
	want := `work: 2 things
  engine     time   speed-up   cpu time   peak memory   errors
  serial     10 s     1.00 ×    12.3 ms         5 MiB        0
  thread   500 ms     20.0 ×        1 s       123 MiB        1
  thread: first error: bad luck
` + task.Advice + "\n\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}
