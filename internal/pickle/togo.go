package pickle

import (
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strings"
)

// ToGo returns v as Go programs have such things: bytes and bytearray are
// []byte; list, tuple, set and frozenset are []any; a dict is a map[string]any
// or, if not all keys are strs, a map[any]any. What holds itself is cut off with
// nil. The rest is as it is.
func ToGo(v any) any { return toGo(v, nil) }

func toGo(v any, inside []any) any {
	id := identity(v)
	for _, x := range inside {
		if id != nil && x == id {
			return nil
		}
	}
	list := func(items []any) []any {
		out := make([]any, len(items))
		for i, x := range items {
			out[i] = toGo(x, append(inside, id))
		}
		return out
	}
	switch v := v.(type) {
	case Bytes:
		return []byte(v)
	case *ByteArray:
		return append([]byte(nil), v.B...)
	case *List:
		return list(v.Items)
	case Tuple:
		return list(v)
	case *Set, *FrozenSet:
		items, _ := Iterate(v) // sets can be
		return list(items)
	case *Dict:
		strs := true
		for k := range v.All() {
			_, ok := k.(string)
			strs = strs && ok
		}
		if strs {
			m := make(map[string]any, v.Len())
			for k, x := range v.All() {
				m[k.(string)] = toGo(x, append(inside, id))
			}
			return m
		}
		m := make(map[any]any, v.Len())
		for k, x := range v.All() {
			if k = toGo(k, append(inside, id)); k == nil || reflect.TypeOf(k).Comparable() {
				m[k] = toGo(x, append(inside, id))
			} else {
				m[Repr(k, 1000)] = toGo(x, append(inside, id))
			}
		}
		return m
	default:
		return v
	}
}

// A ConvertError says that a value does not fit a Go type.
type ConvertError struct {
	Value any
	Type  reflect.Type
	Why   string
}

func (e *ConvertError) Error() string {
	s := fmt.Sprintf("a Python %s does not fit a Go %v", TypeName(e.Value), e.Type)
	if e.Why != "" {
		s += ": " + e.Why
	}
	return s
}

// Get converts v to a T: numbers where they fit, a list or tuple to a slice or
// an array, a dict to a map or, by the names of its fields, a struct; any is as
// ToGo has it.
func Get[T any](v any) (T, error) {
	if t, ok := v.(T); ok {
		if _, isAny := any(&t).(*any); !isAny {
			return t, nil
		}
	}
	var t T
	err := Into(reflect.ValueOf(&t).Elem(), v)
	return t, err
}

var bigType = reflect.TypeFor[*big.Int]()

// Into sets dst to v, as Get does.
func Into(dst reflect.Value, v any) error {
	t := dst.Type()
	if v != nil && reflect.TypeOf(v).AssignableTo(t) && t.Kind() != reflect.Interface {
		dst.Set(reflect.ValueOf(v))
		return nil
	}
	switch n := v.(type) {
	case nil:
		switch t.Kind() {
		case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Interface:
			dst.SetZero()
			return nil
		}
		if t.Kind() == reflect.Struct && t.NumField() == 0 {
			return nil
		}
		return &ConvertError{v, t, ""}
	case int64:
		if t == bigType {
			dst.Set(reflect.ValueOf(big.NewInt(n)))
			return nil
		}
	}
	switch t.Kind() {
	case reflect.Interface:
		g := reflect.ValueOf(ToGo(v))
		if !g.Type().AssignableTo(t) {
			return &ConvertError{v, t, ""}
		}
		dst.Set(g)
		return nil
	case reflect.Pointer:
		p := reflect.New(t.Elem())
		if err := Into(p.Elem(), v); err != nil {
			return err
		}
		dst.Set(p)
		return nil
	case reflect.Slice, reflect.Array:
		return intoItems(dst, v)
	case reflect.Map:
		return intoMap(dst, v)
	case reflect.Struct:
		return intoStruct(dst, v)
	default:
		return intoScalar(dst, v)
	}
}

