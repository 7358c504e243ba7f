package report

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/tristrand/tristrand/bench/internal/measure"
)

func results() []measure.Result {
	pair := measure.Pair{
		Order: "ours peer", Ours: measure.Sample{N: 10, Value: 90, Allocs: 1},
		Peer: &measure.Sample{N: 20, Value: 100}, Ratio: 0.9,
	}
	side := func(name string) measure.Impl { return measure.Impl{Name: name} }
	return []measure.Result{
		{
			Row: measure.Row{
				Name: "fire/ants", What: "one empty job", Ours: side("thread.Pool"), Peer: side("ants"),
				Bound: measure.AtMost(1.2), Allocs: 2,
			},
			Pairs: []measure.Pair{pair}, Ratio: 0.9, Interval: measure.Interval{Low: 0.8, High: 1, Coverage: 0.96},
			Ours: 90, Peer: 100, Floor: math.NaN(), Allocs: 1, Verdict: measure.Won,
		},
		{
			Row: measure.Row{
				Name: "fire/pond", What: "one empty job", Ours: side("thread.Pool"), Peer: side("pond"), Floor: side("channel"),
				Bound: measure.AtLeast(0.8),
			},
			Ratio: 0.4, Interval: measure.Interval{Low: 0.3, High: 0.5}, Ours: 1500, Peer: 600, Floor: 42, Verdict: measure.Lost, By: 0.5,
		},
		{
			Row:     measure.Row{Name: "fire/python", What: "one empty job", Ours: side("thread.Pool"), Peer: side("python")},
			Verdict: measure.LeftOut, Why: "python3 is\nnot installed",
		},
		{
			Row: measure.Row{
				Name: "startup", What: "start", Ours: side("tristrand"), Unit: measure.Nanos,
				Absolute: measure.AtMost(30), Scale: 1e6, ScaleName: "ms",
			},
			Ratio: math.NaN(), Interval: measure.MedianInterval(nil, 0.9), Peer: math.NaN(), Floor: math.NaN(),
			Ours: 4.5e6, Own: measure.Interval{Low: 4e6, High: 5e6}, Verdict: measure.Won,
		},
	}
}

func TestTheTableSaysAllThatIsToBeSeen(t *testing.T) {
	var b strings.Builder
	if err := Table(&b, results()); err != nil {
		t.Fatal(err)
	}
	got := b.String()
	for _, want := range []string{
		"fire/ants", "90 ns", "100 ns", "0.90", "0.80 … 1.00", "≤ 1.2", "1.0 ≤ 2",
		"1.5 µs", "lost by 50 %", "≥ 0.8 × speed", "42 ns channel",
		"left out: python3 is not installed",
		"4.5 ms", "4 ms … 5 ms", "≤ 30 ms",
		"4 rows, 2 won, 1 lost, 1 left out; 0 have no bound",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the table has no %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "NaN") {
		t.Errorf("the table shows what was not measured:\n%s", got)
	}
	lines := strings.Split(got, "\n")
	at := func(line, cell string) int { return utf8.RuneCountInString(line[:strings.Index(line, cell)]) }
	if a, b := at(lines[0], "bound"), at(lines[2], "≤ 1.2"); a != b {
		t.Errorf("the bound stands at %d, its head at %d:\n%s", b, a, got)
	}
}

func TestTheJSONHasEverySampleAndNoFigureThatWasNotMeasured(t *testing.T) {
	var b bytes.Buffer
	d := Document{Environment: Environment{Commit: "abc", Date: time.Unix(0, 0).UTC()}, Pairs: 9, Results: results()}
	if err := JSON(&b, d); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Environment Environment
		Rows        []struct {
			Row     string
			Verdict string
			Ratio   *float64
			Ours    struct{ Median *float64 }
			Pairs   []measure.Pair
		}
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Environment.Commit != "abc" || len(got.Rows) != 4 {
		t.Fatalf("got %s", b.String())
	}
	first, python, start := got.Rows[0], got.Rows[2], got.Rows[3]
	if len(first.Pairs) != 1 || first.Pairs[0].Peer.Value != 100 || *first.Ratio != 0.9 || first.Verdict != "won" {
		t.Errorf("the first row is %+v", first)
	}
	if python.Ratio != nil || python.Ours.Median != nil || python.Verdict != "left out" {
		t.Errorf("the row that was left out is %+v", python)
	}
	if start.Ratio != nil || *start.Ours.Median != 4.5e6 {
		t.Errorf("the row without a peer is %+v", start)
	}
}

func TestIntoReplacesWhatStandsBetweenTheMarks(t *testing.T) {
	file := filepath.Join(t.TempDir(), "README.md")
	before := "# Title\n\n" + beginMark + "old | table\n" + endMark + "\n\nThe end.\n"
	if err := os.WriteFile(file, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	d := Document{Environment: Environment{Commit: "abc"}, Pairs: 9, Results: results()}
	for range 2 { // again gives the same
		if err := Into(file, d); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"# Title\n", "commit abc", "9 interleaved pairs", "| fire/pond | one empty job |", "| **lost by 50 %** |", "\nThe end.\n"} {
		if strings.Count(string(got), want) != 1 {
			t.Errorf("%q stands %d times in:\n%s", want, strings.Count(string(got), want), got)
		}
	}
	if strings.Contains(string(got), "old") {
		t.Errorf("the old table is still there:\n%s", got)
	}
	if err := os.WriteFile(file, []byte("no marks"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Into(file, d); err == nil || !strings.Contains(err.Error(), "bench: begin") {
		t.Errorf("a file without marks: %v", err)
	}
}
