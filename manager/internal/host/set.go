package host

import (
	"sync"

	"github.com/tristrand/tristrand/internal/pickle"
)

// SetMethods are the methods of a set that clients may call.
var SetMethods = []string{
	"__and__", "__class_getitem__", "__contains__", "__iand__", "__ior__", "__isub__", "__iter__", "__ixor__",
	"__len__", "__or__", "__rand__", "__ror__", "__rsub__", "__rxor__", "__sub__", "__xor__", "__ge__", "__gt__",
	"__le__", "__lt__", "add", "clear", "copy", "difference", "difference_update", "discard", "intersection",
	"intersection_update", "isdisjoint", "issubset", "issuperset", "pop", "remove", "symmetric_difference",
	"symmetric_difference_update", "union", "update",
}

// Set is a shared set.
type Set struct {
	mu sync.Mutex
	s  *pickle.Set
}

// NewSet makes one as set() does.
func NewSet(c *Call) (Object, error) {
	args, err := c.bind("set", 0, "iterable")
	if err != nil {
		return nil, err
	}
	o := &Set{s: new(pickle.Set)}
	if given(args[0]) {
		if o.s, err = setOf(args[0]); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// setOf returns v's items as a new set.
func setOf(v any) (*pickle.Set, error) {
	items, err := pickle.Iterate(v)
	if err != nil {
		return nil, err
	}
	return pickle.NewSet(items...)
}

// Call calls a method.
func (o *Set) Call(c *Call, method string) (any, error) {
	if err := o.open(c, method); err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	switch method {
	case "add", "discard", "remove", "__contains__":
		return o.item(c, method)
	case "__len__":
		return int64(o.s.Len()), c.none(method)
	case "copy":
		return o.s.Clone(), c.none(method)
	case "clear":
		o.s.Clear()
		return nil, c.none(method)
	case "pop":
		x, ok := o.s.Pop()
		if !ok {
			return nil, keyError("pop from an empty set")
		}
		return x, c.none(method)
	case "__iter__":
		items, err := pickle.Iterate(o.s)
		if err != nil {
			return nil, err
		}
		return &pickle.Object{
			Class: pickle.Global{Module: "builtins", Name: "iter"}, Args: pickle.Tuple{&pickle.List{Items: items}},
		}, c.none(method)
	case "__class_getitem__":
		return nil, typeError("a shared set has no parameters")
	case "union", "intersection", "difference", "update", "intersection_update", "difference_update":
		return o.many(c, method)
	case "isdisjoint", "issubset", "issuperset", "symmetric_difference", "symmetric_difference_update":
		other, err := c.one(method, "other")
		if err != nil {
			return nil, err
		}
		t, err := setOf(other)
		if err != nil {
			return nil, err
		}
		return o.with(t, method)
	}
	return o.operator(c, method)
}

func (o *Set) item(c *Call, method string) (any, error) {
	x, err := c.one(method, "elem")
	if err != nil {
		return nil, err
	}
	switch method {
	case "add":
		return nil, o.s.Add(x)
	case "__contains__":
		return o.s.Has(x)
	}
	ok, err := o.s.Remove(x)
	if err == nil && !ok && method == "remove" {
		err = keyError(x)
	}
	return nil, err
}

// many does the methods that take any number of iterables.
func (o *Set) many(c *Call, method string) (any, error) {
	if c.Kwds != nil && c.Kwds.Len() > 0 {
		return nil, typeError("%s() takes no keyword arguments", method)
	}
	s := o.s.Clone()
	for _, a := range c.Args {
		t, err := setOf(a)
		if err != nil {
			return nil, err
		}
		switch method {
		case "union", "update":
			s = union(s, t)
		case "intersection", "intersection_update":
			s = intersection(s, t)
		default:
			s = difference(s, t)
		}
	}
	switch method {
	case "update", "intersection_update", "difference_update":
		o.s = s
		return nil, nil
	default:
		return s, nil
	}
}

func (o *Set) with(t *pickle.Set, method string) (any, error) {
	switch method {
	case "isdisjoint":
		return intersection(o.s, t).Len() == 0, nil
	case "issubset":
		return o.s.Within(t), nil
	case "issuperset":
		return t.Within(o.s), nil
	}
	s := union(difference(o.s, t), difference(t, o.s))
	if method == "symmetric_difference_update" {
		o.s = s
		return nil, nil
	}
	return s, nil
}

// operator does what &, |, -, ^ and the comparisons stand for; they take sets
// only.
func (o *Set) operator(c *Call, method string) (any, error) {
	switch method {
	case "__and__", "__rand__", "__iand__", "__or__", "__ror__", "__ior__", "__sub__", "__rsub__", "__isub__",
		"__xor__", "__rxor__", "__ixor__", "__le__", "__lt__", "__ge__", "__gt__":
	default:
		return nil, ErrNoMethod
	}
	other, err := c.one(method, "other")
	if err != nil {
		return nil, err
	}
	t, ok := pickle.AsSet(other)
	if !ok {
		return nil, typeError("unsupported operand type(s): 'set' and '%s'", pickle.TypeName(other))
	}
	var s *pickle.Set
	switch method {
	case "__le__":
		return o.s.Within(t), nil
	case "__lt__":
		return o.s.Len() < t.Len() && o.s.Within(t), nil
	case "__ge__":
		return t.Within(o.s), nil
	case "__gt__":
		return t.Len() < o.s.Len() && t.Within(o.s), nil
	case "__and__", "__rand__", "__iand__":
		s = intersection(o.s, t)
	case "__or__", "__ror__", "__ior__":
		s = union(o.s, t)
	case "__sub__", "__isub__":
		s = difference(o.s, t)
	case "__rsub__":
		s = difference(t, o.s)
	default:
		s = union(difference(o.s, t), difference(t, o.s))
	}
	if method[2] == 'i' {
		o.s = s
		s = s.Clone()
	}
	return s, nil
}

// What follows makes new sets. Items that were in a set can be hashed.

func union(s, t *pickle.Set) *pickle.Set {
	out := s.Clone()
	for x := range t.All() {
		_ = out.Add(x)
	}
	return out
}

func intersection(s, t *pickle.Set) *pickle.Set { return sift(s, t, true) }

func difference(s, t *pickle.Set) *pickle.Set { return sift(s, t, false) }

func sift(s, t *pickle.Set, in bool) *pickle.Set {
	out := new(pickle.Set)
	for x := range s.All() {
		if ok, _ := t.Has(x); ok == in {
			_ = out.Add(x)
		}
	}
	return out
}

// Repr prints it.
func (o *Set) Repr(most int) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return pickle.Repr(o.s, most)
}

// Value returns a copy.
func (o *Set) Value() (any, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.s.Clone(), nil
}
