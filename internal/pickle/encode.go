package pickle

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"slices"
	"unsafe"
)

// maxWalk bounds how deep values may nest that are written, compared or
// printed: above what is read, for what a server wraps around values.
const maxWalk = 2000

// batch is how many items go into one APPENDS or SETITEMS, as Python does it.
const batch = 1000

// A WriteError says that a value cannot be written.
type WriteError struct{ What string }

func (e *WriteError) Error() string { return "cannot pickle " + e.What }

// Marshal appends the pickle of v, protocol 4, to b. What v holds twice is
// written once and referred to.
func Marshal(b []byte, v any) ([]byte, error) { return MarshalMost(b, v, 0) }

// MarshalMost is Marshal that gives up with a *WriteError when the pickle becomes
// longer than most bytes; 0 is no bound.
func MarshalMost(b []byte, v any, most int64) ([]byte, error) {
	e := encoder{b: append(b, opProto, 4)}
	if most > 0 {
		e.most = len(b) + int(min(most, math.MaxInt-int64(len(b))))
	}
	if err := e.write(v, 0); err != nil {
		return nil, err
	}
	if e.most > 0 && len(e.b) > e.most {
		return nil, e.tooLong()
	}
	return append(e.b, opStop), nil
}

func (e *encoder) tooLong() error {
	return &WriteError{fmt.Sprintf("a message of more than %d bytes", e.most)}
}

type encoder struct {
	b    []byte
	most int    // of b; 0 is no bound
	next uint32 // the next index of the memo
	few  [fewMemoed]memoed
	n    int // of few
	many map[ref]uint32
}

type memoed struct {
	id ref
	at uint32
}

// A ref tells what may be written once apart from others: a pointer, or where the
// items of a tuple, the text of a str, the bytes are. The zero ref is none.
type ref struct {
	v     any // the pointer, or a Tuple, string or Bytes without anything
	first unsafe.Pointer
	n     int
}

func refOf(v any) ref {
	switch v := v.(type) {
	case Tuple:
		return refOfTuple(v)
	case *List, *Dict, *Set, *FrozenSet, *ByteArray, *Object, *Range, *Slice, Reducer:
		return ref{v: v}
	default:
		return ref{}
	}
}

func refOfTuple(t Tuple) ref {
	if len(t) == 0 {
		return ref{}
	}
	return ref{v: isTuple{}, first: unsafe.Pointer(unsafe.SliceData(t)), n: len(t)}
}

type (
	isTuple struct{}
	isText  struct{}
	isBytes struct{}
)

const fewMemoed = 16

func (e *encoder) memoize(id ref) {
	if id == (ref{}) {
		return
	}
	e.b = append(e.b, opMemoize)
	switch {
	case e.many != nil:
		e.many[id] = e.next
	case e.n < fewMemoed:
		e.few[e.n] = memoed{id, e.next}
		e.n++
	default:
		e.many = make(map[ref]uint32, 4*fewMemoed)
		for _, m := range e.few {
			e.many[m.id] = m.at
		}
		e.many[id] = e.next
	}
	e.next++
}

// again writes a reference to what has been written before.
func (e *encoder) again(id ref) bool {
	at, ok := uint32(0), false
	if e.many != nil {
		at, ok = e.many[id]
	} else if i := slices.IndexFunc(e.few[:e.n], func(m memoed) bool { return m.id == id }); i >= 0 {
		at, ok = e.few[i].at, true
	}
	switch {
	case !ok:
		return false
	case at < 256:
		e.b = append(e.b, opBinGet, byte(at))
	default:
		e.b = binary.LittleEndian.AppendUint32(append(e.b, opLongBinGet), at)
	}
	return true
}

func (e *encoder) write(v any, depth int) error {
	if depth > maxWalk {
		return &SizeError{fmt.Sprintf("nested deeper than %d", maxWalk)}
	}
	if e.most > 0 && len(e.b) > e.most {
		return e.tooLong()
	}
	switch v := v.(type) {
	case nil:
		e.b = append(e.b, opNone)
	case bool:
		if v {
			e.b = append(e.b, opNewTrue)
		} else {
			e.b = append(e.b, opNewFalse)
		}
	case int64:
		e.int(v)
	case *big.Int:
		e.big(v)
	case float64:
		e.b = binary.BigEndian.AppendUint64(append(e.b, opBinFloat), math.Float64bits(v))
	case string:
		return e.once(v, true, opShortStr, opBinUnicode, opBinStr8)
	case Bytes:
		return e.once(string(v), false, opShortBytes, opBinBytes, opBinBytes8)
	case complex128:
		return e.call(Global{"builtins", "complex"}, Tuple{real(v), imag(v)}, depth)
	case Global:
		e.global(v)
	default:
		return e.container(v, depth)
	}
	return nil
}

