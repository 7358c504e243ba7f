package measure

import (
	"fmt"
	"math"
)

// A Bound is what a figure must not pass. The zero value is none.
type Bound struct {
	Limit   float64 `json:"limit"`
	AtLeast bool    `json:"at_least,omitempty"` // the figure must not be below; otherwise not above
}

// AtMost is the bound of a ratio of times.
func AtMost(limit float64) Bound { return Bound{Limit: limit} }

// AtLeast is the bound of a ratio of speeds.
func AtLeast(limit float64) Bound { return Bound{Limit: limit, AtLeast: true} }

// None reports whether nothing is asked for.
func (b Bound) None() bool { return b == Bound{} }

func (b Bound) String() string {
	switch {
	case b.None():
		return "–"
	case b.AtLeast:
		return fmt.Sprintf("≥ %g", b.Limit)
	default:
		return fmt.Sprintf("≤ %g", b.Limit)
	}
}

// within reports whether x keeps the bound.
func (b Bound) within(x float64) bool {
	if b.AtLeast {
		return x >= b.Limit
	}
	return x <= b.Limit
}

// A Verdict says how a figure stands to its bound.
type Verdict string

// The verdicts.
const (
	Context    Verdict = ""            // nothing is asked for
	Won        Verdict = "won"         // the median keeps the bound
	NotReached Verdict = "not reached" // the median does not, but the interval does in part
	Lost       Verdict = "lost"        // the interval lies wholly beyond the bound
	LeftOut    Verdict = "left out"    // the machine lacks what the row needs
	Broken     Verdict = "broken"      // it could not be measured, or what came of it was wrong
)

// Judge returns the verdict on a median and its interval, and how far beyond
// the bound the median is, as a part of the bound; 0 if it keeps it.
func (b Bound) Judge(median float64, i Interval) (Verdict, float64) {
	if b.None() {
		return Context, 0
	}
	if math.IsNaN(median) {
		return Broken, 0
	}
	if b.within(median) {
		return Won, 0
	}
	by := math.Abs(median-b.Limit) / b.Limit
	if b.within(i.Low) || b.within(i.High) {
		return NotReached, by
	}
	return Lost, by
}
