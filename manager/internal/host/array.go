package host

import (
	"slices"
	"sync"

	"github.com/tristrand/tristrand/internal/pickle"
)

// ArrayMethods are the methods of an array that clients may call.
var ArrayMethods = []string{"__len__", "__getitem__", "__setitem__"}

// Array is a shared array.array.
type Array struct {
	mu sync.Mutex
	a  *ArrayData
}

// NewArray makes one of a type code and items.
func NewArray(c *Call) (Object, error) {
	args, err := c.bind("Array", 2, "typecode", "sequence", "lock")
	if err != nil {
		return nil, err
	}
	a, err := NewArrayData(args[0], args[1])
	if err != nil {
		return nil, err
	}
	return &Array{a: a}, nil
}

// Call calls a method.
func (o *Array) Call(c *Call, method string) (any, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch method {
	case "__len__":
		return int64(o.a.Len()), c.none(method)
	case "__getitem__":
		at, err := c.one(method, "index")
		if err != nil {
			return nil, err
		}
		if s, ok := at.(*pickle.Slice); ok {
			sp, err := spanOf(s, o.a.Len())
			if err != nil {
				return nil, err
			}
			return o.part(sp), nil
		}
		i, err := index(at, o.a.Len(), "array", "")
		if err != nil {
			return nil, err
		}
		return o.a.At(i), nil
	case "__setitem__":
		args, err := c.bind(method, 2, "index", "value")
		if err != nil {
			return nil, err
		}
		if s, ok := args[0].(*pickle.Slice); ok {
			return nil, o.setPart(s, args[1])
		}
		i, err := index(args[0], o.a.Len(), "array", "assignment ")
		if err != nil {
			return nil, err
		}
		return nil, o.a.Set(i, args[1])
	default:
		return nil, ErrNoMethod
	}
}

// elements cuts the array into its elements' bytes.
func elements(a *ArrayData) [][]byte { return slices.Collect(slices.Chunk(a.B, a.size())) }

func (o *Array) part(sp span) *ArrayData {
	return &ArrayData{Code: o.a.Code, B: slices.Concat(pick(elements(o.a), sp)...)}
}

func (o *Array) setPart(s *pickle.Slice, v any) error {
	other, ok := v.(*ArrayData)
	if !ok || other.Code != o.a.Code {
		return typeError("can only assign array (not \"%s\") to array slice, of the same type code", pickle.TypeName(v))
	}
	sp, err := spanOf(s, o.a.Len())
	if err != nil {
		return err
	}
	parts, err := assign(elements(o.a), sp, elements(other))
	if err == nil {
		o.a = &ArrayData{Code: o.a.Code, B: slices.Concat(parts...)}
	}
	return err
}

// Repr prints it.
func (o *Array) Repr(most int) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return pickle.Repr(o.a, most)
}

// Value returns a copy.
func (o *Array) Value() (any, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return &ArrayData{Code: o.a.Code, B: slices.Clone(o.a.B)}, nil
}
