package timeline

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// The measures of a picture, in SVG units (a pixel where the page is wide).
const (
	width     = 960.0
	labelsEnd = 130.0 // where the names of the workers end and time begins
	rightEdge = width - 14
	thin      = 0.75 // a bar below this width is joined to its neighbour
	axis      = 24.0
	listed    = 500 // jobs in the table below a picture
)

type pageView struct {
	Page
	Tasks []taskView
}

type taskView struct {
	Task
	ID    string
	Heads []string
	Runs  []runView
}

type runView struct {
	Run
	ID            string // for aria references
	Colour        int    // which of the page's colours
	Title         string
	Height, Floor float64 // of the picture; of the rows in it
	Rows          []rowView
	Ticks         []tick
	Marks         []mark
	End           mark // the line at which the run was over
	Listed        []listedJob
	Unlisted      int
}

type rowView struct {
	Label         string
	Y, H, Text    float64
	ShowLabel     bool
	Width, Begins float64
}

type mark struct {
	X, Y, W, H float64
	Title      string
	Failed     bool
}

type tick struct {
	X     float64
	Label string
}

type listedJob struct{ Name, Worker, Start, Took, Result string }

func newView(p Page) pageView {
	v := pageView{Page: p}
	for i, t := range p.Tasks {
		tv := taskView{Task: t, ID: fmt.Sprintf("task%d", i)}
		var longest time.Duration
		for _, r := range t.Runs {
			longest = max(longest, r.Wall)
		}
		for j, r := range t.Runs {
			rv := newRunView(r, longest)
			rv.ID = fmt.Sprintf("%s-run%d", tv.ID, j)
			rv.Colour = j % 6
			rv.Title = fmt.Sprintf("%s on %s: %d jobs in %s", t.Name, r.Engine, len(r.Bars), Short(r.Wall))
			tv.Runs = append(tv.Runs, rv)
		}
		if len(t.Runs) > 0 {
			for _, c := range t.Runs[0].Columns {
				tv.Heads = append(tv.Heads, c.Head)
			}
		}
		v.Tasks = append(v.Tasks, tv)
	}
	return v
}

// newRunView places the rows, the bars and the scale of one picture, in which
// the whole width stands for longest.
func newRunView(r Run, longest time.Duration) runView {
	v := runView{Run: r}
	byRow, order := rows(r.Bars)
	height, gap := rowHeight(len(order))
	x := func(d time.Duration) float64 {
		if longest <= 0 {
			return labelsEnd
		}
		at := labelsEnd + (rightEdge-labelsEnd)*float64(d)/float64(longest)
		return round(min(max(at, labelsEnd), rightEdge))
	}
	for i, name := range order {
		y := round(4 + float64(i)*(height+gap))
		v.Rows = append(v.Rows, rowView{
			Label: clip(name, 18), Y: y, H: height, Text: round(y + height/2),
			ShowLabel: height >= 10, Begins: labelsEnd, Width: rightEdge - labelsEnd,
		})
		v.Marks = append(v.Marks, marks(byRow[name], y, height, x)...)
	}
	v.Floor = round(4 + float64(len(order))*(height+gap))
	v.Height = v.Floor + axis
	v.Ticks = ticks(longest, x)
	v.End = mark{X: x(r.Wall), Y: 0, H: v.Floor, Title: "done after " + Short(r.Wall)}
	for i, b := range r.Bars {
		if i == listed {
			v.Unlisted = len(r.Bars) - listed
			break
		}
		result := clip(b.Result, 120)
		if b.Failed {
			result = "failed: " + result
		}
		v.Listed = append(v.Listed, listedJob{clip(b.Name, 80), clip(b.Worker, 40), Short(b.Start), Short(b.End - b.Start), result})
	}
	return v
}

// rows sorts the bars by worker and, on each, by start. It returns the workers
// in the order of their names.
func rows(bars []Bar) (map[string][]Bar, []string) {
	byStart := slices.SortedStableFunc(slices.Values(bars), func(a, b Bar) int { return int(a.Start - b.Start) })
	byRow := map[string][]Bar{}
	var order []string
	for _, b := range byStart {
		if _, ok := byRow[b.Worker]; !ok {
			order = append(order, b.Worker)
		}
		byRow[b.Worker] = append(byRow[b.Worker], b)
	}
	slices.SortFunc(order, natural)
	return byRow, order
}

