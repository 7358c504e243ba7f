package host

import (
	"context"
	"maps"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/tristrand/tristrand/internal/pickle"
)

// A Function is what a pool runs by its Python name.
type Function func(ctx context.Context, args pickle.Tuple, kwds *pickle.Dict) (any, error)

// Functions returns Python's functions that every pool knows, by "module.name".
func Functions() map[string]Function { return maps.Clone(functions) }

var functions = map[string]Function{
	"builtins.abs":    of1(absolute),
	"builtins.len":    of1(length),
	"builtins.sum":    of1(sum),
	"builtins.min":    ofMany(func(v any) (any, error) { return extreme(v, false) }),
	"builtins.max":    ofMany(func(v any) (any, error) { return extreme(v, true) }),
	"builtins.sorted": sorted,
	"builtins.repr":   of1(func(v any) (any, error) { return pickle.Repr(v, maxText), nil }),
	"builtins.str":    of1(text),
	"builtins.float":  of1(toFloat),
	"builtins.bool":   of1(func(v any) (any, error) { return truth(v), nil }),
	"builtins.int":    toInt,
	"builtins.pow":    power,
	"builtins.divmod": divide,
	"builtins.list":   of1(func(v any) (any, error) { return collect(v, func(i []any) any { return pickle.NewList(i...) }) }),
	"builtins.tuple":  of1(func(v any) (any, error) { return collect(v, func(i []any) any { return pickle.Tuple(i) }) }),
	"builtins.dict":   makeDict,
	"builtins.any":    of1(func(v any) (any, error) { return anyOf(v, true) }),
	"builtins.all":    of1(func(v any) (any, error) { return anyOf(v, false) }),
	"builtins.hex":    of1(func(v any) (any, error) { return inBase(v, "0x", 16) }),
	"builtins.oct":    of1(func(v any) (any, error) { return inBase(v, "0o", 8) }),
	"builtins.bin":    of1(func(v any) (any, error) { return inBase(v, "0b", 2) }),
	"_operator.add":   arithmetic((*big.Int).Add, func(a, b float64) float64 { return a + b }),
	"_operator.sub":   arithmetic((*big.Int).Sub, func(a, b float64) float64 { return a - b }),
	"_operator.mul":   arithmetic((*big.Int).Mul, func(a, b float64) float64 { return a * b }),
	"math.sqrt":       of1(squareRoot),
	"time.sleep":      sleep,
}

const maxText = 1 << 20

// of1 makes a Function of one argument.
func of1(f func(any) (any, error)) Function {
	return func(_ context.Context, args pickle.Tuple, kwds *pickle.Dict) (any, error) {
		if len(args) != 1 || kwds != nil && kwds.Len() > 0 {
			return nil, typeError("the function takes exactly one argument (%d given)", len(args))
		}
		return f(args[0])
	}
}

// ofMany makes a Function of several values, or of one that holds them.
func ofMany(f func(any) (any, error)) Function {
	one := of1(f)
	return func(ctx context.Context, args pickle.Tuple, kwds *pickle.Dict) (any, error) {
		if len(args) > 1 {
			args = pickle.Tuple{args}
		}
		return one(ctx, args, kwds)
	}
}

func bigOf(v any) (*big.Int, bool) {
	switch v := v.(type) {
	case int64:
		return big.NewInt(v), true
	case bool:
		if v {
			return big.NewInt(1), true
		}
		return new(big.Int), true
	case *big.Int:
		return v, true
	default:
		return nil, false
	}
}

func absolute(v any) (any, error) {
	if n, ok := bigOf(v); ok {
		return pickle.Int(new(big.Int).Abs(n)), nil
	}
	if f, ok := v.(float64); ok {
		return math.Abs(f), nil
	}
	return nil, typeError("bad operand type for abs(): '%s'", pickle.TypeName(v))
}

func length(v any) (any, error) {
	items, err := pickle.Iterate(v)
	if err != nil {
		return nil, typeError("object of type '%s' has no len()", pickle.TypeName(v))
	}
	return int64(len(items)), nil
}

func sum(v any) (any, error) {
	items, err := pickle.Iterate(v)
	if err != nil {
		return nil, err
	}
	total, part, isFloat := new(big.Int), 0.0, false
	for _, x := range items {
		if n, ok := bigOf(x); ok {
			total.Add(total, n)
		} else if f, ok := x.(float64); ok {
			part, isFloat = part+f, true
		} else {
			return nil, typeError("unsupported operand type(s) for +: 'int' and '%s'", pickle.TypeName(x))
		}
	}
	if isFloat {
		f, _ := new(big.Float).SetInt(total).Float64()
		return f + part, nil
	}
	return pickle.Int(total), nil
}

func extreme(v any, largest bool) (any, error) {
	items, err := pickle.Iterate(v)
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return nil, valueError("the iterable argument is empty")
	}
	best := items[0]
	for _, x := range items[1:] {
		a, b := x, best
		if largest {
			a, b = b, a
		}
		less, err := pickle.Less(a, b)
		if err != nil {
			return nil, err
		}
		if less {
			best = x
		}
	}
	return best, nil
}

func sorted(_ context.Context, args pickle.Tuple, kwds *pickle.Dict) (any, error) {
	c := &Call{Args: args, Kwds: kwds}
	parts, err := c.bind("sorted", 1, "iterable", "reverse")
	if err != nil {
		return nil, err
	}
	items, err := pickle.Iterate(parts[0])
	if err != nil {
		return nil, err
	}
	items = slices.Clone(items)
	return &pickle.List{Items: items}, pickle.Sort(items, nil, given(parts[1]) && truth(parts[1]))
}

func text(v any) (any, error) {
	if s, ok := v.(string); ok {
		return s, nil
	}
	return pickle.Repr(v, maxText), nil
}

func toFloat(v any) (any, error) {
	if s, ok := v.(string); ok {
		f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
		if err != nil {
			return nil, valueError("could not convert string to float: %s", pickle.Repr(v, 200))
		}
		return f, nil
	}
	f, err := floatOf(v)
	return f, err
}
