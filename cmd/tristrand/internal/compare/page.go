package compare

import (
	"fmt"
	"io"
	"time"

	"github.com/tristrand/tristrand/cmd/tristrand/internal/timeline"
)

// Page writes the result as one self-contained HTML page with a timeline per
// engine. made is the time that the page tells.
func (r *Result) Page(w io.Writer, made time.Time) error {
	p := timeline.Page{
		Title: "Tristrand: the same work on every engine",
		Lead: fmt.Sprintf("Measured %s on %s/%s with %s, %s; %s for each engine but serial.",
			made.Format("2 January 2006, 15:04"), r.OS, r.Arch, r.Go,
			count(r.CPUs, "processor"), count(r.Workers, "worker")),
		Notes: notes(r),
	}
	for _, t := range r.Tasks {
		tt := timeline.Task{Name: t.Name, About: t.About + ".", Sum: t.Advice}
		for _, m := range t.Runs {
			tt.Runs = append(tt.Runs, m.timeline())
		}
		p.Tasks = append(p.Tasks, tt)
	}
	return timeline.Write(w, p)
}

func (m *Measurement) timeline() timeline.Run {
	run := timeline.Run{Engine: m.Engine, About: m.About, Wall: seconds(m.Seconds)}
	for i, cell := range m.cells() {
		run.Columns = append(run.Columns, timeline.Column{Head: heads[i], Cell: cell})
	}
	for _, j := range m.Jobs {
		bar := timeline.Bar{
			Worker: j.Worker, Start: seconds(j.Start), End: seconds(j.End),
			Name: j.Input, Result: j.Result, Failed: j.Error != "",
		}
		if bar.Failed {
			bar.Result = j.Error
		}
		if bar.Worker == "" {
			bar.Worker = "unknown"
		}
		run.Bars = append(run.Bars, bar)
	}
	return run
}

// notes is the page's small print.
func notes(r *Result) []string {
	return []string{
		"Each run was made once; differences of a few per cent are noise.",
		"Time runs from opening the engine to having closed it. Processor time and peak memory (" + r.PeakOf +
			") are the whole command's, so for fetch's own pages they include the local server that answers.",
	}
}
