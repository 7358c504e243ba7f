package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress shows on a terminal how far a run is, one bar after another; off a
// terminal it shows nothing.
type progress struct {
	to  io.Writer // nil: not a terminal
	bar *progressbar.ProgressBar
}

func newProgress(to io.Writer) *progress {
	if f, ok := to.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return &progress{to: to}
	}
	return &progress{}
}

// show says that done of total jobs of task on engine are done; 0 begins a new
// bar.
func (p *progress) show(task, engine string, done, total int) {
	if p.to == nil {
		return
	}
	if done == 0 || p.bar == nil {
		p.clear()
		p.bar = progressbar.NewOptions(total,
			progressbar.OptionSetWriter(p.to),
			progressbar.OptionSetDescription(fmt.Sprintf("%s on %s", task, engine)),
			progressbar.OptionSetWidth(30),
			progressbar.OptionShowCount(),
			progressbar.OptionThrottle(65*time.Millisecond),
			progressbar.OptionClearOnFinish(),
		)
	}
	_ = p.bar.Set(done)
}

// clear takes the bar away, so that lines can be written.
func (p *progress) clear() {
	if p.bar != nil {
		_ = p.bar.Clear()
		p.bar = nil
	}
}
