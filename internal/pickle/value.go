// Package pickle reads and writes Python's pickles as data: nothing that a
// pickle says is ever run.
//
// Unmarshal turns bytes into the values of this package, Marshal the other way.
// None is nil; bool, float64 and complex128 are Go's; an int is an int64, or a
// *big.Int beyond; a str is a string of UTF-8 in which lone surrogates may
// stand, three bytes each, as Python writes them. The rest are Bytes, Tuple and
// pointers: *List, *Dict, *Set, *FrozenSet, *ByteArray. Containers are held by
// pointer, so what is shared or holds itself stays so.
//
// # Classes
//
// A pickle names classes and functions. Options.Find decides about each name;
// what it does not know is refused, wherever it stands. A Class builds a value of
// arguments; Symbolic is one that keeps class and arguments as an *Object.
//
// # Limits
//
// A pickle costs memory in proportion to its length. Depth, the number of items
// and the indices of the memo are bounded; so are comparing, hashing and
// printing, which see a shared part as often as it is referred to.
package pickle

import (
	"fmt"
	"math/big"
)

// Bytes is a bytes.
type Bytes string

// A ByteArray is a bytearray.
type ByteArray struct{ B []byte }

// A Tuple is a tuple.
type Tuple []any

// A List is a list.
type List struct{ Items []any }

// A Range is a range of ints.
type Range struct{ Start, Stop, Step int64 }

// A Slice is a slice object: each part is nil or what was written.
type Slice struct{ Start, Stop, Step any }

// A Global names a class or a function.
type Global struct{ Module, Name string }

func (g Global) String() string { return g.Module + "." + g.Name }

// An Object is a call of a class that was kept or is to be written.
type Object struct {
	Class    Global
	Args     Tuple
	New      bool // made by cls.__new__, not by a call
	State    any  // given to it afterwards
	HasState bool
	Items    []any // appended to it
	Pairs    bool  // Items are Tuples of key and value, that are set in it
}

// A Reducer is written as an Object.
type Reducer interface {
	Reduce() *Object
}

// NewList returns a list of items, which it keeps.
func NewList(items ...any) *List { return &List{items} }

// Int returns the value of a big integer: an int64 where it fits.
func Int(n *big.Int) any {
	if n.IsInt64() {
		return n.Int64()
	}
	return n
}

// TypeName returns the name of v's type as Python has it.
func TypeName(v any) string {
	switch v := v.(type) {
	case nil:
		return "NoneType"
	case bool:
		return "bool"
	case int64, *big.Int:
		return "int"
	case float64:
		return "float"
	case complex128:
		return "complex"
	case string:
		return "str"
	case Bytes:
		return "bytes"
	case *ByteArray:
		return "bytearray"
	case Tuple:
		return "tuple"
	case *List:
		return "list"
	case *Dict:
		return "dict"
	case *Set:
		return "set"
	case *FrozenSet:
		return "frozenset"
	case *Range:
		return "range"
	case *Slice:
		return "slice"
	case Global:
		return "type"
	case *Object:
		return v.Class.Name
	case interface{ TypeName() string }:
		return v.TypeName()
	default:
		return fmt.Sprintf("%T", v)
	}
}

// A TypeError is what Python raises as one: an operation on the wrong type.
type TypeError struct{ Text string }

func (e *TypeError) Error() string { return e.Text }

// A SizeError says that a value is too large or too deep for what was to be
// done with it.
type SizeError struct{ What string }

func (e *SizeError) Error() string { return "pickle: " + e.What }
