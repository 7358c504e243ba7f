// Package portable says whether a value can be sent to another process, before
// anybody tries: what cannot, where in the value it is, and what to use instead.
//
// [Check] looks at a type, [Pack] at a value as well, since what hides behind an
// interface is known only then; Pack also collects into a parcel what goes beside
// the bytes.
//
// Refused are primitives of one process (of packages local, thread, coro and sync,
// channels), functions, what cannot be encoded, and what would arrive empty or
// could not be decoded. A field with the tag `cbor:"-"` is not sent and not looked
// at, nor is what encodes itself (MarshalCBOR, MarshalBinary). Fields that are not
// exported are not sent; a primitive of this library is refused there too, because
// whoever put it there expects it to be shared.
//
// A type is looked at once, and then costs a look-up; a value is walked through
// only where an interface, a carrier or a pointer back to the type may be in it.
package portable

import (
	"fmt"
	"reflect"
	"strings"
	"sync"

	"github.com/tristrand/tristrand/internal/parcel"
)

// An Error says what cannot be sent.
type Error struct {
	Path string // where it is: "input.Jobs[].Mu"
	Why  string // "local.Lock lives in one process; use shm.Lock"
}

func (e *Error) Error() string { return e.Path + ": " + e.Why }

// Check reports whether an input of type t can be sent: nil or an *Error.
func Check(t reflect.Type) error {
	if f := planOf(t).fault; f != nil {
		return &Error{"input" + f.path, f.why}
	}
	return nil
}

// Plain reports whether values of type t can be sent, and need not be looked at
// before: Pack would do nothing.
func Plain(t reflect.Type) bool {
	pl := planOf(t)
	return pl.fault == nil && !pl.walk
}

// Pack checks v, which is called name in errors ("input", "output"), as it will
// be encoded, and lets all carriers in it add to p. The error is an *Error or
// what a carrier returned, with its place.
func Pack(name string, v any, p *parcel.Parcel) error {
	if v == nil {
		return nil
	}
	val := reflect.ValueOf(v)
	pl := planOf(val.Type())
	if pl.fault != nil {
		return &Error{name + pl.fault.path, pl.fault.why}
	}
	if !pl.walk {
		return nil
	}
	w := walker{parcel: p}
	return w.value(val, pl, &place{name: name})
}

// A fault is why a type cannot be sent.
type fault struct{ path, why string }

// A plan is what is known of a type.
type plan struct {
	fault   *fault
	walk    bool // a value of it has to be looked at
	carrier bool // it is a parcel.Carrier, or a pointer to it is
	fields  []field
}

// A field is one that is sent and has to be looked at.
type field struct {
	index int
	name  string
}

var plans sync.Map // reflect.Type to *plan

func planOf(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	p := new(plan)
	b := builder{open: map[reflect.Type]bool{}}
	p.fault = b.fault(t, "")
	p.walk = b.walk
	p.carrier = isCarrier(t)
	if p.fault == nil && p.walk && !p.carrier && t.Kind() == reflect.Struct && !opaque(t) {
		for f := range sent(t) {
			p.fields = append(p.fields, field{f.Index[0], f.Name})
		}
	}
	plans.Store(t, p)
	return p
}

// A builder looks through one type.
type builder struct {
	open map[reflect.Type]bool // the types that are being looked at, outside in
	walk bool
}

// fault returns the first fault in t, which is at path.
func (b *builder) fault(t reflect.Type, path string) *fault {
	if b.open[t] {
		b.walk = true // a value of it could contain itself
		return nil
	}
	b.open[t] = true
	defer delete(b.open, t)

	if isCarrier(t) {
		b.walk = true
		return nil
	}
	if why := singleProcess(t); why != "" {
		return &fault{path, why}
	}
	if opaque(t) {
		return nil
	}
	switch t.Kind() {
	case reflect.Pointer:
		return b.fault(t.Elem(), path)
	case reflect.Slice, reflect.Array:
		return b.fault(t.Elem(), path+"[]")
	case reflect.Map:
		if f := b.fault(t.Key(), path+"[key]"); f != nil {
			return f
		}
		return b.fault(t.Elem(), path+"[]")
	case reflect.Interface:
		b.walk = true
	case reflect.Struct:
		return b.structFault(t, path)
	case reflect.Func, reflect.UnsafePointer, reflect.Complex64, reflect.Complex128:
		return &fault{path, cannotEncode(t)}
	}
	return nil
}

func (b *builder) structFault(t reflect.Type, path string) *fault {
	some := t.NumField() == 0
	for f := range sent(t) {
		some = true
		if found := b.fault(f.Type, path+"."+f.Name); found != nil {
			return found
		}
	}
	for f := range t.Fields() {
		if f.IsExported() || f.Name == "_" {
			some = some || f.Name == "_"
			continue
		}
		if why := ours(strip(f.Type)); why != "" {
			return &fault{path + "." + f.Name, why}
		}
	}
	if !some {
		return &fault{path, fmt.Sprintf("%v has no exported field, so nothing of it would arrive; export what is to be sent", t)}
	}
	return nil
}

// sent yields the fields of a struct that are encoded.
func sent(t reflect.Type) func(yield func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for f := range t.Fields() {
			embedded := f.Anonymous && f.Type.Kind() == reflect.Struct // its fields are sent even if its name is not exported
			if !f.IsExported() && !embedded || skipped(f.Tag) {
				continue
			}
			if !yield(f) {
				return
			}
		}
	}
}

func skipped(tag reflect.StructTag) bool {
	v, ok := tag.Lookup("cbor")
	if !ok {
		v = tag.Get("json")
	}
	return v == "-"
}

// strip takes pointers, slices, arrays and maps off a type.
func strip(t reflect.Type) reflect.Type {
	for {
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
			if t.Name() != "" {
				return t
			}
			t = t.Elem()
		default:
			return t
		}
	}
}

// A place is where in a value the walk is.
type place struct {
	up   *place
	name string // "input", ".Jobs", "[3]"
}

func (p *place) String() string {
	if p.up == nil {
		return p.name
	}
	var b strings.Builder
	var write func(*place)
	write = func(p *place) {
		if p.up != nil {
			write(p.up)
		}
		b.WriteString(p.name)
	}
	write(p)
	return b.String()
}
