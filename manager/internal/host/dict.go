package host

import (
	"sync"

	"github.com/tristrand/tristrand/internal/pickle"
)

// DictMethods are the methods of a dict that clients may call.
var DictMethods = []string{
	"__contains__", "__delitem__", "__getitem__", "__iter__", "__len__", "__setitem__", "clear", "copy", "get",
	"items", "keys", "pop", "popitem", "setdefault", "update", "values", "__iter__",
	"__ior__", "__or__", "__reversed__", "__ror__", "fromkeys",
}

// Dict is a shared dict.
type Dict struct {
	mu sync.Mutex
	d  *pickle.Dict
}

// NewDict makes one as dict() does.
func NewDict(c *Call) (Object, error) {
	o := &Dict{d: new(pickle.Dict)}
	return o, o.update(c, "dict")
}

// update does what dict.update does with its arguments.
func (o *Dict) update(c *Call, method string) error {
	if len(c.Args) > 1 {
		return typeError("%s expected at most 1 argument, got %d", method, len(c.Args))
	}
	if len(c.Args) == 1 {
		if err := merge(o.d, c.Args[0]); err != nil {
			return err
		}
	}
	if c.Kwds != nil {
		for k, v := range c.Kwds.All() {
			if err := o.d.Set(k, v); err != nil {
				return err
			}
		}
	}
	return nil
}

// merge puts into d what v, a dict or an iterable of pairs, says.
func merge(d *pickle.Dict, v any) error {
	if m, ok := v.(interface{ Mapping() *pickle.Dict }); ok {
		if src := m.Mapping(); src != nil {
			v = src
		}
	}
	if src, ok := v.(*pickle.Dict); ok {
		for k, x := range src.All() {
			if err := d.Set(k, x); err != nil {
				return err
			}
		}
		return nil
	}
	items, err := pickle.Iterate(v)
	if err != nil {
		return err
	}
	for i, item := range items {
		pair, err := pickle.Iterate(item)
		if err != nil {
			return typeError("cannot convert dictionary update sequence element #%d to a sequence", i)
		}
		if len(pair) != 2 {
			return valueError("dictionary update sequence element #%d has length %d; 2 is required", i, len(pair))
		}
		if err := d.Set(pair[0], pair[1]); err != nil {
			return err
		}
	}
	return nil
}

// Call calls a method.
func (o *Dict) Call(c *Call, method string) (any, error) {
	if err := o.open(c, method); err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	switch method {
	case "__getitem__", "__setitem__", "__delitem__", "__contains__":
		return o.item(c, method)
	case "get", "setdefault", "pop":
		return o.lookUp(c, method)
	case "__len__":
		return int64(o.d.Len()), c.none(method)
	case "update":
		return nil, o.update(c, method)
	case "keys", "values", "items":
		return o.view(method), c.none(method)
	case "copy":
		return o.d.Clone(), c.none(method)
	case "clear":
		if err := c.none(method); err != nil {
			return nil, err
		}
		o.d.Clear()
		return nil, nil
	case "popitem":
		if err := c.none(method); err != nil {
			return nil, err
		}
		k, v, ok := o.d.PopLast()
		if !ok {
			return nil, keyError("popitem(): dictionary is empty")
		}
		return pickle.Tuple{k, v}, nil
	case "__iter__":
		return Created{"Iterator", &dictIterator{o: o, size: o.d.Len()}}, c.none(method)
	default:
		return o.operator(c, method)
	}
}

// item does the methods that subscripts stand for.
func (o *Dict) item(c *Call, method string) (any, error) {
	if method == "__setitem__" {
		args, err := c.bind(method, 2, "key", "value")
		if err != nil {
			return nil, err
		}
		return nil, o.d.Set(args[0], args[1])
	}
	key, err := c.one(method, "key")
	if err != nil {
		return nil, err
	}
	switch method {
	case "__contains__":
		_, ok, err := o.d.Get(key)
		return ok, err
	case "__delitem__":
		_, ok, err := o.d.Delete(key)
		if err == nil && !ok {
			err = keyError(key)
		}
		return nil, err
	default:
		v, ok, err := o.d.Get(key)
		if err == nil && !ok {
			err = keyError(key)
		}
		return v, err
	}
}

