package manager

import (
	"context"
	"errors"

	"github.com/tristrand/tristrand/internal/pickle"
)

// A Dict is a dict on a server. Keys and values are converted as Proxy.Call says.
type Dict[K comparable, V any] struct{ base }

// NewDict makes an empty dict.
func NewDict[K comparable, V any](ctx context.Context, c *Client) (*Dict[K, V], error) {
	return wrap(DictOf[K, V])(c.Create(ctx, "dict"))
}

// DictOf makes a Dict of a proxy for one.
func DictOf[K comparable, V any](p *Proxy) *Dict[K, V] { return &Dict[K, V]{base{p}} }

// isPython reports whether err is an exception of a built-in class.
func isPython(err error, class string) bool {
	e, ok := errors.AsType[*PythonError](err)
	return ok && e.Class == "builtins."+class
}

// Get returns the value of a key, and whether there is one.
func (d *Dict[K, V]) Get(ctx context.Context, key K) (v V, ok bool, err error) {
	v, err = get[V](ctx, d.p, "__getitem__", key)
	if isPython(err, "KeyError") {
		return v, false, nil
	}
	return v, err == nil, err
}

// Set sets the value of a key.
func (d *Dict[K, V]) Set(ctx context.Context, key K, v V) error {
	_, err := d.p.raw(ctx, "__setitem__", key, v)
	return err
}

// SetDefault returns the value of a key, which is v if it had none.
func (d *Dict[K, V]) SetDefault(ctx context.Context, key K, v V) (V, error) {
	return get[V](ctx, d.p, "setdefault", key, v)
}

// Pop removes a key and returns its value, and whether there was one.
func (d *Dict[K, V]) Pop(ctx context.Context, key K) (v V, ok bool, err error) {
	v, err = get[V](ctx, d.p, "pop", key)
	if isPython(err, "KeyError") {
		return v, false, nil
	}
	return v, err == nil, err
}

// Delete removes a key, and reports whether it was there.
func (d *Dict[K, V]) Delete(ctx context.Context, key K) (bool, error) {
	_, err := d.p.raw(ctx, "__delitem__", key)
	if isPython(err, "KeyError") {
		return false, nil
	}
	return err == nil, err
}

// Has reports whether a key is there.
func (d *Dict[K, V]) Has(ctx context.Context, key K) (bool, error) {
	return get[bool](ctx, d.p, "__contains__", key)
}

// Len returns the number of keys.
func (d *Dict[K, V]) Len(ctx context.Context) (int, error) { return get[int](ctx, d.p, "__len__") }

// Update sets the values of many keys at once.
func (d *Dict[K, V]) Update(ctx context.Context, m map[K]V) error {
	_, err := d.p.raw(ctx, "update", m)
	return err
}

// Copy returns all keys and values of one moment.
func (d *Dict[K, V]) Copy(ctx context.Context) (map[K]V, error) {
	return get[map[K]V](ctx, d.p, "copy")
}

// Keys returns the keys, in the order in which they were put in.
func (d *Dict[K, V]) Keys(ctx context.Context) ([]K, error) {
	v, err := d.p.raw(ctx, "keys")
	if err != nil {
		return nil, err
	}
	return pickle.Get[[]K](listOf(v))
}

// listOf is the list that CPython writes as a call of list.
func listOf(v any) any {
	if o, ok := v.(*pickle.Object); ok && len(o.Args) == 1 {
		return o.Args[0]
	}
	return v
}

// Clear removes all keys.
func (d *Dict[K, V]) Clear(ctx context.Context) error {
	_, err := d.p.raw(ctx, "clear")
	return err
}

// A List is a list on a server.
type List[T any] struct{ base }

// NewList makes a list of items.
func NewList[T any](ctx context.Context, c *Client, items ...T) (*List[T], error) {
	return wrap(ListOf[T])(c.Create(ctx, "list", append([]T{}, items...)))
}

// ListOf makes a List of a proxy for one.
func ListOf[T any](p *Proxy) *List[T] { return &List[T]{base{p}} }

// Append appends items, all at once.
func (l *List[T]) Append(ctx context.Context, items ...T) error {
	if len(items) == 0 {
		return nil
	}
	_, err := l.p.raw(ctx, "extend", items)
	return err
}

// Get returns the i-th item; below 0 counts from the end.
func (l *List[T]) Get(ctx context.Context, i int) (T, error) {
	return get[T](ctx, l.p, "__getitem__", i)
}

