package measure

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		xs   []float64
		want float64
	}{
		{[]float64{3}, 3},
		{[]float64{5, 1, 3}, 3},
		{[]float64{4, 1, 3, 2}, 2.5},
	} {
		before := slices.Clone(c.xs)
		if got := Median(c.xs); got != c.want {
			t.Errorf("Median(%v) = %v, want %v", c.xs, got, c.want)
		}
		if !slices.Equal(before, c.xs) {
			t.Errorf("Median changed %v into %v", before, c.xs)
		}
	}
	if got := Median(nil); !math.IsNaN(got) {
		t.Errorf("Median(nil) = %v, want NaN", got)
	}
}

// The places and coverages are those of published tables of confidence
// intervals for the median (Conover, table A3).
func TestMedianIntervalTakesTheOrderStatisticsOfTheTables(t *testing.T) {
	for _, c := range []struct {
		n, low, high int
		coverage     float64
	}{
		{9, 2, 8, 0.9609},
		{11, 3, 9, 0.9346},
		{15, 4, 12, 0.9648},
		{21, 7, 15, 0.9216},
		{5, 1, 5, 0.9375},
	} {
		xs := make([]float64, c.n)
		for i := range xs {
			xs[i] = float64(c.n - i) // 1 to n, backwards
		}
		got := MedianInterval(xs, 0.9)
		if got.Low != float64(c.low) || got.High != float64(c.high) || math.Abs(got.Coverage-c.coverage) > 0.0001 {
			t.Errorf("n = %d: got %+v, want %d to %d, coverage %v", c.n, got, c.low, c.high, c.coverage)
		}
	}
}

func TestMedianIntervalOfTooFewIsAllOfThemAndSaysWhatItCovers(t *testing.T) {
	got := MedianInterval([]float64{2, 1, 3}, 0.9)
	if got != (Interval{1, 3, 0.75}) {
		t.Errorf("got %+v, want all three, which cover 75 %%", got)
	}
	if got := MedianInterval(nil, 0.9); got.Coverage != 0 {
		t.Errorf("of nothing: %+v", got)
	}
}

// A skewed distribution, as of run times: the interval must hold the true
// median as often as it says, which a mean and its error would not.
func TestMedianIntervalCoversTheTrueMedian(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const trials, n = 20_000, 9
	held := 0
	for range trials {
		xs := make([]float64, n)
		for i := range xs {
			xs[i] = math.Exp(2 * rng.NormFloat64()) // median 1
		}
		if i := MedianInterval(xs, Level); i.Low <= 1 && 1 <= i.High {
			held++
		}
	}
	want := coverage(n, 1)
	if got := float64(held) / trials; math.Abs(got-want) > 0.01 {
		t.Errorf("held the median in %.3f of the trials, want %.3f", got, want)
	}
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name      string
		bound     Bound
		median    float64
		low, high float64
		want      Verdict
		by        float64
	}{
		{"no bound", Bound{}, 9, 8, 10, Context, 0},
		{"all within", AtMost(1.2), 1.0, 0.9, 1.1, Won, 0},
		{"median on the bound", AtMost(1.2), 1.2, 1.1, 1.3, Won, 0},
		{"median beyond, interval in part", AtMost(1.2), 1.26, 1.2, 1.4, NotReached, 0.05},
		{"all beyond", AtMost(1.2), 1.8, 1.21, 2, Lost, 0.5},
		{"speed within", AtLeast(0.8), 0.9, 0.7, 1.2, Won, 0},
		{"speed beyond in part", AtLeast(0.8), 0.76, 0.7, 0.8, NotReached, 0.05},
		{"speed all beyond", AtLeast(0.8), 0.4, 0.3, 0.79, Lost, 0.5},
		{"not a number", AtMost(1), math.NaN(), math.NaN(), math.NaN(), Broken, 0},
	} {
		got, by := c.bound.Judge(c.median, Interval{c.low, c.high, 0.96})
		if got != c.want || math.Abs(by-c.by) > 1e-9 {
			t.Errorf("%s: got %q by %v, want %q by %v", c.name, got, by, c.want, c.by)
		}
	}
}
