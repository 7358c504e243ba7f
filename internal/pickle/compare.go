package pickle

import (
	"cmp"
	"math"
	"math/big"
	"slices"
)

// maxSteps bounds a comparison. A part that is shared is compared as often as it
// is referred to.
const maxSteps = 50 << 20

// Equal reports whether Python calls a and b equal. It fails with a *SizeError
// if that takes too long to find out.
func Equal(a, b any) (bool, error) {
	c := comparison{left: maxSteps}
	eq := c.equal(a, b, 0)
	return eq, c.err
}

type comparison struct {
	left int
	err  error
}

// spent reports whether the comparison has to stop.
func (c *comparison) spent(depth int) bool {
	if c.left--; c.err == nil && (c.left < 0 || depth > maxWalk) {
		c.err = &SizeError{"values that are too large or too deep to compare"}
	}
	return c.err != nil
}

func (c *comparison) equal(a, b any, depth int) bool {
	if c.spent(depth) {
		return false
	}
	if id := identity(a); id != nil && id == identity(b) {
		return true
	}
	switch a := a.(type) {
	case string:
		b, ok := b.(string)
		return ok && a == b
	case nil:
		return b == nil
	case bool, int64, *big.Int, float64, complex128:
		return numbersEqual(a, b)
	case Bytes:
		x, ok := rawBytes(b)
		return ok && string(a) == x
	case *ByteArray:
		x, ok := rawBytes(b)
		return ok && string(a.B) == x
	case Tuple:
		b, ok := b.(Tuple)
		return ok && c.allEqual(a, b, depth)
	case *List:
		b, ok := b.(*List)
		return ok && c.allEqual(a.Items, b.Items, depth)
	case *Dict:
		b, ok := b.(*Dict)
		if !ok || a.Len() != b.Len() {
			return false
		}
		for k, v := range a.All() {
			w, there, _ := b.Get(k)
			if !there || !c.equal(v, w, depth+1) {
				return false
			}
		}
		return true
	case *Set, *FrozenSet:
		x, _ := AsSet(a)
		y, ok := AsSet(b)
		if !ok || x.Len() != y.Len() {
			return false
		}
		return x.Within(y)
	case *Object:
		b, ok := b.(*Object)
		return ok && c.equalObjects(a, b, depth)
	default:
		x, err1 := keyOf(a)
		y, err2 := keyOf(b)
		return err1 == nil && err2 == nil && x == y
	}
}

func (c *comparison) allEqual(a, b []any, depth int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !c.equal(a[i], b[i], depth+1) {
			return false
		}
	}
	return true
}

// AsSet returns the set that a set or frozenset is.
func AsSet(v any) (*Set, bool) {
	switch v := v.(type) {
	case *Set:
		return v, true
	case *FrozenSet:
		return &v.Set, true
	default:
		return nil, false
	}
}

// Within reports whether all items of s are in t.
func (s *Set) Within(t *Set) bool {
	for x := range s.All() {
		if ok, _ := t.Has(x); !ok {
			return false
		}
	}
	return true
}

func rawBytes(v any) (string, bool) {
	switch v := v.(type) {
	case Bytes:
		return string(v), true
	case *ByteArray:
		return string(v.B), true
	default:
		return "", false
	}
}

func numbersEqual(a, b any) bool {
	switch b.(type) {
	case bool, int64, *big.Int, float64, complex128:
	default:
		return false
	}
	x, err1 := keyOf(a)
	y, err2 := keyOf(b)
	return err1 == nil && err2 == nil && x == y
}

// Less reports whether a < b. It fails with a *TypeError when Python has no
// order for the two.
func Less(a, b any) (bool, error) {
	c := comparison{left: maxSteps}
	less := c.less(a, b, 0)
	return less, c.err
}

func (c *comparison) less(a, b any, depth int) bool {
	if c.spent(depth) {
		return false
	}
	switch x := a.(type) {
	case string:
		if y, ok := b.(string); ok {
			return x < y
		}
	case Bytes, *ByteArray:
		s, _ := rawBytes(a)
		if t, ok := rawBytes(b); ok {
			return s < t
		}
	case Tuple:
		if y, ok := b.(Tuple); ok {
			return c.lessItems(x, y, depth)
		}
	case *List:
		if y, ok := b.(*List); ok {
			return c.lessItems(x.Items, y.Items, depth)
		}
	case *Set, *FrozenSet:
		s, _ := AsSet(a)
		if t, ok := AsSet(b); ok {
			return s.Len() < t.Len() && s.Within(t)
		}
	case *Object:
		if y, ok := b.(*Object); ok {
			if less, known := c.lessObjects(x, y, depth); known || c.err != nil {
				return less
			}
		}
	default:
		if n, ok := compareNumbers(a, b); ok {
			return n < 0
		}
	}
	c.err = &TypeError{"'<' not supported between instances of '" + TypeName(a) + "' and '" + TypeName(b) + "'"}
	return false
}