func (e *encoder) container(v any, depth int) error {
	id := refOf(v)
	if id != (ref{}) && e.again(id) {
		return nil
	}
	switch v := v.(type) {
	case Tuple:
		return e.tuple(v, id, depth)
	case *List:
		e.b = append(e.b, opEmptyList)
		e.memoize(id)
		return e.items(v.Items, opAppend, opAppends, depth)
	case *Dict:
		e.b = append(e.b, opEmptyDict)
		e.memoize(id)
		return e.pairs(v, depth)
	case *Set:
		e.b = append(e.b, opEmptySet)
		e.memoize(id)
		return e.items(slices.Collect(v.All()), 0, opAddItems, depth)
	case *FrozenSet:
		e.b = append(e.b, opMark)
		for x := range v.All() {
			if err := e.write(x, depth+1); err != nil {
				return err
			}
		}
		e.b = append(e.b, opFrozenSet)
		e.memoize(id)
		return nil
	case *Object:
		return e.object(v, id, depth)
	}
	var err error
	switch v := v.(type) {
	case *ByteArray:
		err = e.call(Global{"builtins", "bytearray"}, Tuple{Bytes(v.B)}, depth)
	case *Range:
		err = e.call(Global{"builtins", "range"}, Tuple{v.Start, v.Stop, v.Step}, depth)
	case *Slice:
		err = e.call(Global{"builtins", "slice"}, Tuple{v.Start, v.Stop, v.Step}, depth)
	case Reducer:
		return e.object(v.Reduce(), id, depth)
	default:
		return &WriteError{fmt.Sprintf("'%s' object", TypeName(v))}
	}
	e.memoize(id)
	return err
}

func (e *encoder) tuple(t Tuple, id ref, depth int) error {
	if len(t) == 0 {
		e.b = append(e.b, opEmptyTuple)
		return nil
	}
	if len(t) > 3 {
		e.b = append(e.b, opMark)
	}
	for _, x := range t {
		if err := e.write(x, depth+1); err != nil {
			return err
		}
	}
	// A tuple that holds itself, through a list, has been written meanwhile.
	if e.n > 0 {
		mark := len(e.b)
		if e.again(id) {
			ref := slices.Clone(e.b[mark:])
			e.b = e.b[:mark]
			if len(t) > 3 {
				e.b = append(e.b, opPopMark)
			} else {
				for range t {
					e.b = append(e.b, opPop)
				}
			}
			e.b = append(e.b, ref...)
			return nil
		}
	}
	if len(t) > 3 {
		e.b = append(e.b, opTuple)
	} else {
		e.b = append(e.b, opTuple1+byte(len(t)-1))
	}
	if depth > 0 { // nobody refers to the outermost
		e.memoize(id)
	}
	return nil
}

// items writes what a list or a set holds, in batches. one is the opcode for a
// single item, 0 if there is none.
func (e *encoder) items(items []any, one, some byte, depth int) error {
	if len(items) == 1 && one != 0 {
		if err := e.write(items[0], depth+1); err != nil {
			return err
		}
		e.b = append(e.b, one)
		return nil
	}
	for part := range slices.Chunk(items, batch) {
		e.b = append(e.b, opMark)
		for _, x := range part {
			if err := e.write(x, depth+1); err != nil {
				return err
			}
		}
		e.b = append(e.b, some)
	}
	return nil
}

func (e *encoder) pairs(d *Dict, depth int) error {
	n := 0
	for k, v := range d.All() {
		if n%batch == 0 {
			if n > 0 {
				e.b = append(e.b, opSetItems)
			}
			e.b = append(e.b, opMark)
		}
		n++
		if err := e.write(k, depth+1); err != nil {
			return err
		}
		if err := e.write(v, depth+1); err != nil {
			return err
		}
	}
	if n > 0 {
		e.b = append(e.b, opSetItems)
	}
	return nil
}

