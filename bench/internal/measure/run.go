package measure

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"time"

	"github.com/tristrand/tristrand/strand"
)

// Level is that of the intervals.
const Level = 0.9

// allocSlack is forgiven of allocations per operation: what is set up once in
// a run, shared among its operations.
const allocSlack = 0.1

// A Runner measures rows.
type Runner struct {
	Pairs  int           // of each row; 0 is 9
	Length time.Duration // of a run, about; 0 is 100 ms
}

// A Sample is one run.
type Sample struct {
	N      int     `json:"n"`      // operations
	Value  float64 `json:"value"`  // in the row's unit
	Allocs float64 `json:"allocs"` // per operation, of the whole process
}

// A Pair is one turn of each side, and of the floor.
type Pair struct {
	Order string  `json:"order"` // who came first: "ours peer floor" or "floor peer ours"
	Ours  Sample  `json:"ours"`
	Peer  *Sample `json:"peer,omitempty"`
	Floor *Sample `json:"floor,omitempty"`
	Ratio float64 `json:"ratio,omitempty"` // as the row's bound wants it
}

// A Result is what came of a row.
type Result struct {
	Row      Row
	Pairs    []Pair
	Ratio    float64 // the median of the pairs; NaN without a peer
	Interval Interval
	Ours     float64 // medians, in the row's unit
	Peer     float64
	Floor    float64
	Own      Interval // of Ours
	Allocs   float64  // of ours
	Verdict  Verdict
	By       float64 // how far beyond the bound, as a part of it
	Why      string  // for LeftOut and Broken, and for Lost if it is not the ratio
}

// Run measures a row. It returns an error only when ctx has ended, which it sees
// between runs; a row that fails has a Result that says so.
//
// Trials get the context of a strand, made for the row, that has nothing above
// it which can end: what contexts cost is for the rows to say.
func (r Runner) Run(ctx context.Context, row Row) (Result, error) {
	res := Result{Row: row}
	own, leave := strand.Adopt(context.WithoutCancel(ctx), "bench")
	defer leave()
	err := r.pairs(ctx, own, &res)
	var missing MissingError
	switch {
	case ctx.Err() != nil:
		return res, context.Cause(ctx)
	case errors.As(err, &missing):
		res.Verdict, res.Why = LeftOut, err.Error()
	case err != nil:
		res.Verdict, res.Why = Broken, err.Error()
	default:
		res.sum()
	}
	return res, nil
}

// pairs measures the sides in turns, under own, until ctx ends.
func (r Runner) pairs(ctx, own context.Context, res *Result) error {
	impls := []Impl{res.Row.Ours}
	for _, i := range []Impl{res.Row.Peer, res.Row.Floor} {
		if i.Name != "" {
			impls = append(impls, i)
		}
	}
	ns := make([]int, len(impls))
	for i, impl := range impls {
		n, err := r.calibrate(own, impl)
		if err != nil {
			return fmt.Errorf("%s: %w", impl.Name, err)
		}
		ns[i] = n
	}
	count := r.Pairs
	if count == 0 {
		count = 9
	}
	for turn := range count {
		samples := make([]Sample, len(impls))
		for _, i := range order(len(impls), turn) {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			s, err := sample(own, impls[i], ns[i], res.Row.Unit)
			if err != nil {
				return fmt.Errorf("%s: %w", impls[i].Name, err)
			}
			samples[i] = s
		}
		res.Pairs = append(res.Pairs, res.Row.pair(samples, turn))
	}
	return nil
}

// order returns the places of n sides in a turn: forwards, then backwards.
func order(n, turn int) []int {
	places := make([]int, n)
	for i := range places {
		places[i] = i
		if turn%2 == 1 {
			places[i] = n - 1 - i
		}
	}
	return places
}