func intoScalar(dst reflect.Value, v any) error {
	t := dst.Type()
	bad := func(why string) error { return &ConvertError{v, t, why} }
	switch t.Kind() {
	case reflect.Bool:
		if b, ok := v.(bool); ok {
			dst.SetBool(b)
			return nil
		}
	case reflect.String:
		switch s := v.(type) {
		case string:
			dst.SetString(s)
			return nil
		case Bytes:
			dst.SetString(string(s))
			return nil
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, ok := v.(int64)
		if _, isBig := v.(*big.Int); isBig || ok && dst.OverflowInt(n) {
			return bad("it is too large")
		}
		if ok {
			dst.SetInt(n)
			return nil
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		var u uint64
		switch n := v.(type) {
		case int64:
			if n < 0 {
				return bad("it is negative")
			}
			u = uint64(n)
		case *big.Int:
			if !n.IsUint64() {
				return bad("it is too large, or negative")
			}
			u = n.Uint64()
		default:
			return bad("")
		}
		if dst.OverflowUint(u) {
			return bad("it is too large")
		}
		dst.SetUint(u)
		return nil
	case reflect.Float32, reflect.Float64:
		switch n := v.(type) {
		case float64:
			dst.SetFloat(n)
			return nil
		case int64:
			dst.SetFloat(float64(n))
			return nil
		case *big.Int:
			f, _ := new(big.Float).SetInt(n).Float64()
			if math.IsInf(f, 0) {
				return bad("it is too large")
			}
			dst.SetFloat(f)
			return nil
		}
	case reflect.Complex64, reflect.Complex128:
		if c, ok := v.(complex128); ok {
			dst.SetComplex(c)
			return nil
		}
	}
	return bad("")
}

func intoItems(dst reflect.Value, v any) error {
	t := dst.Type()
	if t.Elem().Kind() == reflect.Uint8 {
		if s, ok := rawBytes(v); ok && t.Kind() == reflect.Slice {
			dst.SetBytes([]byte(s))
			return nil
		}
	}
	if _, isText := v.(string); isText {
		return &ConvertError{v, t, ""}
	}
	items, err := Iterate(v)
	if err != nil {
		return &ConvertError{v, t, ""}
	}
	if t.Kind() == reflect.Slice {
		dst.Set(reflect.MakeSlice(t, len(items), len(items)))
	} else if t.Len() != len(items) {
		return &ConvertError{v, t, fmt.Sprintf("it has %d items", len(items))}
	}
	for i, x := range items {
		if err := Into(dst.Index(i), x); err != nil {
			return err
		}
	}
	return nil
}

func intoMap(dst reflect.Value, v any) error {
	t := dst.Type()
	m := reflect.MakeMap(t)
	set := func(k, x any) error {
		key, val := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
		if err := Into(key, k); err != nil {
			return err
		}
		if err := Into(val, x); err != nil {
			return err
		}
		if !key.Comparable() {
			return &ConvertError{k, t.Key(), "it cannot be a key"}
		}
		m.SetMapIndex(key, val)
		return nil
	}
	if s, ok := AsSet(v); ok { // a set is a map to empty structs or to bools
		for x := range s.All() {
			member := any(nil)
			if t.Elem().Kind() == reflect.Bool {
				member = true
			}
			if err := set(x, member); err != nil {
				return err
			}
		}
		dst.Set(m)
		return nil
	}
	d, ok := v.(*Dict)
	if !ok {
		return &ConvertError{v, t, ""}
	}
	for k, x := range d.All() {
		if err := set(k, x); err != nil {
			return err
		}
	}
	dst.Set(m)
	return nil
}

func intoStruct(dst reflect.Value, v any) error {
	d, ok := v.(*Dict)
	if !ok {
		return &ConvertError{v, dst.Type(), ""}
	}
	for _, f := range fieldsOf(dst.Type()) {
		x, ok, _ := d.Get(f.name) // a str can be hashed
		if !ok {
			continue
		}
		if err := Into(dst.FieldByIndex(f.index), x); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return nil
}

type field struct {
	name  string
	index []int
}

// fieldsOf returns the exported fields of a struct, by the names that they have
// as keys: that of a tag `pickle:"name"`, or their own. "-" leaves one out.
func fieldsOf(t reflect.Type) []field {
	var out []field
	for _, f := range reflect.VisibleFields(t) {
		if !f.IsExported() || f.Anonymous {
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("pickle"), ",")
		switch name {
		case "-":
			continue
		case "":
			name = f.Name
		}
		out = append(out, field{name, f.Index})
	}
	return out
}
