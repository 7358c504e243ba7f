package manager

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode"

	"github.com/tristrand/tristrand/internal/pickle"
	"github.com/tristrand/tristrand/manager/internal/host"
)

var (
	contextType = reflect.TypeFor[context.Context]()
	errorType   = reflect.TypeFor[error]()
)

// a userType is a Type that has been looked at.
type userType struct {
	name    string
	methods []userMethod
}

type userMethod struct {
	python string
	index  int // of the Go method
}

// a userObject is an object of a user's. Two are equal when they are the same
// pointer.
type userObject struct {
	t *userType
	v any // a pointer
}

// boxed holds what is no pointer.
type boxed struct{ v any }

// hosted makes of a Type what the table holds.
func (ty Type) hosted() (*host.Type, error) {
	fn := reflect.ValueOf(ty.New)
	if ty.Name == "" || fn.Kind() != reflect.Func {
		return nil, fmt.Errorf("manager: type %q: it needs a name, and New must be a function, not %T", ty.Name, ty.New)
	}
	ft := fn.Type()
	if n := ft.NumOut(); n < 1 || n > 2 || n == 2 && ft.Out(1) != errorType {
		return nil, fmt.Errorf("manager: type %q: New must return the object and, perhaps, an error", ty.Name)
	}
	if isSeq(ft.Out(0)) {
		return &host.Type{ID: ty.Name, Proxy: ty.Proxy, Exposed: host.IteratorMethods, New: func(c *host.Call) (host.Object, error) {
			v, err := invoke(fn, c)
			if err != nil {
				return nil, err
			}
			return sequence(v), nil
		}}, nil
	}
	ut := &userType{name: ty.Name}
	if err := ut.look(ft.Out(0), ty.Expose); err != nil {
		return nil, err
	}
	ht := &host.Type{ID: ty.Name, Proxy: ty.Proxy}
	for _, m := range ut.methods {
		ht.Exposed = append(ht.Exposed, m.python)
	}
	ht.New = func(c *host.Call) (host.Object, error) {
		v, err := invoke(fn, c)
		if err != nil {
			return nil, err
		}
		if !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
			return nil, fmt.Errorf("the server's New of %q returned nil", ty.Name)
		}
		if v.Kind() != reflect.Pointer {
			return userObject{ut, &boxed{v.Interface()}}, nil
		}
		return userObject{ut, v.Interface()}, nil
	}
	return ht, nil
}

// look finds the methods that clients may call.
func (ut *userType) look(t reflect.Type, expose []string) error {
	byName := map[string]int{}
	for i := range t.NumMethod() {
		if m := t.Method(i); m.IsExported() {
			byName[squashed(m.Name)] = i
			if expose == nil {
				ut.methods = append(ut.methods, userMethod{snake(m.Name), i})
			}
		}
	}
	for _, name := range expose {
		i, ok := byName[squashed(name)]
		if !ok || !isIdentifier(name) {
			return fmt.Errorf("manager: type %q: %v has no method for %q; it would be called %s", ut.name, t, name, squashed(name))
		}
		ut.methods = append(ut.methods, userMethod{name, i})
	}
	if len(ut.methods) == 0 {
		return fmt.Errorf("manager: type %q: %v has no exported methods that clients could call", ut.name, t)
	}
	return nil
}

// isIdentifier reports whether Python takes s for a name: clients make code of
// it.
func isIdentifier(s string) bool {
	for i, r := range s {
		if r != '_' && !unicode.IsLetter(r) && (i == 0 || !unicode.IsDigit(r)) {
			return false
		}
	}
	return s != ""
}

func squashed(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "")) }

