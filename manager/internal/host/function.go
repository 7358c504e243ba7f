package host

import (
	"context"
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/tristrand/tristrand/internal/pickle"
	"github.com/tristrand/tristrand/strand"
)

// A Function is what a pool runs by its Python name.
type Function func(ctx context.Context, args pickle.Tuple, kwds *pickle.Dict) (any, error)

// Functions returns Python's functions that every pool knows, by "module.name".
func Functions() map[string]Function { return maps.Clone(functions) }

var functions = map[string]Function{
	"builtins.abs":    of1(absolute),
	"builtins.len":    of1(length),
	"builtins.sum":    of1(sum),
	"builtins.min":    of1(func(v any) (any, error) { return extreme(v, false) }),
	"builtins.max":    of1(func(v any) (any, error) { return extreme(v, true) }),
	"builtins.sorted": of1(sorted),
	"builtins.repr":   of1(func(v any) (any, error) { return pickle.Repr(v, maxText), nil }),
	"builtins.str":    of1(text),
	"builtins.float":  of1(toFloat),
	"builtins.bool":   of1(func(v any) (any, error) { return truth(v), nil }),
	"builtins.int":    toInt,
	"builtins.pow":    power,
	"builtins.divmod": divide,
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

func sorted(v any) (any, error) {
	items, err := pickle.Iterate(v)
	if err != nil {
		return nil, err
	}
	items = slices.Clone(items)
	return &pickle.List{Items: items}, pickle.Sort(items, nil, false)
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

func toInt(_ context.Context, args pickle.Tuple, kwds *pickle.Dict) (any, error) {
	c := &Call{Args: args, Kwds: kwds}
	parts, err := c.bind("int", 0, "x", "base")
	if err != nil {
		return nil, err
	}
	if !given(parts[0]) {
		return int64(0), nil
	}
	switch v := parts[0].(type) {
	case string:
		base := int64(10)
		if given(parts[1]) {
			if base, err = integer(parts[1]); err != nil {
				return nil, err
			}
		}
		if base != 0 && (base < 2 || base > 36) {
			return nil, valueError("int() base must be >= 2 and <= 36, or 0")
		}
		n, ok := new(big.Int).SetString(strings.TrimSpace(v), int(base))
		if !ok || len(v) > 4300 {
			return nil, valueError("invalid literal for int() with base %d: %s", base, pickle.Repr(v, 200))
		}
		return pickle.Int(n), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, valueError("cannot convert float %s to integer", pickle.Float(v))
		}
		n, _ := big.NewFloat(v).Int(nil)
		return pickle.Int(n), nil
	}
	if n, ok := bigOf(parts[0]); ok {
		return pickle.Int(n), nil
	}
	return nil, typeError("int() argument must be a string or a real number, not '%s'", pickle.TypeName(parts[0]))
}

const maxPowerBits = 1 << 20

func power(_ context.Context, args pickle.Tuple, kwds *pickle.Dict) (any, error) {
	c := &Call{Args: args, Kwds: kwds}
	parts, err := c.bind("pow", 2, "base", "exp", "mod")
	if err != nil {
		return nil, err
	}
	b, ok1 := bigOf(parts[0])
	e, ok2 := bigOf(parts[1])
	if !ok1 || !ok2 || e.Sign() < 0 {
		x, err := floatOf(parts[0])
		if err != nil {
			return nil, err
		}
		y, err := floatOf(parts[1])
		return math.Pow(x, y), err
	}
	var m *big.Int
	if given(parts[2]) && parts[2] != nil {
		var ok bool
		if m, ok = bigOf(parts[2]); !ok || m.Sign() <= 0 {
			return nil, valueError("pow() 3rd argument must be an integer above 0")
		}
	} else if !e.IsInt64() && b.BitLen() > 1 || int64(b.BitLen()) > maxPowerBits/max(1, e.Int64()) && b.BitLen() > 1 {
		return nil, exception("MemoryError", "a power of more than %d bits", maxPowerBits)
	}
	return pickle.Int(new(big.Int).Exp(b, e, m)), nil
}

func divide(_ context.Context, args pickle.Tuple, kwds *pickle.Dict) (any, error) {
	c := &Call{Args: args, Kwds: kwds}
	parts, err := c.bind("divmod", 2, "x", "y")
	if err != nil {
		return nil, err
	}
	x, ok1 := bigOf(parts[0])
	y, ok2 := bigOf(parts[1])
	if !ok1 || !ok2 {
		return nil, typeError("divmod() of '%s' and '%s'", pickle.TypeName(parts[0]), pickle.TypeName(parts[1]))
	}
	if y.Sign() == 0 {
		return nil, exception("ZeroDivisionError", "integer division or modulo by zero")
	}
	q, r := new(big.Int).QuoRem(x, y, new(big.Int))
	if r.Sign() != 0 && r.Sign() != y.Sign() { // Python rounds down
		q.Sub(q, big.NewInt(1))
		r.Add(r, y)
	}
	return pickle.Tuple{pickle.Int(q), pickle.Int(r)}, nil
}

func squareRoot(v any) (any, error) {
	f, err := floatOf(v)
	if err == nil && f < 0 {
		err = valueError("math domain error")
	}
	return math.Sqrt(f), err
}

func sleep(ctx context.Context, args pickle.Tuple, _ *pickle.Dict) (any, error) {
	if len(args) != 1 {
		return nil, typeError("sleep() takes exactly one argument (%d given)", len(args))
	}
	d, err := seconds(args[0])
	if err != nil {
		return nil, err
	}
	if d < 0 {
		return nil, valueError("sleep length must be non-negative")
	}
	if d == 0 {
		return nil, nil
	}
	return nil, strand.Sleep(ctx, d)
}

// Key returns the function of a name as a key to sort by, nil if there is none.
func Key(name pickle.Global) func(any) (any, error) {
	f := functions[name.String()]
	if f == nil || name.Module != "builtins" {
		return nil
	}
	return func(v any) (any, error) {
		k, err := f(context.Background(), pickle.Tuple{v}, nil)
		if err != nil {
			return nil, fmt.Errorf("the key of an item: %w", err)
		}
		return k, nil
	}
}