// Set sets the i-th item.
func (l *List[T]) Set(ctx context.Context, i int, v T) error {
	_, err := l.p.raw(ctx, "__setitem__", i, v)
	return err
}

// Insert puts v before the i-th item.
func (l *List[T]) Insert(ctx context.Context, i int, v T) error {
	_, err := l.p.raw(ctx, "insert", i, v)
	return err
}

// Pop removes the i-th item and returns it; -1 is the last.
func (l *List[T]) Pop(ctx context.Context, i int) (T, error) { return get[T](ctx, l.p, "pop", i) }

// Remove removes the first item that equals v, and reports whether there was one.
func (l *List[T]) Remove(ctx context.Context, v T) (bool, error) {
	_, err := l.p.raw(ctx, "remove", v)
	if isPython(err, "ValueError") {
		return false, nil
	}
	return err == nil, err
}

// Index returns where the first item is that equals v, -1 if nowhere.
func (l *List[T]) Index(ctx context.Context, v T) (int, error) {
	i, err := get[int](ctx, l.p, "index", v)
	if isPython(err, "ValueError") {
		return -1, nil
	}
	return i, err
}

// Len returns the number of items.
func (l *List[T]) Len(ctx context.Context) (int, error) { return get[int](ctx, l.p, "__len__") }

// Slice returns the items from the i-th on and before the j-th.
func (l *List[T]) Slice(ctx context.Context, i, j int) ([]T, error) {
	return get[[]T](ctx, l.p, "__getitem__", &pickle.Slice{Start: int64(i), Stop: int64(j)})
}

// Items returns all items of one moment.
func (l *List[T]) Items(ctx context.Context) ([]T, error) {
	return get[[]T](ctx, l.p, "__getitem__", new(pickle.Slice))
}

// Sort sorts the items, as Python does.
func (l *List[T]) Sort(ctx context.Context) error {
	_, err := l.p.raw(ctx, "sort")
	return err
}

// A Set is a set on a server. CPython has it from 3.14 on.
type Set[T comparable] struct{ base }

// NewSet makes a set of items.
func NewSet[T comparable](ctx context.Context, c *Client, items ...T) (*Set[T], error) {
	return wrap(SetOf[T])(c.Create(ctx, "set", append([]T{}, items...)))
}

// SetOf makes a Set of a proxy for one.
func SetOf[T comparable](p *Proxy) *Set[T] { return &Set[T]{base{p}} }

// Add puts v in.
func (s *Set[T]) Add(ctx context.Context, v T) error {
	_, err := s.p.raw(ctx, "add", v)
	return err
}

// Has reports whether v is in.
func (s *Set[T]) Has(ctx context.Context, v T) (bool, error) {
	return get[bool](ctx, s.p, "__contains__", v)
}

// Remove takes v out, and reports whether it was in.
func (s *Set[T]) Remove(ctx context.Context, v T) (bool, error) {
	_, err := s.p.raw(ctx, "remove", v)
	if isPython(err, "KeyError") {
		return false, nil
	}
	return err == nil, err
}

// Len returns the number of items.
func (s *Set[T]) Len(ctx context.Context) (int, error) { return get[int](ctx, s.p, "__len__") }

// Items returns all items of one moment.
func (s *Set[T]) Items(ctx context.Context) ([]T, error) { return get[[]T](ctx, s.p, "copy") }

// A Namespace is a Namespace on a server.
type Namespace struct{ base }

// NewNamespace makes a namespace with attributes.
func NewNamespace(ctx context.Context, c *Client, attributes map[string]any) (*Namespace, error) {
	return wrap(NamespaceOf)(c.CreateNamed(ctx, "Namespace", attributes))
}

// NamespaceOf makes a Namespace of a proxy for one.
func NamespaceOf(p *Proxy) *Namespace { return &Namespace{base{p}} }

// Get returns an attribute, and whether there is one.
func (n *Namespace) Get(ctx context.Context, name string) (v any, ok bool, err error) {
	v, err = n.p.Call(ctx, "__getattribute__", name)
	if isPython(err, "AttributeError") {
		return nil, false, nil
	}
	return v, err == nil, err
}

// Set sets an attribute.
func (n *Namespace) Set(ctx context.Context, name string, v any) error {
	_, err := n.p.raw(ctx, "__setattr__", name, v)
	return err
}

// Delete removes an attribute, and reports whether it was there.
func (n *Namespace) Delete(ctx context.Context, name string) (bool, error) {
	_, err := n.p.raw(ctx, "__delattr__", name)
	if isPython(err, "AttributeError") {
		return false, nil
	}
	return err == nil, err
}
