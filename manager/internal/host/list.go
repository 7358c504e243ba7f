package host

import (
	"math/big"
	"slices"
	"sync"

	"github.com/tristrand/tristrand/internal/pickle"
)

// ListMethods are the methods of a list that clients may call.
var ListMethods = []string{
	"__add__", "__contains__", "__delitem__", "__getitem__", "__len__", "__mul__", "__reversed__", "__rmul__",
	"__setitem__", "append", "count", "extend", "index", "insert", "pop", "remove", "reverse", "sort", "__imul__",
	"clear", "copy",
}

// maxItems bounds what multiplying a list makes.
const maxItems = 16 << 20

// List is a shared list.
type List struct {
	mu    sync.Mutex
	items []any
}

// NewList makes one as list() does.
func NewList(c *Call) (Object, error) {
	args, err := c.bind("list", 0, "iterable")
	if err != nil {
		return nil, err
	}
	o := new(List)
	if given(args[0]) {
		items, err := pickle.Iterate(args[0])
		if err != nil {
			return nil, err
		}
		o.items = slices.Clone(items)
	}
	return o, nil
}

// Call calls a method.
func (o *List) Call(c *Call, method string) (any, error) {
	if err := o.open(c, method); err != nil {
		return nil, err
	}
	if method == "sort" {
		return nil, o.sort(c)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	switch method {
	case "__getitem__", "__setitem__", "__delitem__":
		return o.item(c, method)
	case "append", "extend", "insert", "pop", "remove":
		return o.change(c, method)
	case "index", "count", "__contains__":
		return o.search(c, method)
	case "__add__", "__mul__", "__rmul__", "__imul__":
		return o.operator(c, method)
	}
	if !slices.Contains(ListMethods, method) {
		return nil, ErrNoMethod
	}
	if err := c.none(method); err != nil {
		return nil, err
	}
	switch method {
	case "__len__":
		return int64(len(o.items)), nil
	case "copy":
		return o.copied(), nil
	case "clear":
		o.items = nil
	case "reverse":
		reverse(o.items)
	case "__reversed__":
		l := o.copied()
		return &pickle.Object{
			Class: pickle.Global{Module: "builtins", Name: "reversed"}, Args: pickle.Tuple{l},
			State: int64(len(l.Items) - 1), HasState: true,
		}, nil
	}
	return nil, nil
}

func (o *List) copied() *pickle.List { return &pickle.List{Items: slices.Clone(o.items)} }

func (o *List) item(c *Call, method string) (any, error) {
	names := []string{"index", "value"}
	if method != "__setitem__" {
		names = names[:1]
	}
	args, err := c.bind(method, len(names), names...)
	if err != nil {
		return nil, err
	}
	if s, ok := args[0].(*pickle.Slice); ok {
		return o.slice(method, s, args)
	}
	verb := map[string]string{"__getitem__": "", "__setitem__": "assignment ", "__delitem__": "assignment "}[method]
	i, err := index(args[0], len(o.items), "list", verb)
	if err != nil {
		return nil, err
	}
	switch method {
	case "__getitem__":
		return o.items[i], nil
	case "__setitem__":
		o.items[i] = args[1]
	default:
		o.items = slices.Delete(o.items, i, i+1)
	}
	return nil, nil
}

func (o *List) slice(method string, s *pickle.Slice, args []any) (any, error) {
	sp, err := spanOf(s, len(o.items))
	if err != nil {
		return nil, err
	}
	switch method {
	case "__getitem__":
		return &pickle.List{Items: pick(o.items, sp)}, nil
	case "__delitem__":
		o.items = remove(o.items, sp)
		return nil, nil
	}
	values, err := pickle.Iterate(args[1])
	if err != nil {
		return nil, typeError("can only assign an iterable")
	}
	items, err := assign(o.items, sp, values)
	if err == nil {
		o.items = items
	}
	return nil, err
}

func (o *List) change(c *Call, method string) (any, error) {
	switch method {
	case "append":
		v, err := c.one(method, "object")
		if err == nil {
			o.items = append(o.items, v)
		}
		return nil, err
	case "extend":
		v, err := c.one(method, "iterable")
		if err != nil {
			return nil, err
		}
		items, err := pickle.Iterate(v)
		if err == nil {
			o.items = append(o.items, items...)
		}
		return nil, err
	case "insert":
		args, err := c.bind(method, 2, "index", "object")
		if err != nil {
			return nil, err
		}
		i, err := integer(args[0])
		if err != nil {
			return nil, err
		}
		if _, long := args[0].(*big.Int); long {
			return nil, exception("OverflowError", "Python int too large to convert to C ssize_t")
		}
		n := int64(len(o.items))
		if i < 0 {
			i += n
		}
		o.items = slices.Insert(o.items, int(max(0, min(i, n))), args[1])
		return nil, nil
	case "remove":
		v, err := c.one(method, "value")
		if err != nil {
			return nil, err
		}
		i, err := o.find(v, 0, len(o.items))
		if err == nil && i < 0 {
			err = valueError("list.remove(x): x not in list")
		}
		if err == nil {
			o.items = slices.Delete(o.items, i, i+1)
		}
		return nil, err
	default:
		return o.pop(c)
	}
}

func (o *List) pop(c *Call) (any, error) {
	args, err := c.bind("pop", 0, "index")
	if err != nil {
		return nil, err
	}
	at := args[0]
	if !given(at) {
		at = int64(-1)
	}
	if len(o.items) == 0 {
		return nil, indexError("pop from empty list")
	}
	if _, err := integer(at); err != nil {
		return nil, err
	}
	i, err := index(at, len(o.items), "pop", "")
	if err != nil {
		return nil, err
	}
	v := o.items[i]
	o.items = slices.Delete(o.items, i, i+1)
	return v, nil
}

// find returns where v is from a place on, -1 if nowhere.
func (o *List) find(v any, from, to int) (int, error) {
	for i := from; i < to; i++ {
		if eq, err := pickle.Equal(o.items[i], v); eq || err != nil {
			return i, err
		}
	}
	return -1, nil
}

func (o *List) search(c *Call, method string) (any, error) {
	if method == "index" {
		return o.indexOf(c)
	}
	v, err := c.one(method, "value")
	if err != nil {
		return nil, err
	}
	if method == "__contains__" {
		i, err := o.find(v, 0, len(o.items))
		return i >= 0, err
	}
	n := int64(0)
	for _, x := range o.items {
		eq, err := pickle.Equal(x, v)
		if err != nil {
			return nil, err
		}
		if eq {
			n++
		}
	}
	return n, nil
}

func (o *List) indexOf(c *Call) (any, error) {
	args, err := c.bind("index", 1, "value", "start", "stop")
	if err != nil {
		return nil, err
	}
	s := &pickle.Slice{}
	if given(args[1]) {
		s.Start = args[1]
	}
	if given(args[2]) {
		s.Stop = args[2]
	}
	sp, err := spanOf(s, len(o.items))
	if err != nil {
		return nil, err
	}
	i, err := o.find(args[0], sp.start, sp.stop)
	if err == nil && i < 0 {
		err = valueError("%s is not in list", pickle.Repr(args[0], 100))
	}
	return int64(i), err
}

func (o *List) operator(c *Call, method string) (any, error) {
	v, err := c.one(method, "value")
	if err != nil {
		return nil, err
	}
	if method == "__add__" {
		other, ok := v.(*pickle.List)
		if !ok {
			return nil, typeError("can only concatenate list (not \"%s\") to list", pickle.TypeName(v))
		}
		return &pickle.List{Items: slices.Concat(o.items, other.Items)}, nil
	}
	n, err := integer(v)
	if err != nil {
		return nil, typeError("can't multiply sequence by non-int of type '%s'", pickle.TypeName(v))
	}
	n = max(n, 0)
	if n > 0 && int64(len(o.items)) > maxItems/n {
		return nil, exception("MemoryError", "a list of more than %d items", maxItems)
	}
	items := slices.Repeat(o.items, int(n))
	if method == "__imul__" {
		o.items = items
		items = slices.Clone(items)
	}
	return &pickle.List{Items: items}, nil
}

func (o *List) sort(c *Call) error {
	if len(c.Args) > 0 {
		return typeError("sort() takes no positional arguments")
	}
	args, err := c.bind("sort", 0, "key", "reverse")
	if err != nil {
		return err
	}
	by, down := args[0], given(args[1]) && truth(args[1])
	o.mu.Lock()
	defer o.mu.Unlock()
	if !given(by) || by == nil {
		return pickle.Sort(o.items, nil, down)
	}
	open := map[any]any{}
	for { // until all items are open
		var closed []any
		for _, x := range o.items {
			if isClosed(x) { // and can be a key
				if _, known := open[x]; !known {
					closed = append(closed, x)
				}
			}
		}
		if len(closed) == 0 {
			break
		}
		o.mu.Unlock()
		for _, x := range closed {
			if open[x], err = opened(x, false); err != nil {
				open[x] = x // its key fails
			}
		}
		o.mu.Lock()
	}
	keys, err := sortKeys(o.items, by, open)
	if err != nil {
		return err
	}
	return pickle.Sort(o.items, keys, down)
}

// Repr prints it.
func (o *List) Repr(most int) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return pickle.Repr(&pickle.List{Items: o.items}, most)
}

// Value returns a copy.
func (o *List) Value() (any, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.copied(), nil
}
