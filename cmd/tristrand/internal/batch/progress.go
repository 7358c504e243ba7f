package batch

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// Progress shows how far a run is. Its methods are called one at a time.
type Progress interface {
	Show(c Counts)
	Hide() // before something else is written
	End()
}

// NewProgress returns a bar if to is a terminal, and otherwise writes a plain
// line each second in which a job has ended.
func NewProgress(to *os.File) Progress {
	if term.IsTerminal(int(to.Fd())) {
		return &bar{to: to}
	}
	return &plain{to: to, began: time.Now(), every: time.Second}
}

type bar struct {
	to    io.Writer
	bar   *progressbar.ProgressBar
	known bool
}

func (b *bar) Show(c Counts) {
	if b.bar == nil || b.known != c.Known {
		b.Hide()
		total := -1 // a spinner
		if c.Known {
			total = c.Total - c.Skipped
		}
		b.known = c.Known
		b.bar = progressbar.NewOptions(total,
			progressbar.OptionSetWriter(b.to),
			progressbar.OptionSetWidth(30),
			progressbar.OptionShowCount(),
			progressbar.OptionShowIts(),
			progressbar.OptionSetItsString("jobs"),
			progressbar.OptionThrottle(65*time.Millisecond),
			progressbar.OptionClearOnFinish(),
		)
	}
	text := "jobs"
	if c.Failed > 0 {
		text = fmt.Sprintf("jobs, %d failed", c.Failed)
	}
	b.bar.Describe(text)
	_ = b.bar.Set(c.Done) // a bar that cannot be drawn is no reason to stop
}

func (b *bar) Hide() {
	if b.bar != nil {
		_ = b.bar.Clear()
	}
}

func (b *bar) End() {
	if b.bar != nil {
		_ = b.bar.Clear()
		_ = b.bar.Exit()
	}
}

// plain writes lines for a log.
type plain struct {
	to    io.Writer
	began time.Time
	every time.Duration
	last  time.Time
	seen  Counts
	said  bool // of seen
}

func (p *plain) Show(c Counts) {
	p.seen, p.said = c, p.said && c == p.seen
	if !p.said && c.Done > 0 && time.Since(p.last) >= p.every {
		p.say()
	}
}

func (p *plain) say() {
	c := p.seen
	of := ""
	if c.Known {
		of = fmt.Sprintf(" of %d", c.Total-c.Skipped)
	}
	fmt.Fprintf(p.to, "tristrand run: %d%s jobs done, %d failed, %d running, %.1f s\n",
		c.Done, of, c.Failed, c.Running, time.Since(p.began).Seconds())
	p.last, p.said = time.Now(), true
}

func (p *plain) Hide() {}

func (p *plain) End() {
	if !p.said {
		p.say()
	}
}
