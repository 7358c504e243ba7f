package pickle

import (
	"encoding/binary"
	"math"
	"math/big"
	"slices"
	"strings"
)

// maxKeyBytes bounds what a tuple or frozenset may come to as a key. A shared
// part counts as often as it is referred to.
const maxKeyBytes = 1 << 20

// The keys of Go's maps that stand for Python's: two are equal exactly when
// Python calls the values equal and gives them one hash.
type (
	noneKey  struct{}
	bigKey   string // an integer beyond int64
	tupleKey string
	setKey   string
	rangeKey struct{ n, start, step int64 }
	nanKey   struct{ self *byte } // equal to nothing else
)

// keyOf returns the key of v, or a *TypeError if Python cannot hash it.
func keyOf(v any) (any, error) {
	switch v := v.(type) {
	case string, int64, Bytes, Global:
		return v, nil
	case nil:
		return noneKey{}, nil
	case bool:
		if v {
			return int64(1), nil
		}
		return int64(0), nil
	case float64:
		return floatKey(v), nil
	case *big.Int:
		return bigKey(v.Text(62)), nil
	case complex128:
		if imag(v) == 0 {
			return floatKey(real(v)), nil
		}
		return v, nil
	case Tuple, *FrozenSet:
		b, err := appendKey(nil, v, 0)
		if err != nil {
			return nil, err
		}
		if _, ok := v.(Tuple); ok {
			return tupleKey(b), nil
		}
		return setKey(b), nil
	case *Range:
		n := v.Len()
		switch n {
		case 0:
			return rangeKey{}, nil
		case 1:
			return rangeKey{1, v.Start, 0}, nil
		}
		return rangeKey{n, v.Start, v.Step}, nil
	case *Object:
		return v.key()
	case *List, *Dict, *Set, *ByteArray, *Slice:
		return nil, &TypeError{"unhashable type: '" + TypeName(v) + "'"}
	default:
		return v, nil // a pointer: equal to itself
	}
}

func floatKey(f float64) any {
	switch {
	case math.IsNaN(f):
		return nanKey{new(byte)}
	case math.IsInf(f, 0) || f != math.Trunc(f):
		return f
	case f >= -(1<<63) && f < 1<<63:
		return int64(f)
	default:
		n, _ := big.NewFloat(f).Int(nil)
		return bigKey(n.Text(62))
	}
}

// appendKey appends v to the text that stands for a tuple or frozenset.
func appendKey(b []byte, v any, depth int) ([]byte, error) {
	if len(b) > maxKeyBytes || depth > maxWalk {
		return nil, &SizeError{"a key that is too large or too deep; the most is 1 MiB"}
	}
	text := func(tag byte, s string) []byte {
		b = append(b, tag)
		b = binary.AppendUvarint(b, uint64(len(s)))
		return append(b, s...)
	}
	var err error
	switch v := v.(type) {
	case Tuple:
		b = append(b, '(')
		b = binary.AppendUvarint(b, uint64(len(v)))
		for _, x := range v {
			if b, err = appendKey(b, x, depth+1); err != nil {
				return nil, err
			}
		}
		return b, nil
	case *FrozenSet:
		var parts []string
		total := 0
		for x := range v.All() {
			part, err := appendKey(nil, x, depth+1)
			if err != nil {
				return nil, err
			}
			if total += len(part); total > maxKeyBytes {
				return nil, &SizeError{"a key that is too large; the most is 1 MiB"}
			}
			parts = append(parts, string(part))
		}
		slices.Sort(parts)
		return text('{', strings.Join(parts, "")), nil
	}
	if o, ok := v.(*Object); ok {
		return o.appendKey(b, depth)
	}
	k, err := keyOf(v)
	if err != nil {
		return nil, err
	}
	switch k := k.(type) {
	case string:
		return text('s', k), nil
	case Bytes:
		return text('b', string(k)), nil
	case int64:
		return binary.AppendVarint(append(b, 'i'), k), nil
	case bigKey:
		return text('I', string(k)), nil
	case float64:
		return binary.BigEndian.AppendUint64(append(b, 'f'), math.Float64bits(k)), nil
	case complex128:
		b = binary.BigEndian.AppendUint64(append(b, 'c'), math.Float64bits(real(k)))
		return binary.BigEndian.AppendUint64(b, math.Float64bits(imag(k))), nil
	case noneKey:
		return append(b, 'n'), nil
	case Global:
		return text('g', k.String()), nil
	case rangeKey:
		b = binary.AppendVarint(append(b, 'r'), k.n)
		return binary.AppendVarint(binary.AppendVarint(b, k.start), k.step), nil
	default:
		return nil, &TypeError{"unhashable type inside a key: '" + TypeName(v) + "'"}
	}
}