// snake is a Go name as Python writes such names: GetTotal is get_total.
func snake(name string) string {
	var b strings.Builder
	rs := []rune(name)
	for i, r := range rs {
		if unicode.IsUpper(r) && i > 0 && (unicode.IsLower(rs[i-1]) || i+1 < len(rs) && unicode.IsLower(rs[i+1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// value returns the object as reflect has it.
func (o userObject) value() reflect.Value {
	if b, ok := o.v.(*boxed); ok {
		return reflect.ValueOf(b.v)
	}
	return reflect.ValueOf(o.v)
}

// Call calls a method.
func (o userObject) Call(c *host.Call, method string) (any, error) {
	for _, m := range o.t.methods {
		if m.python != method {
			continue
		}
		v, err := invoke(o.value().Method(m.index), c)
		if err != nil || !v.IsValid() {
			return nil, err
		}
		if isSeq(v.Type()) {
			return host.Created{Type: "Iterator", Object: sequence(v)}, nil
		}
		return pickle.FromGo(v.Interface())
	}
	return nil, host.ErrNoMethod
}

// Repr prints it with its String method, or its type.
func (o userObject) Repr(most int) string {
	s := fmt.Sprintf("<%s object>", o.t.name)
	if str, ok := reflect.TypeAssert[fmt.Stringer](o.value()); ok {
		s = str.String()
	}
	return strings.ToValidUTF8(s[:min(len(s), most)], "")
}

// Value returns it as Python has such things.
func (o userObject) Value() (any, error) { return pickle.FromGo(o.value().Interface()) }

// invoke calls a Go function with the arguments of a call.
func invoke(fn reflect.Value, c *host.Call) (reflect.Value, error) {
	t := fn.Type()
	if c.Kwds != nil && c.Kwds.Len() > 0 {
		return reflect.Value{}, host.Builtin("TypeError", "a Go function takes no keyword arguments")
	}
	ctx, _, err := c.Wait() // whatever it takes: nobody knows how long a user's function does
	if err != nil {
		return reflect.Value{}, err
	}
	var in []reflect.Value
	first := 0
	if t.NumIn() > 0 && t.In(0) == contextType {
		in, first = append(in, reflect.ValueOf(ctx)), 1
	}
	params := t.NumIn() - first
	if t.IsVariadic() {
		params--
	}
	if n := len(c.Args); n < params || n > params && !t.IsVariadic() {
		return reflect.Value{}, host.Builtin("TypeError", fmt.Sprintf("it takes %d arguments (%d given)", params, n))
	}
	for i, a := range c.Args {
		pt := t.In(min(first+i, t.NumIn()-1))
		if t.IsVariadic() && i >= params {
			pt = pt.Elem()
		}
		p := reflect.New(pt).Elem()
		if err := pickle.Into(p, a); err != nil {
			return reflect.Value{}, host.Builtin("TypeError", fmt.Sprintf("argument %d: %v", i+1, err))
		}
		in = append(in, p)
	}
	out := fn.Call(in)
	if n := len(out); n > 0 && t.Out(n-1) == errorType {
		if err, _ := reflect.TypeAssert[error](out[n-1]); err != nil {
			return reflect.Value{}, goError(err)
		}
		out = out[:n-1]
	}
	switch len(out) {
	case 0:
		return reflect.Value{}, nil
	case 1:
		return out[0], nil
	}
	many := make([]any, len(out))
	for i, v := range out {
		many[i] = v.Interface()
	}
	l, err := pickle.FromGo(many)
	if err != nil {
		return reflect.Value{}, err
	}
	return reflect.ValueOf(pickle.Tuple(l.(*pickle.List).Items)), nil
}

// goError is what a client sees of an error of a user's method: the exception
// that it is, or a RuntimeError.
func goError(err error) error {
	if e, ok := errors.AsType[*PythonError](err); ok {
		return e.hosted()
	}
	if _, ok := host.AsException(err); ok {
		return err
	}
	return host.Builtin("RuntimeError", err.Error())
}

// isSeq reports whether t is an iter.Seq.
func isSeq(t reflect.Type) bool {
	return t.Kind() == reflect.Func && t.CanSeq() && t.NumIn() == 1 && t.NumOut() == 0 && t.In(0).NumIn() == 1
}

// sequence makes an iterator of an iter.Seq.
func sequence(v reflect.Value) host.Object {
	return host.NewSequence(func(yield func(any, error) bool) {
		for x := range v.Seq() {
			if !yield(pickle.FromGo(x.Interface())) {
				return
			}
		}
	})
}