func (row Row) pair(samples []Sample, turn int) Pair {
	p := Pair{Order: "ours", Ours: samples[0]}
	rest := samples[1:]
	names := []string{"ours"}
	if row.Peer.Name != "" {
		p.Peer, rest = &rest[0], rest[1:]
		p.Ratio = p.Ours.Value / p.Peer.Value
		if row.Bound.AtLeast {
			p.Ratio = p.Peer.Value / p.Ours.Value
		}
		names = append(names, "peer")
	}
	if row.Floor.Name != "" {
		p.Floor = &rest[0]
		names = append(names, "floor")
	}
	p.Order = ""
	for _, i := range order(len(names), turn) {
		if p.Order != "" {
			p.Order += " "
		}
		p.Order += names[i]
	}
	return p
}

// calibrate returns how often an impl does its work in a run.
func (r Runner) calibrate(ctx context.Context, impl Impl) (n int, err error) {
	if impl.N > 0 {
		return impl.N, nil
	}
	want := r.Length
	if want == 0 {
		want = 100 * time.Millisecond
	}
	t, err := impl.Open(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	if _, err := t.Run(1); err != nil { // what happens once is not of the work
		return 0, err
	}
	const most = 1 << 30
	for n = 1; ; {
		begin := time.Now()
		if _, err := t.Run(n); err != nil {
			return 0, err
		}
		took := max(time.Since(begin), time.Microsecond)
		scale := float64(want) / float64(took)
		if took >= want/4 || n >= most {
			return max(1, int(float64(n)*scale)), nil
		}
		n = min(most, int(math.Ceil(float64(n)*min(10, max(2, scale)))))
	}
}

// sample opens a trial, warms it up, and measures one run.
func sample(ctx context.Context, impl Impl, n int, unit Unit) (s Sample, err error) {
	t, err := impl.Open(ctx)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	if impl.N == 0 {
		if _, err := t.Run(max(1, n/20)); err != nil {
			return s, err
		}
	}
	runtime.GC() // one side does not pay for what the other left
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	v, err := t.Run(n)
	runtime.ReadMemStats(&after)
	if err != nil {
		return s, err
	}
	if unit == PerOp {
		v /= float64(n)
	}
	return Sample{N: n, Value: v, Allocs: float64(after.Mallocs-before.Mallocs) / float64(n)}, nil
}

func (t Trial) close() error {
	if t.Close == nil {
		return nil
	}
	return t.Close()
}

// sum works the pairs out into medians, interval and verdict.
func (res *Result) sum() {
	var ratios, ours, peer, floor, allocs []float64
	for _, p := range res.Pairs {
		ours = append(ours, p.Ours.Value)
		allocs = append(allocs, p.Ours.Allocs)
		if p.Peer != nil {
			peer = append(peer, p.Peer.Value)
			ratios = append(ratios, p.Ratio)
		}
		if p.Floor != nil {
			floor = append(floor, p.Floor.Value)
		}
	}
	res.Ours, res.Peer, res.Floor = Median(ours), Median(peer), Median(floor)
	res.Ratio, res.Interval = Median(ratios), MedianInterval(ratios, Level)
	res.Own = MedianInterval(ours, Level)
	res.Allocs = Median(allocs)
	res.judge()
}

// judge takes the worst of the verdicts on the ratio, on our own figure and on
// the allocations.
func (res *Result) judge() {
	row := res.Row
	if row.Peer.Name != "" {
		res.Verdict, res.By = row.Bound.Judge(res.Ratio, res.Interval)
	}
	if !row.Absolute.None() {
		scale := row.Scale
		if scale == 0 {
			scale = 1
		}
		own := Interval{res.Own.Low / scale, res.Own.High / scale, res.Own.Coverage}
		if v, by := row.Absolute.Judge(res.Ours/scale, own); v.worse(res.Verdict) {
			res.Verdict, res.By = v, by
		}
	}
	if row.Allocs != 0 && res.Allocs > max(row.Allocs, 0)+allocSlack {
		res.Verdict = Lost
		res.Why = fmt.Sprintf("%.1f allocations", res.Allocs)
	} else if row.Allocs != 0 && res.Verdict == Context {
		res.Verdict = Won
	}
}

// worse reports whether v is to be shown rather than other.
func (v Verdict) worse(other Verdict) bool {
	rank := map[Verdict]int{Context: 0, Won: 1, NotReached: 2, Lost: 3, LeftOut: 4, Broken: 5}
	return rank[v] > rank[other]
}
