package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tristrand/tristrand/bench/internal/measure"
)

// A column of the table.
type column struct {
	head  string
	right bool // numbers stand at the right
	cell  func(measure.Result) string
}

var columns = []column{
	{"row", false, func(r measure.Result) string { return r.Row.Name }},
	{"what is measured", false, func(r measure.Result) string { return r.Row.What }},
	{"ours", true, func(r measure.Result) string { return figure(r, r.Ours) }},
	{"peer", true, func(r measure.Result) string {
		if r.Row.Peer.Name == "" {
			return "–"
		}
		return figure(r, r.Peer)
	}},
	{"ratio", true, ratio},
	{"90 %", false, interval},
	{"bound", false, bound},
	{"verdict", false, verdict},
	{"allocs", false, allocs},
	{"floor", false, func(r measure.Result) string {
		if r.Row.Floor.Name == "" {
			return "–"
		}
		return figure(r, r.Floor) + " " + r.Row.Floor.Name
	}},
}

// Table writes the results as one table, a line each, and counts the verdicts
// below it.
func Table(w io.Writer, results []measure.Result) error {
	lines := [][]string{heads()}
	for _, r := range results {
		cells := make([]string, len(columns))
		for i, c := range columns {
			cells[i] = c.cell(r)
		}
		lines = append(lines, cells)
	}
	width := make([]int, len(columns))
	for _, cells := range lines {
		for i, c := range cells {
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	var b strings.Builder
	for n, cells := range lines {
		if n > 0 && group(results[n-1]) != groupBefore(results, n-1) {
			b.WriteString(strings.Repeat("─", sum(width)+2*(len(width)-1)) + "\n")
		}
		for i, c := range cells {
			cells[i] = pad(c, width[i], columns[i].right)
		}
		b.WriteString(strings.TrimRight(strings.Join(cells, "  "), " ") + "\n")
	}
	b.WriteString("\n" + count(results) + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func heads() []string {
	var hs []string
	for _, c := range columns {
		hs = append(hs, c.head)
	}
	return hs
}

func group(r measure.Result) string {
	g, _, _ := strings.Cut(r.Row.Name, "/")
	return g
}

func groupBefore(results []measure.Result, i int) string {
	if i == 0 {
		return ""
	}
	return group(results[i-1])
}

func sum(xs []int) int {
	total := 0
	for _, x := range xs {
		total += x
	}
	return total
}

func pad(s string, width int, right bool) string {
	fill := strings.Repeat(" ", width-utf8.RuneCountInString(s))
	if right {
		return fill + s
	}
	return s + fill
}

func measured(r measure.Result) bool {
	return r.Verdict != measure.LeftOut && r.Verdict != measure.Broken
}

func figure(r measure.Result, x float64) string {
	if !measured(r) {
		return "–"
	}
	return r.Row.Unit.Format(x)
}

func ratio(r measure.Result) string {
	if !measured(r) || r.Row.Peer.Name == "" {
		return "–"
	}
	return number(r.Ratio)
}

func interval(r measure.Result) string {
	switch {
	case !measured(r):
		return "–"
	case r.Row.Peer.Name == "":
		return figure(r, r.Own.Low) + " … " + figure(r, r.Own.High)
	}
	return number(r.Interval.Low) + " … " + number(r.Interval.High)
}

// number writes a ratio with two or three digits.
func number(x float64) string {
	switch {
	case x >= 100:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	case x >= 0.1:
		return fmt.Sprintf("%.2f", x)
	}
	return fmt.Sprintf("%.2g", x)
}

func bound(r measure.Result) string {
	var parts []string
	if b := r.Row.Bound; b.AtLeast {
		parts = append(parts, b.String()+" × speed")
	} else if !b.None() {
		parts = append(parts, b.String())
	}
	if b := r.Row.Absolute; !b.None() {
		parts = append(parts, b.String()+" "+r.Row.ScaleName)
	}
	if len(parts) == 0 {
		return "–"
	}
	return strings.Join(parts, ", ")
}

func verdict(r measure.Result) string {
	v := string(r.Verdict)
	switch {
	case r.Verdict == measure.Context:
		return "–"
	case r.Why != "":
		return v + ": " + strings.Join(strings.Fields(r.Why), " ")
	case r.By > 0:
		return fmt.Sprintf("%s by %.0f %%", v, r.By*100)
	}
	return v
}

func allocs(r measure.Result) string {
	if !measured(r) || r.Row.Unit != measure.PerOp || r.Row.Ours.N > 0 {
		return "–"
	}
	got := fmt.Sprintf("%.1f", r.Allocs)
	if r.Row.Allocs == 0 {
		return got
	}
	return got + fmt.Sprintf(" ≤ %g", max(r.Row.Allocs, 0))
}

// count says how many rows there are of each verdict.
func count(results []measure.Result) string {
	n := make(map[measure.Verdict]int)
	for _, r := range results {
		n[r.Verdict]++
	}
	parts := []string{fmt.Sprintf("%d rows", len(results))}
	for _, v := range []measure.Verdict{measure.Won, measure.NotReached, measure.Lost, measure.LeftOut, measure.Broken} {
		if n[v] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[v], v))
		}
	}
	return strings.Join(parts, ", ") + fmt.Sprintf("; %d have no bound", n[measure.Context])
}

// Header writes what the figures of a document depend on.
func Header(w io.Writer, d Document) error {
	e := d.Environment
	var b strings.Builder
	fmt.Fprintf(&b, "%s, commit %s\n", e.Date.Format("2006-01-02 15:04 MST"), e.Commit)
	fmt.Fprintf(&b, "%s, %d cores used, %s, %s/%s, %s\n", e.CPU, e.Cores, e.Memory, e.OS, e.Arch, e.Kernel)
	fmt.Fprintf(&b, "%s\n", e.Go)
	for _, name := range slices.Sorted(maps.Keys(e.Versions)) {
		fmt.Fprintf(&b, "%s %s\n", name, e.Versions[name])
	}
	fmt.Fprintf(&b, "load averages %s before, %s after; %d interleaved pairs a row", e.Load, e.LoadEnd, d.Pairs)
	if d.Quick {
		b.WriteString("; quick: not to be quoted")
	}
	_, err := io.WriteString(w, b.String()+"\n")
	return err
}
