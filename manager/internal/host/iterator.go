package host

import (
	"cmp"
	"context"
	"slices"

	"github.com/tristrand/tristrand/internal/pickle"
)

// An Iterator is one of Python's own, as it is pickled: a function of what it goes
// over. What it yields is found out where it is needed, and it is written as it was
// read.
type Iterator struct {
	made pickle.Object
}

// iterators are the functions that make them, and how many arguments they take.
var iterators = map[string]struct{ least, most int }{
	"iter": {1, 1}, "reversed": {1, 1}, "enumerate": {1, 2}, "zip": {0, 64}, "map": {2, 64}, "filter": {2, 2},
}

var iteratorClass = &pickle.Class{
	New: func(g pickle.Global, args pickle.Tuple, isNew bool) (any, error) {
		n := iterators[g.Name]
		if len(args) < n.least || len(args) > n.most {
			return nil, typeError("%s() of %d arguments", g.Name, len(args))
		}
		return &Iterator{pickle.Object{Class: g, Args: args, New: isNew}}, nil
	},
	Build: func(v, state any) (any, error) {
		it, ok := v.(*Iterator)
		if !ok || it.made.HasState {
			return nil, typeError("a second state for a %s", pickle.TypeName(v))
		}
		it.made.State, it.made.HasState = state, true
		return it, nil
	},
}

// Class is the function that makes it.
func (it *Iterator) Class() pickle.Global { return it.made.Class }

// TypeName is what it is called in Python.
func (it *Iterator) TypeName() string { return it.made.Class.Name }

// Reduce is how it is written.
func (it *Iterator) Reduce() *pickle.Object { return &it.made }

// Repr prints it.
func (it *Iterator) Repr() string { return "<" + it.made.Class.Name + " object>" }

// mostSteps bounds what an iterator yields, and those that it goes over with it.
const mostSteps = 1 << 21

// Iterate returns what it yields.
func (it *Iterator) Iterate() ([]any, error) {
	left := mostSteps
	return it.yield(&left)
}

func (it *Iterator) yield(left *int) ([]any, error) {
	args := it.made.Args
	switch it.made.Class.Name {
	case "iter":
		items, err := steps(args[0], left)
		at, stateErr := it.at(0)
		return items[min(max(at, 0), len(items)):], cmp.Or(err, stateErr)
	case "reversed":
		items, err := steps(args[0], left)
		at, stateErr := it.at(len(items) - 1)
		items = slices.Clone(items[:min(max(at+1, 0), len(items))])
		slices.Reverse(items)
		return items, cmp.Or(err, stateErr)
	case "enumerate":
		return enumerated(args, left)
	case "zip":
		return zipped(args, it.made.State == any(true), left)
	case "map":
		rows, err := zipped(args[1:], it.made.State == any(true), left)
		return applied(args[0], rows, err)
	default:
		return filtered(args, left)
	}
}

// at is the place that an iterator has come to.
func (it *Iterator) at(none int) (int, error) {
	if !it.made.HasState {
		return none, nil
	}
	n, err := integer(it.made.State)
	return int(min(max(n, -1), mostSteps)), err
}

// steps returns what v yields, and counts it.
func steps(v any, left *int) (items []any, err error) {
	if r, ok := v.(*pickle.Range); ok && r.Len() > int64(*left) {
		*left = 0
	}
	if *left--; *left < 0 {
		return nil, exception("MemoryError", "an iterator of more than %d items", mostSteps)
	}
	if it, ok := v.(*Iterator); ok {
		items, err = it.yield(left)
	} else {
		items, err = pickle.Iterate(v)
	}
	if *left -= len(items); *left < 0 && err == nil {
		return nil, exception("MemoryError", "an iterator of more than %d items", mostSteps)
	}
	return items, err
}

func enumerated(args pickle.Tuple, left *int) ([]any, error) {
	items, err := steps(args[0], left)
	if err != nil {
		return nil, err
	}
	start := int64(0)
	if len(args) == 2 {
		if start, err = integer(args[1]); err != nil {
			return nil, err
		}
	}
	out := make([]any, len(items))
	for i, x := range items {
		out[i] = pickle.Tuple{start + int64(i), x}
	}
	return out, nil
}

// zipped returns tuples of what args yield, as long as all of them do.
func zipped(args pickle.Tuple, strict bool, left *int) ([]any, error) {
	var columns [][]any
	n := 0
	for i, a := range args {
		items, err := steps(a, left)
		if err != nil {
			return nil, err
		}
		if strict && i > 0 && len(items) != n {
			return nil, valueError("zip() argument %d is of another length than argument 1", i+1)
		}
		if columns = append(columns, items); i == 0 || len(items) < n {
			n = len(items)
		}
	}
	rows := make([]any, n)
	for i := range rows {
		row := make(pickle.Tuple, len(columns))
		for k, col := range columns {
			row[k] = col[i]
		}
		rows[i] = row
	}
	return rows, nil
}

// applied calls a function with each row.
func applied(name any, rows []any, err error) ([]any, error) {
	if err != nil {
		return nil, err
	}
	f := callable(name)
	if f == nil {
		return nil, typeError("%s is not a function that this server calls", pickle.Repr(name, 100))
	}
	made := mostMade
	for i, row := range rows {
		rows[i], err = f(context.Background(), row.(pickle.Tuple), nil)
		if err = cmp.Or(err, spend(rows[i], &made)); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// filtered returns those items of which a function, or None, says that they are.
func filtered(args pickle.Tuple, left *int) ([]any, error) {
	items, err := steps(args[1], left)
	if err != nil {
		return nil, err
	}
	f := callable(args[0])
	if f == nil && args[0] != nil {
		return nil, typeError("%s is not a function that this server calls", pickle.Repr(args[0], 100))
	}
	var out []any
	made := mostMade
	for _, x := range items {
		v := x
		if f != nil {
			v, err = f(context.Background(), pickle.Tuple{x}, nil)
			if err = cmp.Or(err, spend(v, &made)); err != nil {
				return nil, err
			}
		}
		if truth(v) {
			out = append(out, x)
		}
	}
	return out, nil
}