// natural compares names as a reader does: what is a number in both counts as
// one.
func natural(a, b string) int {
	for a != "" && b != "" {
		na, nb := digits(a), digits(b)
		if na > 0 && nb > 0 {
			x, y := strings.TrimLeft(a[:na], "0"), strings.TrimLeft(b[:nb], "0")
			if c := cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y)); c != 0 {
				return c
			}
			a, b = a[na:], b[nb:]
			continue
		}
		if a[0] != b[0] {
			return cmp.Compare(a[0], b[0])
		}
		a, b = a[1:], b[1:]
	}
	return cmp.Compare(len(a), len(b))
}

// digits counts the digits that s begins with.
func digits(s string) int { return len(s) - len(strings.TrimLeft(s, "0123456789")) }

// rowHeight keeps the picture of very many workers on a page.
func rowHeight(n int) (height, gap float64) {
	switch {
	case n <= 24:
		return 16, 4
	case n <= 64:
		return 10, 2
	default:
		return 4, 1
	}
}

// marks places the bars of one row. Bars too thin to see are joined with the
// one before them when they touch it, so that a hundred thousand jobs still
// make a small page.
func marks(bars []Bar, y, height float64, x func(time.Duration) float64) []mark {
	var ms []mark
	joined := 1
	for _, b := range bars {
		m := mark{X: x(b.Start), Y: y, H: height, Title: describe(b), Failed: b.Failed}
		m.W = round(max(x(b.End)-m.X, thin))
		if n := len(ms); n > 0 {
			last := &ms[n-1]
			if m.W <= thin && last.W <= 4 && m.X <= last.X+last.W+thin && m.Failed == last.Failed {
				joined++
				last.W = round(max(last.W, m.X+m.W-last.X))
				last.Title = fmt.Sprintf("%d jobs up to %s", joined, Short(b.End))
				continue
			}
		}
		joined = 1
		ms = append(ms, m)
	}
	return ms
}

func describe(b Bar) string {
	s := fmt.Sprintf("%s\n%s, from %s to %s", clip(b.Name, 200), Short(b.End-b.Start), Short(b.Start), Short(b.End))
	if b.Result != "" {
		s += "\n" + clip(b.Result, 200)
	}
	if b.Failed {
		s += "\nfailed"
	}
	return s
}

// ticks divides the scale into four to ten round steps.
func ticks(longest time.Duration, x func(time.Duration) float64) []tick {
	if longest <= 0 {
		return nil
	}
	step := time.Duration(math.Pow(10, math.Floor(math.Log10(float64(longest)))))
	switch n := longest / step; {
	case n < 2:
		step /= 5
	case n < 5:
		step /= 2
	}
	if step <= 0 {
		return nil
	}
	var ts []tick
	for d := time.Duration(0); d <= longest; d += step {
		ts = append(ts, tick{x(d), Short(d)})
	}
	return ts
}

// Short writes a duration with three figures at most.
func Short(d time.Duration) string {
	for _, unit := range []time.Duration{time.Hour, time.Minute} {
		if d >= unit*2 {
			return d.Round(unit / 60).String()
		}
	}
	switch {
	case d >= time.Second:
		return figures(d.Seconds()) + " s"
	case d >= time.Millisecond:
		return figures(float64(d)/1e6) + " ms"
	case d > 0:
		return figures(float64(d)/1e3) + " µs"
	default:
		return "0"
	}
}

func figures(f float64) string {
	decimals := 0
	switch {
	case f < 10:
		decimals = 2
	case f < 100:
		decimals = 1
	}
	s := fmt.Sprintf("%.*f", decimals, f)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

// clip shortens s to n characters and makes it printable on one line.
func clip(s string, n int) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "\uFFFD")), " ")
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

func round(f float64) float64 { return math.Round(f*100) / 100 }