func (c *comparison) lessItems(a, b []any, depth int) bool {
	for i := range min(len(a), len(b)) {
		if eq := c.equal(a[i], b[i], depth+1); c.err != nil {
			return false
		} else if !eq {
			return c.less(a[i], b[i], depth+1)
		}
	}
	return len(a) < len(b)
}

// compareNumbers compares two real numbers exactly. A NaN is neither less nor
// greater; it compares as 1.
func compareNumbers(a, b any) (int, bool) {
	x, okx := realNumber(a)
	y, oky := realNumber(b)
	if !okx || !oky {
		return 0, false
	}
	if i, ok := x.(int64); ok {
		if j, ok := y.(int64); ok {
			return cmp.Compare(i, j), true
		}
	}
	f, isf := x.(float64)
	g, isg := y.(float64)
	if isf && math.IsNaN(f) || isg && math.IsNaN(g) {
		return 1, true
	}
	if isf && isg {
		return cmp.Compare(f, g), true
	}
	return exact(x).Cmp(exact(y)), true
}

func realNumber(v any) (any, bool) {
	switch v := v.(type) {
	case bool:
		if v {
			return int64(1), true
		}
		return int64(0), true
	case int64, *big.Int, float64:
		return v, true
	default:
		return nil, false
	}
}

func exact(v any) *big.Float {
	switch v := v.(type) {
	case int64:
		return new(big.Float).SetInt64(v)
	case *big.Int:
		return new(big.Float).SetInt(v)
	case float64:
		return new(big.Float).SetFloat64(v)
	default:
		return new(big.Float)
	}
}

// Sort sorts items as list.sort does, by keys if keys is not nil. On an error
// the items are as they were.
func Sort(items, keys []any, reverse bool) error {
	if keys == nil {
		keys = items
	}
	order := make([]int, len(items))
	for i := range order {
		order[i] = i
	}
	c := comparison{left: maxSteps}
	slices.SortStableFunc(order, func(i, j int) int {
		if c.err != nil {
			return 0
		}
		a, b := keys[i], keys[j]
		if reverse { // equal ones stay in their order
			a, b = b, a
		}
		switch {
		case c.less(a, b, 0):
			return -1
		case c.err == nil && c.less(b, a, 0):
			return 1
		default:
			return 0
		}
	})
	if c.err != nil {
		return c.err
	}
	sorted := make([]any, len(items))
	for to, from := range order {
		sorted[to] = items[from]
	}
	copy(items, sorted)
	return nil
}

// Iterate returns the items that Python's iteration over v yields, or a
// *TypeError. A list's are the list's own.
func Iterate(v any) ([]any, error) {
	switch v := v.(type) {
	case *List:
		return v.Items, nil
	case Tuple:
		return v, nil
	case *Dict:
		keys := make([]any, 0, v.Len())
		for k := range v.All() {
			keys = append(keys, k)
		}
		return keys, nil
	case *Set:
		return slices.Collect(v.All()), nil
	case *FrozenSet:
		return slices.Collect(v.All()), nil
	case string:
		var out []any
		for len(v) > 0 {
			n := 1
			if b := []byte(v[:min(4, len(v))]); b[0] >= 0x80 {
				if n = runeLen(b); n == 0 {
					n = min(3, len(v)) // a lone surrogate
				}
			}
			out, v = append(out, v[:n]), v[n:]
		}
		return out, nil
	case Bytes:
		return ints([]byte(v)), nil
	case *ByteArray:
		return ints(v.B), nil
	case *Range:
		n := v.Len()
		if n > maxRange {
			return nil, &SizeError{"a range that is too long to be put into a list"}
		}
		out := make([]any, n)
		for i := range out {
			out[i] = v.Start + int64(i)*v.Step
		}
		return out, nil
	case interface{ Iterate() ([]any, error) }:
		return v.Iterate()
	default:
		return nil, &TypeError{"'" + TypeName(v) + "' object is not iterable"}
	}
}

const maxRange = 16 << 20

func ints(b []byte) []any {
	out := make([]any, len(b))
	for i, x := range b {
		out[i] = int64(x)
	}
	return out
}
