package measure

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// fake makes an impl that takes no time and says that it has taken ns for each
// operation, times the factor of the run.
func fake(name string, ns float64, log *[]string, factors ...float64) Impl {
	runs := 0
	return Impl{Name: name, N: 10, Open: func(context.Context) (Trial, error) {
		*log = append(*log, "open "+name)
		return Trial{
			Run: func(n int) (float64, error) {
				*log = append(*log, "run "+name)
				f := 1.0
				if len(factors) > 0 {
					f = factors[runs%len(factors)]
				}
				runs++
				return ns * f * float64(n), nil
			},
			Close: func() error { *log = append(*log, "close "+name); return nil },
		}, nil
	}}
}

func TestSidesTakeTurnsAndOneIsClosedBeforeTheNextOpens(t *testing.T) {
	var log []string
	row := Row{Name: "r", Ours: fake("A", 1, &log), Peer: fake("B", 1, &log), Floor: fake("F", 1, &log)}
	res, err := Runner{Pairs: 4}.Run(t.Context(), row)
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for i := 0; i < len(log); i += 3 {
		name := strings.Fields(log[i])[1]
		if got, want := log[i:i+3], []string{"open " + name, "run " + name, "close " + name}; !slices.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
		order = append(order, name)
	}
	if got, want := strings.Join(order, ""), "ABFFBAABFFBA"; got != want {
		t.Errorf("order %s, want %s", got, want)
	}
	if got := res.Pairs[1].Order; got != "floor peer ours" {
		t.Errorf("the second pair says %q", got)
	}
}

// A machine that is three times as slow in some pairs as in others moves all
// figures, and must not move the ratio.
func TestTheRatioIsOfPairsNotOfMedians(t *testing.T) {
	var log []string
	slow := []float64{1, 3, 1, 1, 3, 3, 1, 3, 3}
	row := Row{Ours: fake("A", 130, &log, slow...), Peer: fake("B", 100, &log, slow...), Bound: AtMost(1.2)}
	res, err := Runner{}.Run(t.Context(), row)
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Pairs) != 9 {
		t.Fatalf("%d pairs, want 9", len(res.Pairs))
	}
	for _, x := range []float64{res.Ratio, res.Interval.Low, res.Interval.High} {
		if math.Abs(x-1.3) > 1e-9 {
			t.Errorf("ratio %v in %+v, want 1.3", res.Ratio, res.Interval)
		}
	}
	if res.Verdict != Lost {
		t.Errorf("verdict %q, want lost", res.Verdict)
	}
}

func TestABoundOfSpeedTurnsTheRatioRound(t *testing.T) {
	var log []string
	row := Row{Ours: fake("A", 10, &log), Peer: fake("B", 250, &log), Bound: AtLeast(20)}
	res, err := Runner{Pairs: 5}.Run(t.Context(), row)
	if err != nil || res.Ratio != 25 || res.Verdict != Won {
		t.Errorf("ratio %v, verdict %q, error %v; want 25 and won", res.Ratio, res.Verdict, err)
	}
}

func TestABoundOfOurOwnFigure(t *testing.T) {
	for ms, want := range map[float64]Verdict{20: Won, 31: Lost} {
		var log []string
		row := Row{Unit: Nanos, Ours: fake("A", ms*1e6/10, &log), Absolute: AtMost(30), Scale: 1e6, ScaleName: "ms"}
		res, err := Runner{Pairs: 5}.Run(t.Context(), row)
		if err != nil || res.Verdict != want {
			t.Errorf("%v ms: verdict %q, error %v; want %q", ms, res.Verdict, err, want)
		}
	}
}

var sink [2][]byte

func TestAllocationsBeyondTheBoundLoseARowThatIsFast(t *testing.T) {
	var log []string
	allocates := Impl{Name: "A", N: 1000, Open: func(context.Context) (Trial, error) {
		return Trial{Run: func(n int) (float64, error) {
			for range n {
				sink[0], sink[1] = make([]byte, 64), make([]byte, 64)
			}
			return float64(n), nil
		}}, nil
	}}
	for most, want := range map[float64]Verdict{2: Won, 1: Lost, -1: Lost, 0: Won} {
		row := Row{Ours: allocates, Peer: fake("B", 2, &log), Bound: AtMost(1), Allocs: most}
		res, err := Runner{Pairs: 5}.Run(t.Context(), row)
		if err != nil || res.Verdict != want || math.Abs(res.Allocs-2) > 0.1 {
			t.Errorf("at most %v: %q with %v allocations, error %v; want %q", most, res.Verdict, res.Allocs, err, want)
		}
	}
}

func TestWhatTheMachineLacksLeavesTheRowOut(t *testing.T) {
	var log []string
	none := Impl{Name: "B", Open: func(context.Context) (Trial, error) {
		return Trial{}, fmt.Errorf("opening: %w", MissingError("python3 is not installed"))
	}}
	res, err := Runner{}.Run(t.Context(), Row{Ours: fake("A", 1, &log), Peer: none})
	if err != nil || res.Verdict != LeftOut || !strings.Contains(res.Why, "python3 is not installed") {
		t.Errorf("verdict %q, %q, error %v", res.Verdict, res.Why, err)
	}
}

func TestAWrongResultBreaksTheRow(t *testing.T) {
	var log []string
	wrong := Impl{Name: "A", Open: func(context.Context) (Trial, error) {
		return Trial{
			Run:   func(int) (float64, error) { return 1, errors.New("wrong result") },
			Close: func() error { log = append(log, "closed"); return nil },
		}, nil
	}}
	res, err := Runner{}.Run(t.Context(), Row{Ours: wrong, Peer: fake("B", 1, &log), Bound: AtMost(1)})
	if err != nil || res.Verdict != Broken || res.Why != "A: wrong result" {
		t.Errorf("verdict %q, %q, error %v", res.Verdict, res.Why, err)
	}
	if !slices.Equal(log, []string{"closed"}) {
		t.Errorf("got %q, want the trial closed and nothing else", log)
	}
}

func TestTheEndOfTheContextEndsTheRun(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	var log []string
	ours := fake("A", 1, &log)
	open := ours.Open
	ours.Open = func(ctx context.Context) (Trial, error) { cancel(stopped); return open(ctx) }
	_, err := Runner{}.Run(ctx, Row{Ours: ours, Peer: fake("B", 1, &log)})
	if !errors.Is(err, stopped) || slices.Contains(log, "open B") {
		t.Errorf("error %v after %q, want %v and nothing of B", err, log, stopped)
	}
}

// The clock is the trial's own here: an operation takes as long as the test
// says, and only the number of operations is looked at.
func TestCalibrateFindsHowOftenFitsIntoARun(t *testing.T) {
	const each = 200 * time.Microsecond
	impl := Impl{Name: "A", Open: func(context.Context) (Trial, error) {
		return Trial{Run: Time(func(n int) error {
			for end := time.Now().Add(time.Duration(n) * each); time.Now().Before(end); {
			}
			return nil
		})}, nil
	}}
	n, err := Runner{Length: 20 * time.Millisecond}.calibrate(t.Context(), impl)
	if err != nil || n < 1 || n > 100 {
		t.Errorf("n = %d, error %v; want at most 100: 20 ms of 0.2 ms", n, err)
	}
}
