package host

import (
	"math/big"
	"slices"

	"github.com/tristrand/tristrand/internal/pickle"
)

func reverse(items []any) { slices.Reverse(items) }

// a span is the part of a sequence that a slice means: n items from start on,
// each step after the last.
type span struct{ start, stop, step, n int }

// spanOf works out a slice for a sequence of length n, as Python does.
func spanOf(s *pickle.Slice, n int) (span, error) {
	part := func(v any, none int64) (int64, error) {
		if v == nil {
			return none, nil
		}
		i, err := integer(v)
		if err != nil {
			return 0, typeError("slice indices must be integers or None or have an __index__ method")
		}
		return i, nil
	}
	step, err := part(s.Step, 1)
	if err != nil {
		return span{}, err
	}
	if step == 0 {
		return span{}, valueError("slice step cannot be zero")
	}
	low, high := int64(0), int64(n)
	from, to := low, high
	if step < 0 {
		low, high = -1, int64(n)-1
		from, to = high, low
	}
	clip := func(v any, none int64) (int64, error) {
		i, err := part(v, none)
		if err != nil || v == nil {
			return i, err
		}
		if i < 0 {
			i += int64(n)
		}
		return max(low, min(i, high)), nil
	}
	start, err := clip(s.Start, from)
	if err != nil {
		return span{}, err
	}
	stop, err := clip(s.Stop, to)
	if err != nil {
		return span{}, err
	}
	sp := span{start: int(start), stop: int(stop), step: int(max(min(step, 1<<40), -1<<40))}
	switch {
	case sp.step > 0 && sp.start < sp.stop:
		sp.n = (sp.stop-sp.start-1)/sp.step + 1
	case sp.step < 0 && sp.start > sp.stop:
		sp.n = (sp.start-sp.stop-1)/(-sp.step) + 1
	}
	return sp, nil
}

func (sp span) at(i int) int { return sp.start + i*sp.step }

// pick returns the items of the span.
func pick[T any](items []T, sp span) []T {
	out := make([]T, sp.n)
	for i := range out {
		out[i] = items[sp.at(i)]
	}
	return out
}

// assign puts values in the place of the span.
func assign[T any](items []T, sp span, values []T) ([]T, error) {
	if sp.step == 1 {
		return slices.Replace(items, sp.start, sp.start+sp.n, slices.Clone(values)...), nil
	}
	if len(values) != sp.n {
		return nil, valueError("attempt to assign sequence of size %d to extended slice of size %d", len(values), sp.n)
	}
	for i, v := range values {
		items[sp.at(i)] = v
	}
	return items, nil
}

// remove deletes the span.
func remove[T any](items []T, sp span) []T {
	if sp.step == 1 {
		return slices.Delete(items, sp.start, sp.start+sp.n)
	}
	gone := make(map[int]bool, sp.n)
	for i := range sp.n {
		gone[sp.at(i)] = true
	}
	at := -1
	return slices.DeleteFunc(items, func(T) bool { at++; return gone[at] })
}

// index returns the place that v means in a sequence of length n.
func index(v any, n int, what, verb string) (int, error) {
	switch v.(type) {
	case int64, bool:
	case *big.Int:
		return 0, indexError("cannot fit 'int' into an index-sized integer")
	default:
		return 0, typeError("%s indices must be integers or slices, not %s", what, pickle.TypeName(v))
	}
	i, err := integer(v)
	if err != nil {
		return 0, err
	}
	if i < 0 {
		i += int64(n)
	}
	if i < 0 || i >= int64(n) {
		return 0, indexError("%s %sindex out of range", what, verb)
	}
	return int(i), nil
}
