package host

import (
	"cmp"
	"context"
	"math/big"
	"slices"
	"strings"

	"github.com/tristrand/tristrand/internal/pickle"
)

// callable returns what the server calls for a function of Python's that is an
// argument: a built-in one, a method of str or an operator.itemgetter; nil for any
// other.
func callable(v any) Function {
	switch v := v.(type) {
	case pickle.Global:
		if v.Module != "builtins" {
			return nil
		}
		return functions[v.String()]
	case *pickle.Object:
		switch v.Class {
		case itemGetter:
			return func(_ context.Context, args pickle.Tuple, _ *pickle.Dict) (any, error) {
				if len(args) != 1 {
					return nil, typeError("itemgetter expected 1 argument, got %d", len(args))
				}
				return itemsOf(args[0], v.Args)
			}
		case getAttr:
			return of1(textMethods[v.Args[1].(string)]) // as attrClass has seen
		}
	}
	return nil
}

var (
	itemGetter = pickle.Global{Module: "operator", Name: "itemgetter"}
	getAttr    = pickle.Global{Module: "builtins", Name: "getattr"}
)

var itemGetterClass = &pickle.Class{New: func(g pickle.Global, args pickle.Tuple, isNew bool) (any, error) {
	if len(args) == 0 {
		return nil, typeError("itemgetter expected 1 argument, got 0")
	}
	return &pickle.Object{Class: g, Args: args, New: isNew}, nil
}}

// attrClass makes the methods of str as Python names them, and nothing else.
var attrClass = &pickle.Class{New: func(_ pickle.Global, args pickle.Tuple, _ bool) (any, error) {
	if len(args) == 2 && args[0] == any(pickle.Global{Module: "builtins", Name: "str"}) {
		if name, ok := args[1].(string); ok && textMethods[name] != nil {
			return &pickle.Object{Class: getAttr, Args: args}, nil
		}
	}
	return nil, typeError("getattr of anything but a method of str that this server knows")
}}

var textMethods = map[string]func(any) (any, error){
	"lower": onText(strings.ToLower), "upper": onText(strings.ToUpper), "casefold": onText(strings.ToLower),
	"strip": onText(strings.TrimSpace),
}

func onText(f func(string) string) func(any) (any, error) {
	return func(v any) (any, error) {
		s, ok := v.(string)
		if !ok {
			return nil, typeError("descriptor for 'str' objects doesn't apply to a '%s' object", pickle.TypeName(v))
		}
		return f(s), nil
	}
}

// itemsOf is what an itemgetter of these keys returns for v.
func itemsOf(v any, keys pickle.Tuple) (any, error) {
	out := make(pickle.Tuple, len(keys))
	for i, k := range keys {
		x, err := itemOf(v, k)
		if err != nil {
			return nil, err
		}
		out[i] = x
	}
	if len(out) == 1 {
		return out[0], nil
	}
	return out, nil
}

func itemOf(v, key any) (any, error) {
	var what string
	switch v := v.(type) {
	case *pickle.Dict:
		x, ok, err := v.Get(key)
		if err == nil && !ok {
			err = keyError(key)
		}
		return x, err
	case *pickle.List:
		what = "list"
	case pickle.Tuple:
		what = "tuple"
	case string:
		what = "string"
	default:
		return nil, typeError("'%s' object is not subscriptable", pickle.TypeName(v))
	}
	items, err := pickle.Iterate(v)
	if err != nil {
		return nil, err
	}
	i, err := index(key, len(items), what, "")
	if err != nil {
		return nil, err
	}
	return items[i], nil
}

// sortKeys returns what the items are sorted by. Those of them that are closed have
// been opened.
func sortKeys(items []any, by any, open map[any]any) ([]any, error) {
	f := callable(by)
	if f == nil {
		return nil, typeError("%s is not a function that this server sorts by", pickle.Repr(by, 100))
	}
	keys, left := slices.Clone(items), mostMade
	for i, x := range keys {
		if isClosed(x) {
			x = open[x]
		}
		k, err := f(context.Background(), pickle.Tuple{x}, nil)
		if err = cmp.Or(err, spend(k, &left)); err != nil {
			return nil, err
		}
		keys[i] = k
	}
	return keys, nil
}

// mostMade bounds what functions make of the items of one call, in bytes: an item
// may be there many times.
const mostMade = 256 << 20

// spend takes the size of what a function has made off what is left.
func spend(v any, left *int) error {
	size := 16
	switch v := v.(type) {
	case string:
		size += len(v)
	case pickle.Bytes:
		size += len(v)
	case *big.Int:
		size += v.BitLen() / 8
	case pickle.Tuple:
		size += 16 * len(v)
	case *pickle.List:
		size += 16 * len(v.Items)
	case *pickle.Dict:
		size += 64 * v.Len()
	}
	if *left -= size; *left < 0 {
		return exception("MemoryError", "a function makes more than %d bytes of the items", mostMade)
	}
	return nil
}
