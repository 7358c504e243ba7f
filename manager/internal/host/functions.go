package host

import (
	"context"
	"math"
	"math/big"
	"slices"
	"strings"

	"github.com/tristrand/tristrand/internal/pickle"
	"github.com/tristrand/tristrand/strand"
)

// collect makes a container of what v holds.
func collect(v any, of func(items []any) any) (any, error) {
	items, err := pickle.Iterate(v)
	if err != nil {
		return nil, err
	}
	return of(slices.Clone(items)), nil
}

func makeDict(_ context.Context, args pickle.Tuple, kwds *pickle.Dict) (any, error) {
	o, err := NewDict(&Call{Args: args, Kwds: kwds})
	if err != nil {
		return nil, err
	}
	return o.Value()
}

// anyOf reports whether one of the items is as true as want, for any; for all, that
// none is otherwise.
func anyOf(v any, want bool) (any, error) {
	items, err := pickle.Iterate(v)
	if err != nil {
		return nil, err
	}
	for _, x := range items {
		if truth(x) == want {
			return want, nil
		}
	}
	return !want, nil
}

func inBase(v any, prefix string, base int) (any, error) {
	n, ok := bigOf(v)
	if !ok {
		return nil, typeError("'%s' object cannot be interpreted as an integer", pickle.TypeName(v))
	}
	sign := ""
	if n.Sign() < 0 {
		sign = "-"
	}
	return sign + prefix + new(big.Int).Abs(n).Text(base), nil
}

// arithmetic makes a Function of two numbers.
func arithmetic(whole func(z, x, y *big.Int) *big.Int, broken func(x, y float64) float64) Function {
	return func(_ context.Context, args pickle.Tuple, _ *pickle.Dict) (any, error) {
		if len(args) != 2 {
			return nil, typeError("expected 2 arguments, got %d", len(args))
		}
		x, ok1 := bigOf(args[0])
		y, ok2 := bigOf(args[1])
		if ok1 && ok2 {
			if x.BitLen()+y.BitLen() > maxPowerBits {
				return nil, exception("MemoryError", "a number of more than %d bits", maxPowerBits)
			}
			return pickle.Int(whole(new(big.Int), x, y)), nil
		}
		f, err := floatOf(args[0])
		if err != nil {
			return nil, typeError("unsupported operand types: '%s' and '%s'", pickle.TypeName(args[0]), pickle.TypeName(args[1]))
		}
		g, err := floatOf(args[1])
		if err != nil {
			return nil, typeError("unsupported operand types: '%s' and '%s'", pickle.TypeName(args[0]), pickle.TypeName(args[1]))
		}
		return broken(f, g), nil
	}
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