func (o *Dict) lookUp(c *Call, method string) (any, error) {
	args, err := c.bind(method, 1, "key", "default")
	if err != nil {
		return nil, err
	}
	key, other := args[0], args[1]
	if method == "pop" {
		v, ok, err := o.d.Delete(key)
		switch {
		case err != nil || ok:
			return v, err
		case given(other):
			return other, nil
		default:
			return nil, keyError(key)
		}
	}
	if !given(other) {
		other = nil
	}
	v, ok, err := o.d.Get(key)
	if err != nil || ok {
		return v, err
	}
	if method == "setdefault" {
		err = o.d.Set(key, other)
	}
	return other, err
}

func (o *Dict) view(method string) *pickle.List {
	l := &pickle.List{Items: make([]any, 0, o.d.Len())}
	for k, v := range o.d.All() {
		switch method {
		case "keys":
			l.Items = append(l.Items, k)
		case "values":
			l.Items = append(l.Items, v)
		default:
			l.Items = append(l.Items, pickle.Tuple{k, v})
		}
	}
	return l
}

// operator does what newer clients know.
func (o *Dict) operator(c *Call, method string) (any, error) {
	switch method {
	case "__reversed__":
		l := o.view("keys")
		reverse(l.Items)
		return l, c.none(method)
	case "fromkeys":
		args, err := c.bind(method, 1, "iterable", "value")
		if err != nil {
			return nil, err
		}
		keys, err := pickle.Iterate(args[0])
		if err != nil {
			return nil, err
		}
		d, v := new(pickle.Dict), args[1]
		if !given(v) {
			v = nil
		}
		for _, k := range keys {
			if err := d.Set(k, v); err != nil {
				return nil, err
			}
		}
		return d, nil
	case "__or__", "__ror__", "__ior__":
		other, err := c.one(method, "other")
		if err != nil {
			return nil, err
		}
		if _, ok := other.(*pickle.Dict); !ok && method != "__ior__" {
			return nil, typeError("unsupported operand type(s) for |: 'dict' and '%s'", pickle.TypeName(other))
		}
		return o.union(other, method)
	default:
		return nil, ErrNoMethod
	}
}

func (o *Dict) union(other any, method string) (any, error) {
	if method == "__ior__" {
		err := merge(o.d, other)
		return o.d.Clone(), err
	}
	first, second := any(o.d), other
	if method == "__ror__" {
		first, second = other, o.d
	}
	d := new(pickle.Dict)
	if err := merge(d, first); err != nil {
		return nil, err
	}
	return d, merge(d, second)
}

// Repr prints it.
func (o *Dict) Repr(most int) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return pickle.Repr(o.d, most)
}

// Value returns a copy.
func (o *Dict) Value() (any, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.d.Clone(), nil
}

// Created is the answer of a method whose result is an object of its own, of
// which the caller gets a proxy.
type Created struct {
	Type   string
	Object Object
}

// IteratorMethods are the methods of an iterator.
var IteratorMethods = []string{"__next__", "send", "throw", "close"}

// dictIterator walks over the keys of a dict.
type dictIterator struct {
	o        *Dict
	at, size int // guarded by the dict's mutex
	over     bool
}

func (it *dictIterator) Call(c *Call, method string) (any, error) {
	switch method {
	case "__next__":
		if err := c.none(method); err != nil {
			return nil, err
		}
	case "send", "throw", "close":
		return nil, exception("AttributeError", "'dict_keyiterator' object has no attribute '%s'", method)
	default:
		return nil, ErrNoMethod
	}
	it.o.mu.Lock()
	defer it.o.mu.Unlock()
	if it.over {
		return nil, Builtin("StopIteration")
	}
	if it.o.d.Len() != it.size {
		return nil, runtimeError("dictionary changed size during iteration")
	}
	key, next, ok := it.o.d.Next(it.at)
	if !ok {
		it.over = true
		return nil, Builtin("StopIteration")
	}
	it.at = next
	return key, nil
}

func (it *dictIterator) Repr(int) string { return "<dict_keyiterator object>" }

func (it *dictIterator) Value() (any, error) {
	return nil, &pickle.WriteError{What: "'dict_keyiterator' object"}
}
