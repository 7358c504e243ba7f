package portable

import (
	"fmt"
	"reflect"

	"github.com/tristrand/tristrand/internal/parcel"
)

// maxDepth is how deep a value may be nested. Deeper ones are taken to contain
// themselves; the encoder would not end with those.
const maxDepth = 10_000

// A walker goes through one value. Without a parcel it returns what is borrowed.
type walker struct {
	parcel *parcel.Parcel
	depth  int
}

// Return gives back what v, an input or an output that has done its work, has of
// what was borrowed; see parcel.Borrower. Nothing that is in it may be used then.
func Return(v any) {
	if v == nil {
		return
	}
	val := reflect.ValueOf(v)
	if pl := planOf(val.Type()); pl.fault == nil && pl.walk {
		w := walker{}
		_ = w.value(val, pl, &place{name: "value"}) // what Pack would refuse has arrived nowhere
	}
}

// value looks at v, whose type has plan pl and no fault.
func (w *walker) value(v reflect.Value, pl *plan, at *place) error {
	if !pl.walk {
		return nil
	}
	if w.depth++; w.depth > maxDepth {
		at = at.first(16)
		return &Error{at.String() + "…", fmt.Sprintf("it is nested deeper than %d, or contains itself; send a tree", maxDepth)}
	}
	defer func() { w.depth-- }()
	if pl.carrier {
		return w.carrier(v, at)
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return w.value(v.Elem(), planOf(v.Type().Elem()), at)
	case reflect.Interface:
		return w.dynamic(v, at)
	case reflect.Slice, reflect.Array:
		elem := planOf(v.Type().Elem())
		for i := 0; elem.walk && i < v.Len(); i++ {
			if err := w.value(v.Index(i), elem, &place{at, fmt.Sprintf("[%d]", i)}); err != nil {
				return err
			}
		}
	case reflect.Map:
		return w.entries(v, at)
	case reflect.Struct:
		for _, f := range pl.fields {
			fv := v.Field(f.index)
			if err := w.value(fv, planOf(fv.Type()), &place{at, "." + f.name}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *walker) entries(v reflect.Value, at *place) error {
	key, elem := planOf(v.Type().Key()), planOf(v.Type().Elem())
	for it := v.MapRange(); it.Next(); {
		here := &place{at, fmt.Sprintf("[%v]", it.Key())}
		if err := w.value(it.Key(), key, here); err != nil {
			return err
		}
		if err := w.value(it.Value(), elem, here); err != nil {
			return err
		}
	}
	return nil
}

// dynamic looks at what an interface holds.
func (w *walker) dynamic(v reflect.Value, at *place) error {
	if v.IsNil() {
		return nil
	}
	held := v.Elem()
	pl := planOf(held.Type())
	switch {
	case pl.fault != nil && (v.Type().NumMethod() == 0 || singleProcess(strip(held.Type())) != ""):
		return &Error{at.String() + pl.fault.path, pl.fault.why}
	case pl.carrier && w.parcel == nil:
		return w.carrier(held, at)
	case pl.carrier:
		return &Error{at.String(), fmt.Sprintf("%v is in a %v, which does not say at the other side what to make of it; declare it as %[1]v", held.Type(), v.Type())}
	case v.Type().NumMethod() > 0:
		return &Error{at.String(), fmt.Sprintf("%v is in a %v, which cannot be decoded at the other side; declare it as %[1]v", held.Type(), v.Type())}
	}
	return w.value(held, pl, at)
}

// carrier lets v add to the parcel.
func (w *walker) carrier(v reflect.Value, at *place) error {
	if v.Kind() == reflect.Pointer && v.IsNil() {
		return nil
	}
	c, ok := reflect.TypeAssert[parcel.Carrier](v)
	if !ok {
		if !v.CanAddr() {
			return &Error{at.String(), fmt.Sprintf("%v is here by value, and a copy of it is not the same; declare it as *%[1]v", v.Type())}
		}
		c = v.Addr().Interface().(parcel.Carrier)
	}
	if w.parcel == nil {
		if b, ok := c.(parcel.Borrower); ok {
			b.Return()
		}
		return nil
	}
	if err := c.Carry(w.parcel); err != nil {
		return fmt.Errorf("%v: %w", at, err)
	}
	return nil
}

// first returns the outermost n steps of the place.
func (p *place) first(n int) *place {
	var steps []*place
	for q := p; q != nil; q = q.up {
		steps = append(steps, q)
	}
	return steps[max(0, len(steps)-n)]
}
