package host

import (
	"slices"

	"github.com/tristrand/tristrand/internal/pickle"
)

// What an object looks into, it looks into before it locks itself: the argument of a
// method may stand for the object itself, or for one that waits for this one.

// open has copies in the place of those arguments of a call, from the first on, that
// stand for containers of this server; pairs says that what is in them is looked
// into, too. Keywords would get past it: such methods have none.
func (c *Call) open(method string, first int, pairs bool) error {
	if c.Kwds != nil && c.Kwds.Len() > 0 {
		return typeError("%s() takes no keyword arguments", method)
	}
	args := slices.Clone(c.Args)
	for i := first; i < len(args); i++ {
		v, err := opened(args[i], pairs)
		if err != nil {
			return err
		}
		args[i] = v
	}
	c.Args = args
	return nil
}

// opened returns a copy of what v stands for; v if it is plain.
func opened(v any, pairs bool) (any, error) {
	switch x := v.(type) {
	case *Proxy:
		if d := x.Mapping(); d != nil {
			return d, nil
		}
		if x.Entry == nil {
			return v, nil
		}
		if s, ok := x.Entry.Object.(*Set); ok {
			return s.Value()
		}
		items, err := x.Iterate()
		if err == nil {
			v = &pickle.List{Items: items}
		} // else the method says so, in its words
	case *Iterator:
		items, err := x.Iterate()
		if err != nil {
			return nil, err
		}
		v = &pickle.List{Items: items}
	case *pickle.List, pickle.Tuple, *pickle.Set, *pickle.FrozenSet:
	default:
		return v, nil
	}
	if !pairs {
		return v, nil
	}
	return openedItems(v)
}

// openedItems opens what is in a container.
func openedItems(v any) (any, error) {
	items, err := pickle.Iterate(v)
	if err != nil || !slices.ContainsFunc(items, isClosed) {
		return v, err
	}
	items = slices.Clone(items)
	for i, x := range items {
		if items[i], err = opened(x, false); err != nil {
			return nil, err
		}
	}
	return &pickle.List{Items: items}, nil
}

func isClosed(v any) bool {
	switch v.(type) {
	case *Proxy, *Iterator:
		return true
	default:
		return false
	}
}

// open opens what a method of a list looks into.
func (o *List) open(c *Call, method string) error {
	switch method {
	case "extend":
		return c.open(method, 0, false)
	case "__setitem__":
		if len(c.Args) == 2 {
			if _, ok := c.Args[0].(*pickle.Slice); ok {
				return c.open(method, 1, false)
			}
		}
		return c.open(method, len(c.Args), false)
	default:
		return nil
	}
}

// open opens what a method of a dict looks into.
func (o *Dict) open(c *Call, method string) error {
	switch method {
	case "update":
		kwds := c.Kwds // are keys and values
		c.Kwds = nil
		err := c.open(method, 0, true)
		c.Kwds = kwds
		return err
	case "__ior__":
		return c.open(method, 0, true)
	case "fromkeys":
		if len(c.Args) == 0 {
			return nil
		}
		v, err := opened(c.Args[0], false)
		if err == nil {
			c.Args = append(pickle.Tuple{v}, c.Args[1:]...)
		}
		return err
	default:
		return nil
	}
}

// open opens what a method of a set looks into.
func (o *Set) open(c *Call, method string) error {
	switch method {
	case "add", "discard", "remove", "__contains__":
		return nil
	default:
		return c.open(method, 0, false)
	}
}
