package compare

import (
	"runtime"

	"github.com/tristrand/tristrand/cmd/tristrand/internal/measure"
)

// Result is everything that was measured, in the form of --json.
type Result struct {
	Go      string  `json:"go"`
	OS      string  `json:"os"`
	Arch    string  `json:"arch"`
	CPUs    int     `json:"cpus"`
	Workers int     `json:"workers"`        // of each engine but serial
	PeakOf  string  `json:"peak_memory_of"` // what peak_memory_bytes counts on this platform
	Tasks   []*Task `json:"tasks"`
}

// Task is a task with its runs, serial first.
type Task struct {
	Name   string         `json:"task"`
	About  string         `json:"about"`  // what the inputs are
	Made   bool           `json:"made"`   // the command made them itself
	Inputs int            `json:"inputs"` // how many
	Runs   []*Measurement `json:"engines"`
	Advice string         `json:"advice"` // what the figures show, one sentence
}

// Measurement is one run on one engine.
type Measurement struct {
	Engine  string  `json:"engine"`
	About   string  `json:"-"`
	Seconds float64 `json:"seconds"`
	Speedup float64 `json:"speedup"`           // serial's seconds divided by these
	CPU     float64 `json:"cpu_seconds"`       // processor time, user and system, children included
	Peak    int64   `json:"peak_memory_bytes"` // see peak_memory_of
	Errors  int     `json:"errors"`            // jobs that failed
	Jobs    []Job   `json:"jobs"`              // in the order of the inputs

	queued float64 // seconds in which it could have run and had no processor
}

// Job is one job of a run.
type Job struct {
	Input  string  `json:"input"`
	Worker string  `json:"worker,omitempty"` // the strand that ran it; absent when it never came back
	Start  float64 `json:"start_seconds"`    // since the run began
	End    float64 `json:"end_seconds"`      //
	Bytes  int64   `json:"bytes"`            // fetched, hashed or printed
	Result string  `json:"result,omitempty"` // what came out
	Error  string  `json:"error,omitempty"`  // what went wrong
}

func newResult(workers int) *Result {
	return &Result{
		Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH,
		CPUs: runtime.NumCPU(), Workers: workers, PeakOf: measure.PeakOf, Tasks: []*Task{},
	}
}

// Errors counts the failed jobs of all runs.
func (r *Result) Errors() int {
	n := 0
	for _, t := range r.Tasks {
		for _, m := range t.Runs {
			n += m.Errors
		}
	}
	return n
}

func (m *Measurement) cost(c measure.Cost) {
	m.Seconds, m.CPU, m.Peak = c.Wall.Seconds(), c.CPU.Seconds(), c.Peak
	m.queued = c.Queued.Seconds()
	for _, j := range m.Jobs {
		if j.Error != "" {
			m.Errors++
		}
	}
}

// compute fills in what follows from the runs.
func (t *Task) compute() {
	for _, m := range t.Runs {
		if m.Seconds > 0 {
			m.Speedup = t.Runs[0].Seconds / m.Seconds
		}
	}
	t.Advice = advice(t)
}