func (e *encoder) global(g Global) {
	e.blob(g.Module, opShortStr, opBinUnicode, opBinStr8)
	e.blob(g.Name, opShortStr, opBinUnicode, opBinStr8)
	e.b = append(e.b, opStackGlobal)
}

func (e *encoder) call(g Global, args Tuple, depth int) error {
	e.global(g)
	if err := e.tuple(args, refOfTuple(args), depth+1); err != nil {
		return err
	}
	e.b = append(e.b, opReduce)
	return nil
}

func (e *encoder) object(o *Object, id ref, depth int) error {
	if err := e.call(o.Class, o.Args, depth); err != nil {
		return err
	}
	if o.New {
		e.b[len(e.b)-1] = opNewObj
	}
	e.memoize(id)
	if err := e.appended(o, depth); err != nil {
		return err
	}
	if o.HasState {
		if err := e.write(o.State, depth+1); err != nil {
			return err
		}
		e.b = append(e.b, opBuild)
	}
	return nil
}

// appended writes what is put into an object after it is made.
func (e *encoder) appended(o *Object, depth int) error {
	switch {
	case len(o.Items) == 0:
		return nil
	case !o.Pairs:
		return e.items(o.Items, opAppend, opAppends, depth)
	}
	for part := range slices.Chunk(o.Items, batch) {
		e.b = append(e.b, opMark)
		for _, x := range part {
			kv, ok := x.(Tuple)
			if !ok || len(kv) != 2 {
				return &WriteError{What: "a '" + o.Class.Name + "' whose pairs are none"}
			}
			for _, v := range kv {
				if err := e.write(v, depth+1); err != nil {
					return err
				}
			}
		}
		e.b = append(e.b, opSetItems)
	}
	return nil
}

// longText is from where on a str or bytes is written once. A short one costs
// little more than a reference.
const longText = 32

// once writes a str or bytes, or refers to it.
func (e *encoder) once(s string, text bool, op1, op4, op8 byte) error {
	id := ref{v: isBytes{}, first: unsafe.Pointer(unsafe.StringData(s)), n: len(s)}
	if text {
		id.v = isText{}
	}
	long := len(s) >= longText
	if long && e.again(id) {
		return nil
	}
	if text && !validText([]byte(s)) {
		return &WriteError{"a string that is not UTF-8; bytes are of type Bytes"}
	}
	e.blob(s, op1, op4, op8)
	if long {
		e.memoize(id)
	}
	return nil
}

// blob writes a str or bytes, with the opcode for its length.
func (e *encoder) blob(s string, op1, op4, op8 byte) {
	switch n := uint64(len(s)); {
	case n < 1<<8:
		e.b = append(e.b, op1, byte(n))
	case n < 1<<32:
		e.b = binary.LittleEndian.AppendUint32(append(e.b, op4), uint32(n))
	default:
		e.b = binary.LittleEndian.AppendUint64(append(e.b, op8), n)
	}
	e.b = append(e.b, s...)
}

func (e *encoder) int(n int64) {
	switch {
	case n >= 0 && n < 1<<8:
		e.b = append(e.b, opBinInt1, byte(n))
	case n >= 0 && n < 1<<16:
		e.b = binary.LittleEndian.AppendUint16(append(e.b, opBinInt2), uint16(n))
	case n == int64(int32(n)):
		e.b = binary.LittleEndian.AppendUint32(append(e.b, opBinInt), uint32(n))
	default:
		e.b = binary.LittleEndian.AppendUint64(append(e.b, opLong1, 8), uint64(n))
	}
}

// big writes an integer in two's complement, little-endian.
func (e *encoder) big(n *big.Int) {
	if n.IsInt64() {
		e.int(n.Int64())
		return
	}
	size := n.BitLen()/8 + 1
	m := n
	if n.Sign() < 0 {
		m = new(big.Int).Add(n, new(big.Int).Lsh(big.NewInt(1), uint(8*size)))
	}
	b := m.FillBytes(make([]byte, size))
	slices.Reverse(b)
	if size < 256 {
		e.b = append(e.b, opLong1, byte(size))
	} else {
		e.b = binary.LittleEndian.AppendUint32(append(e.b, opLong4), uint32(size))
	}
	e.b = append(e.b, b...)
}
