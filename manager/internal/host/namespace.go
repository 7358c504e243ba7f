package host

import (
	"slices"
	"strings"
	"sync"

	"github.com/tristrand/tristrand/internal/pickle"
)

// The methods of a namespace and of a value that clients may call. load and swap
// are for Go clients.
var (
	NamespaceMethods = []string{"__getattribute__", "__setattr__", "__delattr__"}
	ValueMethods     = []string{"get", "set", "load", "swap"}
)

const managers = "multiprocessing.managers"

// Namespace is a shared namespace.
type Namespace struct {
	mu sync.Mutex
	d  *pickle.Dict
}

// NewNamespace makes one of keyword arguments.
func NewNamespace(c *Call) (Object, error) {
	if len(c.Args) > 0 {
		return nil, typeError("Namespace() takes no positional arguments")
	}
	o := &Namespace{d: new(pickle.Dict)}
	if c.Kwds != nil {
		o.d = c.Kwds.Clone()
	}
	return o, nil
}

// Call calls a method.
func (o *Namespace) Call(c *Call, method string) (any, error) {
	if !slices.Contains(NamespaceMethods, method) {
		return nil, ErrNoMethod
	}
	names := []string{"name", "value"}
	if method != "__setattr__" {
		names = names[:1]
	}
	args, err := c.bind(method, len(names), names...)
	if err != nil {
		return nil, err
	}
	name, ok := args[0].(string)
	if !ok {
		return nil, typeError("attribute name must be string, not '%s'", pickle.TypeName(args[0]))
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	switch method {
	case "__setattr__":
		return nil, o.d.Set(name, args[1])
	case "__delattr__":
		_, ok, err = o.d.Delete(name)
	default:
		var v any
		if v, ok, err = o.d.Get(name); ok {
			return v, nil
		}
	}
	if err == nil && !ok {
		err = exception("AttributeError", "'Namespace' object has no attribute '%s'", name)
	}
	return nil, err
}

// Repr prints the attributes, sorted, without those that begin with "_".
func (o *Namespace) Repr(most int) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var parts []string
	for k, v := range o.d.All() {
		if name, ok := k.(string); ok && !strings.HasPrefix(name, "_") {
			parts = append(parts, name+"="+pickle.Repr(v, most))
		}
	}
	slices.Sort(parts)
	s := "Namespace(" + strings.Join(parts, ", ") + ")"
	if len(s) > most {
		s = s[:most]
	}
	return strings.ToValidUTF8(s, "")
}

// Value returns a copy, an instance of Python's Namespace.
func (o *Namespace) Value() (any, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return &pickle.Object{Class: pickle.Global{Module: managers, Name: "Namespace"}, New: true, State: o.d.Clone(), HasState: true}, nil
}

// Value is a shared value.
type Value struct {
	mu      sync.Mutex
	code    any
	v       any
	version int64 // counts changes
}

// NewValue makes one of a type code, which says nothing, and a value.
func NewValue(c *Call) (Object, error) {
	args, err := c.bind("Value", 2, "typecode", "value", "lock")
	if err != nil {
		return nil, err
	}
	return &Value{code: args[0], v: args[1]}, nil
}

// Call calls a method.
func (o *Value) Call(c *Call, method string) (any, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch method {
	case "get":
		return o.v, c.none(method)
	case "set":
		v, err := c.one(method, "value")
		if err == nil {
			o.v = v
			o.version++
		}
		return nil, err
	case "load": // the value and the number of its version
		return pickle.Tuple{o.v, o.version}, c.none(method)
	case "swap": // if it still is that version
		args, err := c.bind(method, 2, "version", "value")
		if err != nil || args[0] != any(o.version) {
			return false, err
		}
		o.v = args[1]
		o.version++
		return true, nil
	default:
		return nil, ErrNoMethod
	}
}

// Repr prints it.
func (o *Value) Repr(most int) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return pickle.Repr(&pickle.Object{Class: pickle.Global{Name: "Value"}, Args: pickle.Tuple{o.code, o.v}}, most)
}

// Value returns a copy, an instance of Python's Value.
func (o *Value) Value() (any, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	d := new(pickle.Dict)
	d.SetString("_typecode", o.code)
	d.SetString("_value", o.v)
	return &pickle.Object{Class: pickle.Global{Module: managers, Name: "Value"}, New: true, State: d, HasState: true}, nil
}
