package measure

import (
	"math"
	"slices"
)

// Median returns the middle of xs, the mean of the two in the middle if their
// number is even, NaN if there are none.
func Median(xs []float64) float64 {
	n := len(xs)
	if n == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(xs))
	if n%2 == 1 {
		return s[n/2]
	}
	return (s[n/2-1] + s[n/2]) / 2
}

// An Interval is where the median of all that could have been measured lies.
type Interval struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`

	// Coverage is how often such an interval holds the true median: the level
	// asked for or the next above that order statistics can give. It is below
	// the level when there are too few values.
	Coverage float64 `json:"coverage"`
}

// MedianInterval returns the narrowest pair of order statistics, as far from one
// end of xs as from the other, between which the median lies with a probability
// of at least level. It assumes nothing about how xs are distributed, only that
// they are independent: each lies below the true median with probability 1/2, so
// that their number below it is binomial. See Conover, Practical Nonparametric
// Statistics, 3.2.
func MedianInterval(xs []float64, level float64) Interval {
	n := len(xs)
	if n == 0 {
		return Interval{math.NaN(), math.NaN(), 0}
	}
	s := slices.Sorted(slices.Values(xs))
	k := 0 // values left out at each end
	for 2*(k+1) < n && coverage(n, k+1) >= level {
		k++
	}
	return Interval{s[k], s[n-1-k], coverage(n, k)}
}

// coverage returns the probability that the median lies between the k-th value
// from 0 and the k-th from the end, of n.
func coverage(n, k int) float64 {
	tail, term := 0.0, math.Pow(0.5, float64(n)) // term: P(i of n are below)
	for i := range k + 1 {
		tail += term
		term *= float64(n-i) / float64(i+1)
	}
	return 1 - 2*tail
}
