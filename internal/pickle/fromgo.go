package pickle

import (
	"fmt"
	"math/big"
	"reflect"
	"slices"
)

// FromGo returns a Go value as Python has such things: integers of all sizes are
// ints, []byte is bytes, a slice is a list, an array a tuple, a map a dict, a
// struct a dict by the names of its fields, a pointer what it points to. Values
// of this package, Reducers and nil are as they are.
func FromGo(v any) (any, error) {
	switch v := v.(type) {
	case nil, bool, int64, float64, string, complex128, Bytes, Tuple, Global,
		*List, *Dict, *Set, *FrozenSet, *ByteArray, *Range, *Slice, *Object, Reducer:
		return v, nil
	case int:
		return int64(v), nil
	case *big.Int:
		if v == nil {
			return nil, nil
		}
		return Int(v), nil
	case []byte:
		if v == nil {
			return nil, nil
		}
		return Bytes(v), nil
	case []any:
		return fromItems(reflect.ValueOf(v), 0)
	}
	return fromGo(reflect.ValueOf(v), 0)
}

func fromGo(v reflect.Value, depth int) (any, error) {
	if depth > defaultDepth {
		return nil, &SizeError{"a Go value that is nested too deeply, or holds itself"}
	}
	switch v.Kind() {
	case reflect.Invalid:
		return nil, nil
	case reflect.Interface:
		if v.IsNil() {
			return nil, nil
		}
		return fromGo(v.Elem(), depth)
	}
	t := v.Type()
	if own[t] || t.Implements(reducerType) {
		return FromGo(v.Interface())
	}
	switch v.Kind() {
	case reflect.Bool:
		return v.Bool(), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return v.Int(), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return Int(new(big.Int).SetUint64(v.Uint())), nil
	case reflect.Float32, reflect.Float64:
		return v.Float(), nil
	case reflect.Complex64, reflect.Complex128:
		return v.Complex(), nil
	case reflect.String:
		return v.String(), nil
	case reflect.Pointer:
		if v.IsNil() {
			return nil, nil
		}
		return fromGo(v.Elem(), depth+1)
	case reflect.Slice:
		if v.IsNil() {
			return nil, nil
		}
		if t.Elem().Kind() == reflect.Uint8 {
			return Bytes(v.Bytes()), nil
		}
		return fromItems(v, depth)
	case reflect.Array:
		l, err := fromItems(v, depth)
		if err != nil {
			return nil, err
		}
		return Tuple(l.Items), nil
	case reflect.Map:
		return fromMap(v, depth)
	case reflect.Struct:
		d := new(Dict)
		for _, f := range fieldsOf(t) {
			x, err := fromGo(v.FieldByIndex(f.index), depth+1)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", f.name, err)
			}
			d.SetString(f.name, x)
		}
		return d, nil
	default:
		return nil, &WriteError{fmt.Sprintf("a Go %v", t)}
	}
}

// own are the types that FromGo leaves as they are, or knows.
var own = map[reflect.Type]bool{
	bigType: true, reflect.TypeFor[Bytes](): true, reflect.TypeFor[Tuple](): true, reflect.TypeFor[Global](): true,
	reflect.TypeFor[*List](): true, reflect.TypeFor[*Dict](): true, reflect.TypeFor[*Set](): true,
	reflect.TypeFor[*FrozenSet](): true, reflect.TypeFor[*ByteArray](): true, reflect.TypeFor[*Range](): true,
	reflect.TypeFor[*Slice](): true, reflect.TypeFor[*Object](): true,
}

var reducerType = reflect.TypeFor[Reducer]()

func fromItems(v reflect.Value, depth int) (*List, error) {
	l := &List{Items: make([]any, v.Len())}
	for i := range l.Items {
		x, err := fromGo(v.Index(i), depth+1)
		if err != nil {
			return nil, err
		}
		l.Items[i] = x
	}
	return l, nil
}

// fromMap makes a dict, of sorted keys where there is an order, or a set of a
// map to empty structs.
func fromMap(v reflect.Value, depth int) (any, error) {
	if v.IsNil() {
		return nil, nil
	}
	isSet := v.Type().Elem().Kind() == reflect.Struct && v.Type().Elem().NumField() == 0
	type pair struct{ k, v any }
	pairs := make([]pair, 0, v.Len())
	for it := v.MapRange(); it.Next(); {
		k, err := fromGo(it.Key(), depth+1)
		if err != nil {
			return nil, err
		}
		var x any
		if !isSet {
			if x, err = fromGo(it.Value(), depth+1); err != nil {
				return nil, err
			}
		}
		pairs = append(pairs, pair{k, x})
	}
	slices.SortStableFunc(pairs, func(a, b pair) int {
		if less, err := Less(a.k, b.k); err == nil && less {
			return -1
		}
		if less, err := Less(b.k, a.k); err == nil && less {
			return 1
		}
		return 0
	})
	d, s := new(Dict), new(Set)
	for _, p := range pairs {
		var err error
		if isSet {
			err = s.Add(p.k)
		} else {
			err = d.Set(p.k, p.v)
		}
		if err != nil {
			return nil, err
		}
	}
	if isSet {
		return s, nil
	}
	return d, nil
}
