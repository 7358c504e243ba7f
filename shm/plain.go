package shm

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
)

// plain returns why values of t cannot be shared as they lie in memory, or nil:
// they must have a fixed size and no pointer in them.
func plain(t reflect.Type) error {
	if known, ok := plains.Load(t); ok {
		err, _ := known.(error)
		return err
	}
	path, why := notPlain(t, typeName(t))
	var err error
	if why != "" {
		err = fmt.Errorf("%s: %s; only numbers, bools, and arrays and structs of them have the same form in every process", path, why)
	}
	plains.Store(t, known{err}.value())
	return err
}

var plains sync.Map // reflect.Type to error or struct{}

// known makes a nil error something that a map can hold.
type known struct{ err error }

func (k known) value() any {
	if k.err != nil {
		return k.err
	}
	return struct{}{}
}

func notPlain(t reflect.Type, path string) (at, why string) {
	switch t.Kind() {
	case reflect.Bool, reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "", ""
	case reflect.Array:
		return notPlain(t.Elem(), path+"[]")
	case reflect.Struct:
		if t.PkgPath() == "sync" || t.PkgPath() == "sync/atomic" {
			return path, fmt.Sprintf("%v is for one process", t)
		}
		for f := range t.Fields() {
			if at, why := notPlain(f.Type, path+"."+f.Name); why != "" {
				return at, why
			}
		}
		return "", ""
	case reflect.String:
		return path, fmt.Sprintf("a %v has no fixed size; use an array of bytes", t)
	case reflect.Slice:
		return path, fmt.Sprintf("a %v has no fixed size; use an array", t)
	default:
		return path, fmt.Sprintf("a %v points into the memory of one process", t)
	}
}

// typeName names a type so that two of the same name from different packages are
// told apart.
func typeName(t reflect.Type) string {
	if t.PkgPath() != "" && t.Name() != "" && !strings.Contains(t.Name(), "[") {
		return t.PkgPath() + "." + t.Name()
	}
	return t.String()
}
