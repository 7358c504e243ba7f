package host

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"strings"

	"github.com/tristrand/tristrand/internal/pickle"
)

// ArrayData is an array.array: numbers of one type in a row, in the byte order
// of the processors that Python runs on nowadays.
type ArrayData struct {
	Code string
	B    []byte
}

// typeCode says how an element is laid out: signed, unsigned, float or rune.
type typeCode struct {
	size int
	kind byte
	name string // in errors
}

func codeOf(code string) (typeCode, bool) {
	t, ok := map[string]typeCode{
		"b": {1, 's', "signed char"}, "B": {1, 'u', "unsigned byte integer"},
		"h": {2, 's', "signed short integer"}, "H": {2, 'u', "unsigned short"},
		"i": {4, 's', "signed integer"}, "I": {4, 'u', "unsigned int"},
		"l": {8, 's', "signed integer"}, "L": {8, 'u', "unsigned int"},
		"q": {8, 's', "int"}, "Q": {8, 'u', "int"},
		"f": {4, 'f', "float"}, "d": {8, 'f', "double"},
		"u": {4, 'r', "character"}, "w": {4, 'r', "character"},
	}[code]
	return t, ok
}

// NewArrayData makes an array of a type code and items, as array.array does.
func NewArrayData(code any, items any) (*ArrayData, error) {
	name, _ := code.(string)
	t, ok := codeOf(name)
	if !ok {
		return nil, valueError("bad typecode (must be b, B, u, h, H, i, I, l, L, q, Q, f or d)")
	}
	a := &ArrayData{Code: name}
	switch v := items.(type) {
	case *ArrayData:
		if v.Code == name {
			a.B = append(a.B, v.B...)
			return a, nil
		}
		if t.kind == 'r' {
			return nil, typeError("cannot use an array of numbers to initialize an array of characters")
		}
	case pickle.Bytes, *pickle.ByteArray:
		raw, _ := rawOf(v)
		if len(raw)%t.size != 0 {
			return nil, valueError("bytes length not a multiple of item size")
		}
		a.B = []byte(raw)
		return a, nil
	case int64:
		return nil, typeError("array() argument 2 must be a sequence")
	}
	values, err := pickle.Iterate(items)
	if err != nil {
		return nil, err
	}
	a.B = make([]byte, len(values)*t.size)
	for i, v := range values {
		if err := a.Set(i, v); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func rawOf(v any) (string, bool) {
	switch v := v.(type) {
	case pickle.Bytes:
		return string(v), true
	case *pickle.ByteArray:
		return string(v.B), true
	default:
		return "", false
	}
}

func (a *ArrayData) size() int {
	t, _ := codeOf(a.Code)
	return t.size
}

// Len returns the number of elements.
func (a *ArrayData) Len() int { return len(a.B) / a.size() }

// At returns the i-th element.
func (a *ArrayData) At(i int) any {
	t, _ := codeOf(a.Code)
	var buf [8]byte
	copy(buf[:], a.B[i*t.size:(i+1)*t.size])
	u := binary.LittleEndian.Uint64(buf[:])
	switch t.kind {
	case 's':
		shift := 64 - 8*t.size
		return int64(u<<shift) >> shift
	case 'u':
		return pickle.Int(new(big.Int).SetUint64(u))
	case 'r':
		return string(rune(u))
	}
	if t.size == 4 {
		return float64(math.Float32frombits(uint32(u)))
	}
	return math.Float64frombits(u)
}

// Set writes the i-th element.
func (a *ArrayData) Set(i int, v any) error {
	t, _ := codeOf(a.Code)
	var u uint64
	switch t.kind {
	case 'f':
		f, err := floatOf(v)
		if err != nil {
			return err
		}
		if u = math.Float64bits(f); t.size == 4 {
			u = uint64(math.Float32bits(float32(f)))
		}
	case 'r':
		s, ok := v.(string)
		if r := []rune(s); ok && len(r) == 1 {
			u = uint64(r[0])
		} else {
			return typeError("array item must be a unicode character, not %s", pickle.TypeName(v))
		}
	default:
		n, err := t.integer(v)
		if err != nil {
			return err
		}
		u = n
	}
	var buf [8]byte
	binary.LittleEndian.PutUint64(buf[:], u)
	copy(a.B[i*t.size:], buf[:t.size])
	return nil
}

// integer checks that v fits and returns its bits.
func (t typeCode) integer(v any) (uint64, error) {
	var n *big.Int
	switch v := v.(type) {
	case int64:
		n = big.NewInt(v)
	case bool:
		n = big.NewInt(0)
		if v {
			n.SetInt64(1)
		}
	case *big.Int:
		n = v
	default:
		return 0, typeError("'%s' object cannot be interpreted as an integer", pickle.TypeName(v))
	}
	bits := uint(8 * t.size)
	low, high := new(big.Int), new(big.Int).Lsh(big.NewInt(1), bits)
	if t.kind == 's' {
		high.Rsh(high, 1)
		low.Neg(high)
	}
	if n.Cmp(low) < 0 {
		return 0, exception("OverflowError", "%s is less than minimum", t.name)
	}
	if n.Cmp(high) >= 0 {
		return 0, exception("OverflowError", "%s is greater than maximum", t.name)
	}
	if n.Sign() < 0 {
		return uint64(n.Int64()), nil
	}
	return n.Uint64(), nil
}

func floatOf(v any) (float64, error) {
	switch v := v.(type) {
	case float64:
		return v, nil
	case int64:
		return float64(v), nil
	case bool:
		if v {
			return 1, nil
		}
		return 0, nil
	case *big.Int:
		f, _ := new(big.Float).SetInt(v).Float64()
		if math.IsInf(f, 0) {
			return 0, exception("OverflowError", "int too large to convert to float")
		}
		return f, nil
	default:
		return 0, typeError("must be real number, not %s", pickle.TypeName(v))
	}
}

// Iterate returns the elements.
func (a *ArrayData) Iterate() ([]any, error) {
	out := make([]any, a.Len())
	for i := range out {
		out[i] = a.At(i)
	}
	return out, nil
}

// TypeName is Python's name of the type.
func (a *ArrayData) TypeName() string { return "array.array" }

// Reduce is how it is written.
func (a *ArrayData) Reduce() *pickle.Object {
	return &pickle.Object{Class: pickle.Global{Module: "array", Name: "array"}, Args: pickle.Tuple{a.Code, pickle.Bytes(a.B)}}
}

// Repr prints it.
func (a *ArrayData) Repr() string {
	if a.Len() == 0 {
		return fmt.Sprintf("array('%s')", a.Code)
	}
	items, _ := a.Iterate() // it has no error
	var b strings.Builder
	if a.Code == "u" {
		for _, x := range items {
			b.WriteString(x.(string))
		}
		return fmt.Sprintf("array('u', %s)", pickle.Repr(b.String(), maxText))
	}
	for i, x := range items {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(pickle.Repr(x, 100))
	}
	return fmt.Sprintf("array('%s', [%s])", a.Code, b.String())
}
