package pickle

import (
	"slices"
	"strings"
	"unicode/utf8"
)

func runeLen(b []byte) int {
	if r, n := utf8.DecodeRune(b); r != utf8.RuneError || n > 1 {
		return n
	}
	return 0
}

// container does the opcodes for tuples, lists, dicts and sets.
func (d *decoder) container(op byte) bool {
	switch op {
	case opMark:
		if len(d.marks) >= d.o.MaxDepth {
			d.fail("more than %d levels", d.o.MaxDepth)
		}
		d.marks = append(d.marks, len(d.stack))
		d.push(mark{})
	case opPop:
		if n := len(d.stack); len(d.marks) > 0 && d.marks[len(d.marks)-1] == n-1 {
			d.popMark()
		} else {
			d.pop()
		}
	case opPopMark:
		d.popMark()
	case opDup:
		d.push(d.top())
	case opEmptyTuple:
		d.push(Tuple(nil))
	case opTuple1, opTuple2, opTuple3:
		t := make(Tuple, op-opTuple1+1)
		for i := len(t) - 1; i >= 0; i-- {
			t[i] = d.pop()
		}
		d.pushNew(t)
	case opTuple:
		d.pushNew(Tuple(slices.Clone(d.popMark())))
	case opEmptyList:
		d.pushNew(new(List))
	case opAppend:
		v := d.pop()
		d.extend([]any{v})
	case opAppends:
		d.extend(d.popMark())
	case opEmptyDict:
		d.pushNew(new(Dict))
	case opSetItem:
		v := d.pop()
		k := d.pop()
		d.setItems([]any{k, v})
	case opSetItems:
		d.setItems(d.popMark())
	case opEmptySet:
		d.pushNew(new(Set))
	case opAddItems:
		items := d.popMark()
		s, ok := d.top().(*Set)
		if !ok {
			d.fail("items for a set, and a %s", TypeName(d.top()))
		}
		d.add(s, items)
	case opFrozenSet:
		s := new(FrozenSet)
		d.add(&s.Set, d.popMark())
		d.pushNew(s)
	default:
		return false
	}
	return true
}

// extend appends items to the list on top of the stack.
func (d *decoder) extend(items []any) {
	switch v := d.top().(type) {
	case *List:
		v.Items = append(v.Items, items...)
	case *Object:
		if v.Pairs {
			d.fail("items for a %s of keys and values", TypeName(v))
		}
		v.Items = append(v.Items, items...)
	default:
		d.fail("items for a list, and a %s", TypeName(v))
	}
}

// setItems puts keys and values in turns into the dict on top of the stack.
func (d *decoder) setItems(items []any) {
	if len(items)%2 != 0 {
		d.fail("an odd number of keys and values")
	}
	for i := 0; i < len(items); i += 2 {
		switch v := d.top().(type) {
		case *Dict:
			if err := v.Set(items[i], items[i+1]); err != nil {
				d.failWith(err)
			}
			d.left--
		case *Object:
			if !v.Pairs && len(v.Items) > 0 {
				d.fail("keys and values for a %s of items", TypeName(v))
			}
			v.Pairs = true
			v.Items = append(v.Items, Tuple{items[i], items[i+1]})
		default:
			d.fail("keys and values for a dict, and a %s", TypeName(v))
		}
	}
}

func (d *decoder) add(s *Set, items []any) {
	for _, x := range items {
		if err := s.Add(x); err != nil {
			d.failWith(err)
		}
		d.left--
	}
}

// object does the opcodes for classes.
func (d *decoder) object(op byte) bool {
	switch op {
	case opGlobal:
		module := d.readName()
		d.global(Global{module, d.readName()})
	case opStackGlobal:
		name, ok1 := d.pop().(string)
		module, ok2 := d.pop().(string)
		if !ok1 || !ok2 {
			d.fail("a global whose name is not a str")
		}
		d.global(Global{module, name})
	case opReduce:
		d.call(false)
	case opNewObj:
		d.call(true)
	case opBuild:
		d.build()
	default:
		return false
	}
	return true
}

func (d *decoder) find(g Global) *Class {
	if d.o.Find == nil || strings.Contains(g.Name, ".") {
		d.fail("%s is not on the list of what may be named", g)
	}
	c, err := d.o.Find(g)
	if err != nil {
		d.failWith(err)
	}
	return c
}

func (d *decoder) global(g Global) {
	d.find(g)
	d.push(g)
}

func (d *decoder) call(isNew bool) {
	args, ok := d.pop().(Tuple)
	if !ok {
		d.fail("a call whose arguments are not a tuple")
	}
	g, ok := d.pop().(Global)
	if !ok {
		d.fail("a call of what is not a class")
	}
	c := d.find(g)
	if c == nil || c.New == nil {
		d.fail("%s may be named and not called", g)
	}
	v, err := c.New(g, args, isNew)
	if err != nil {
		d.failWith(err)
	}
	d.pushNew(v)
}

// build gives the value on top of the stack its state. Its class is asked: that
// of an Object, or of a type that names one.
func (d *decoder) build() {
	state := d.pop()
	v := d.pop()
	var g Global
	switch v := v.(type) {
	case *Object:
		g = v.Class
	case interface{ Class() Global }:
		g = v.Class()
	default:
		d.fail("a state for a %s", TypeName(v))
	}
	c := d.find(g)
	if c == nil || c.Build == nil {
		d.fail("%s takes no state", g)
	}
	w, err := c.Build(v, state)
	if err != nil {
		d.failWith(err)
	}
	d.push(w)
}

// checkDepth returns an error if v nests deeper than most. A part that is shared
// is looked at once.
func checkDepth(v any, most int) *SizeError {
	seen := map[any]bool{}
	var walk func(v any, depth int) bool
	walk = func(v any, depth int) bool {
		if id := identity(v); id != nil {
			if seen[id] {
				return true
			}
			seen[id] = true
		} else if _, ok := v.(Tuple); !ok {
			return true
		}
		if depth > most {
			return false
		}
		for x := range children(v) {
			if !walk(x, depth+1) {
				return false
			}
		}
		return true
	}
	if !walk(v, 1) {
		return &SizeError{"nested too deeply"}
	}
	return nil
}
