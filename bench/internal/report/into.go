package report

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/tristrand/tristrand/bench/internal/measure"
)

// Marks between which Into writes.
const (
	beginMark = "<!-- bench: begin -->\n"
	endMark   = "<!-- bench: end -->"
)

// Markdown writes the results as a table of Markdown, with the same cells as
// Table.
func Markdown(w io.Writer, results []measure.Result) error {
	var b strings.Builder
	b.WriteString("|")
	for _, c := range columns {
		b.WriteString(" " + c.head + " |")
	}
	b.WriteString("\n|")
	for _, c := range columns {
		if c.right {
			b.WriteString("---:|")
		} else {
			b.WriteString("---|")
		}
	}
	for _, r := range results {
		b.WriteString("\n|")
		for _, c := range columns {
			cell := c.cell(r)
			if c.head == "verdict" && (r.Verdict == measure.Lost || r.Verdict == measure.NotReached) {
				cell = "**" + cell + "**"
			}
			b.WriteString(" " + strings.ReplaceAll(cell, "|", "\\|") + " |")
		}
	}
	b.WriteString("\n\n" + count(results) + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// Into replaces what stands between the marks in a file of Markdown by header
// and table.
func Into(file string, d Document) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	head, rest, ok := strings.Cut(string(text), beginMark)
	_, tail, ok2 := strings.Cut(rest, endMark)
	if !ok || !ok2 {
		return fmt.Errorf("%s: it has no %q before %q to write between", file, strings.TrimSpace(beginMark), endMark)
	}
	var b strings.Builder
	b.WriteString(head + beginMark + "\n```text\n")
	if err := Header(&b, d); err != nil {
		return err
	}
	b.WriteString("```\n\n")
	if err := Markdown(&b, d.Results); err != nil {
		return err
	}
	b.WriteString("\n" + endMark + tail)
	return os.WriteFile(file, []byte(b.String()), 0o600)
}
