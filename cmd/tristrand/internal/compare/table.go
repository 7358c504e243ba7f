package compare

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tristrand/tristrand/cmd/tristrand/internal/timeline"
)

// heads are the columns of the table, here and on the page.
var heads = []string{"time", "speed-up", "cpu time", "peak memory", "errors"}

// Table writes the task's runs for a reader: what the inputs were, a line per
// engine, the advice.
func (t *Task) Table(w io.Writer) error {
	rows := [][]string{append([]string{"engine"}, heads...)}
	for _, m := range t.Runs {
		rows = append(rows, append([]string{m.Engine}, m.cells()...))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", t.Name, t.About)
	align(&b, rows)
	for _, m := range t.Runs {
		if m.Errors > 0 {
			fmt.Fprintf(&b, "  %s: first error: %s\n", m.Engine, firstError(m))
		}
	}
	fmt.Fprintf(&b, "%s\n\n", t.Advice)
	_, err := io.WriteString(w, b.String())
	return err
}

// cells are the figures of a run, in the order of heads.
func (m *Measurement) cells() []string {
	return []string{
		timeline.Short(seconds(m.Seconds)),
		times(m.Speedup),
		timeline.Short(seconds(m.CPU)),
		size(m.Peak),
		fmt.Sprint(m.Errors),
	}
}

// align writes rows as columns: names to the left, figures to the right.
func align(b *strings.Builder, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				b.WriteString("  " + cell + pad)
			} else {
				b.WriteString("   " + pad + cell)
			}
		}
		b.WriteByte('\n')
	}
}

// times writes a factor, the same in the table and in the sentence below it.
func times(x float64) string {
	if x >= 10 {
		return fmt.Sprintf("%.1f ×", x)
	}
	return fmt.Sprintf("%.2f ×", x)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func size(n int64) string {
	const kilo = 1 << 10
	switch {
	case n >= 10*kilo*kilo*kilo:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= kilo*kilo:
		return fmt.Sprintf("%d MiB", n>>20)
	default:
		return fmt.Sprintf("%d KiB", n>>10)
	}
}
