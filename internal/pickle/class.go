package pickle

import (
	"errors"
	"fmt"
	"iter"
	"math/big"
	"unsafe"
)

// identity returns what tells a container apart from others, nil for what is
// none. A tuple without items is none.
func identity(v any) any {
	switch v := v.(type) {
	case *List, *Dict, *Set, *FrozenSet, *ByteArray, *Object, *Range, *Slice:
		return v
	case Tuple:
		if len(v) > 0 {
			return tupleID{unsafe.SliceData(v), len(v)}
		}
		return nil
	case Reducer:
		return v
	default:
		return nil
	}
}

type tupleID struct {
	first *any
	n     int
}

// children yields what a container holds.
func children(v any) iter.Seq[any] {
	return func(yield func(any) bool) {
		switch v := v.(type) {
		case Tuple:
			each(v, yield)
		case *List:
			each(v.Items, yield)
		case *Dict:
			for k, x := range v.All() {
				if !yield(k) || !yield(x) {
					return
				}
			}
		case *Set:
			v.All()(yield)
		case *FrozenSet:
			v.All()(yield)
		case *Object:
			_ = each(v.Args, yield) && yield(v.State) && each(v.Items, yield)
		case *Slice:
			_ = yield(v.Start) && yield(v.Stop) && yield(v.Step)
		case Reducer:
			yield(v.Reduce())
		}
	}
}

func each(items []any, yield func(any) bool) bool {
	for _, x := range items {
		if !yield(x) {
			return false
		}
	}
	return true
}

// Symbolic keeps a call as an *Object.
var Symbolic = &Class{
	New: func(g Global, args Tuple, isNew bool) (any, error) {
		return &Object{Class: g, Args: args, New: isNew}, nil
	},
	Build: func(v, state any) (any, error) {
		o, ok := v.(*Object)
		if !ok || o.HasState {
			return nil, fmt.Errorf("a second state for a %s", TypeName(v))
		}
		o.State, o.HasState = state, true
		return o, nil
	},
}

// Builtin returns how the built-in types of Python that are data are made:
// list, set, frozenset, bytearray, complex, range, slice and, for protocol 2,
// bytes. It also knows their names in Python 2.
func Builtin(g Global) (*Class, bool) {
	if g.Module == "__builtin__" {
		g.Module = "builtins"
	}
	if g.Module == "_codecs" && g.Name == "encode" {
		return bytesOfText, true
	}
	if g.Module != "builtins" {
		return nil, false
	}
	switch g.Name {
	case "list":
		return listClass, true
	case "set":
		return setClass, true
	case "frozenset":
		return frozenSetClass, true
	case "bytearray":
		return byteArrayClass, true
	case "bytes":
		return bytesClass, true
	case "complex":
		return complexClass, true
	case "range", "xrange":
		return rangeClass, true
	case "slice":
		return sliceClass, true
	default:
		return nil, false
	}
}

func makes(f func(args Tuple) (any, error)) *Class {
	return &Class{New: func(g Global, args Tuple, isNew bool) (any, error) {
		v, err := f(args)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", g, err)
		}
		return v, nil
	}}
}

var errShape = errors.New("the arguments are not those that it takes")

var (
	listClass = makes(func(args Tuple) (any, error) {
		items, err := only(args)
		return &List{items}, err
	})
	setClass = makes(func(args Tuple) (any, error) {
		items, err := only(args)
		if err != nil {
			return nil, err
		}
		return NewSet(items...)
	})
	frozenSetClass = makes(func(args Tuple) (any, error) {
		items, err := only(args)
		if err != nil {
			return nil, err
		}
		s, err := NewSet(items...)
		if err != nil {
			return nil, err
		}
		return &FrozenSet{*s}, nil
	})
	byteArrayClass = makes(func(args Tuple) (any, error) {
		b, err := someBytes(args)
		return &ByteArray{[]byte(b)}, err
	})
	bytesClass = makes(func(args Tuple) (any, error) {
		return someBytes(args)
	})
	bytesOfText  = makes(latin1)
	complexClass = makes(func(args Tuple) (any, error) {
		if len(args) == 2 {
			re, ok1 := args[0].(float64)
			im, ok2 := args[1].(float64)
			if ok1 && ok2 {
				return complex(re, im), nil
			}
		}
		return nil, errShape
	})
	rangeClass = makes(func(args Tuple) (any, error) {
		if len(args) != 3 {
			return nil, errShape
		}
		var n [3]int64
		for i, a := range args {
			var ok bool
			if n[i], ok = a.(int64); !ok {
				return nil, errShape
			}
		}
		if n[2] == 0 {
			return nil, errShape
		}
		return &Range{n[0], n[1], n[2]}, nil
	})
	sliceClass = makes(func(args Tuple) (any, error) {
		if len(args) != 3 {
			return nil, errShape
		}
		return &Slice{args[0], args[1], args[2]}, nil
	})
)

// only returns the items of the only argument, a list or a tuple; none at all
// is empty.
func only(args Tuple) ([]any, error) {
	switch {
	case len(args) == 0:
		return nil, nil
	case len(args) > 1:
		return nil, errShape
	}
	switch v := args[0].(type) {
	case *List:
		return append([]any(nil), v.Items...), nil
	case Tuple:
		return append([]any(nil), v...), nil
	default:
		return nil, errShape
	}
}

func someBytes(args Tuple) (Bytes, error) {
	switch len(args) {
	case 0:
		return "", nil
	case 1:
		if b, ok := args[0].(Bytes); ok {
			return b, nil
		}
	case 2: // bytearray(text, "latin-1") of protocol 2
		if v, err := latin1(args); err == nil {
			return v.(Bytes), nil
		}
	}
	return "", errShape
}

// latin1 makes bytes of a str, as protocol 2 writes them.
func latin1(args Tuple) (any, error) {
	if len(args) != 2 || args[1] != any("latin1") && args[1] != any("latin-1") {
		return nil, errShape
	}
	text, ok := args[0].(string)
	if !ok {
		return nil, errShape
	}
	b := make([]byte, 0, len(text))
	for _, r := range text {
		if r > 0xff {
			return nil, errShape
		}
		b = append(b, byte(r))
	}
	return Bytes(b), nil
}

// Len returns how many ints the range has.
func (r *Range) Len() int64 {
	lo, hi, step := big.NewInt(r.Start), big.NewInt(r.Stop), big.NewInt(r.Step)
	if r.Step < 0 {
		lo, hi = hi, lo
		step.Neg(step)
	}
	n := hi.Sub(hi, lo)
	if n.Sign() <= 0 || step.Sign() == 0 {
		return 0
	}
	n.Add(n, step).Sub(n, big.NewInt(1)).Div(n, step)
	if !n.IsInt64() {
		return 1<<63 - 1
	}
	return n.Int64()
}
