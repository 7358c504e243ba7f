package pickle

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// Options say what is read. The zero value reads data without any class.
type Options struct {
	// Find says what a name stands for. A nil Class is one that may be named but
	// not called. An error refuses the pickle. A nil Find refuses all.
	Find func(Global) (*Class, error)

	// MaxDepth bounds how deep values nest; 0 is 1000.
	MaxDepth int

	// MaxItems bounds how many values a pickle makes, a container counting as
	// eight; 0 is 32 million.
	MaxItems int
}

// A Class says how a value is built.
type Class struct {
	// New makes it of the arguments of a call, or of __new__; nil refuses.
	New func(g Global, args Tuple, isNew bool) (any, error)

	// Build gives it its state; nil refuses. What it returns takes its place.
	Build func(v, state any) (any, error)
}

// An Error says why a pickle was refused.
type Error struct {
	At   int // offset
	What string
	Err  error // of a Class or of Find; nil if there is none
}

func (e *Error) Error() string {
	s := e.What
	if e.Err != nil {
		s = e.Err.Error()
	}
	return fmt.Sprintf("pickle: %s, at byte %d", s, e.At)
}

// Unwrap returns the error of the Class.
func (e *Error) Unwrap() error { return e.Err }

const (
	defaultDepth = 1000
	defaultItems = 32 << 20
	containerOps = 8 // what a container counts as
	maxProtocol  = 5
)

// Unmarshal reads one pickle. What follows its end is ignored. The values do not
// refer to data.
func Unmarshal(data []byte, o Options) (v any, err error) {
	if o.MaxDepth == 0 {
		o.MaxDepth = defaultDepth
	}
	if o.MaxItems == 0 {
		o.MaxItems = defaultItems
	}
	d, ok := decoders.Get().(*decoder)
	if !ok {
		d = &decoder{stack: make([]any, 0, keptValues/4)}
	}
	d.data, d.o, d.left = data, o, o.MaxItems
	defer func() {
		r, at := recover(), d.at
		d.release()
		switch r := r.(type) {
		case nil:
		case *Error:
			r.At = at
			v, err = nil, r
		default:
			panic(r)
		}
	}()
	v = d.run()
	if d.containers > o.MaxDepth {
		if err := checkDepth(v, o.MaxDepth); err != nil {
			return nil, &Error{At: d.at, What: err.What}
		}
	}
	return v, nil
}

// decoders keep what a decoder works with.
var decoders sync.Pool

// keptValues is how much is kept of the stack and the memo.
const keptValues = 64

// release forgets all values.
func (d *decoder) release() {
	if cap(d.stack) > keptValues || cap(d.memo) > keptValues || cap(d.marks) > keptValues {
		return
	}
	stack, memo := d.stack[:cap(d.stack)], d.memo[:cap(d.memo)]
	clear(stack)
	clear(memo)
	*d = decoder{stack: stack[:0], memo: memo[:0], marks: d.marks[:0]}
	decoders.Put(d)
}

// FirstInt returns the int that a pickled tuple begins with, if the tuple is
// written as Marshal does it. It is for an answer to a message that cannot be
// read.
func FirstInt(data []byte) (int64, bool) {
	if len(data) < 4 || data[0] != opProto || data[2] != opMark {
		return 0, false
	}
	d := decoder{data: data, at: 3, left: 16, o: Options{MaxDepth: 1}}
	defer func() { _ = recover() }() // it says how the message ended too soon
	if op := d.byte(); !d.scalar(op) || len(d.stack) != 1 {
		return 0, false
	}
	n, ok := d.stack[0].(int64)
	return n, ok
}

// mark is on the stack where MARK was.
type mark struct{}

// a decoder is Python's stack machine. Its methods panic with an *Error.
type decoder struct {
	data  []byte
	at    int // of the opcode's end
	o     Options
	stack []any
	marks []int // indices of marks in the stack
	memo  []any

	left       int // items that may still be made
	containers int
}

func (d *decoder) fail(format string, args ...any) {
	panic(&Error{What: fmt.Sprintf(format, args...)})
}

func (d *decoder) failWith(err error) { panic(&Error{Err: err}) }

// take returns the next n bytes.
func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.data)-d.at) {
		d.fail("%d bytes are announced and %d are left", n, len(d.data)-d.at)
	}
	b := d.data[d.at : d.at+int(n)]
	d.at += int(n)
	return b
}

func (d *decoder) byte() byte { return d.take(1)[0] }

// size reads a length of n bytes.
func (d *decoder) size(n int) uint64 {
	var b [8]byte
	copy(b[:], d.take(uint64(n)))
	return binary.LittleEndian.Uint64(b[:])
}

func (d *decoder) push(v any) {
	if d.left--; d.left < 0 {
		d.fail("more than %d values", d.o.MaxItems)
	}
	d.stack = append(d.stack, v)
}

// pushNew pushes a container.
func (d *decoder) pushNew(v any) {
	d.left -= containerOps
	d.containers++
	d.push(v)
}

func (d *decoder) pop() any {
	n := len(d.stack) - 1
	if n < 0 || len(d.marks) > 0 && d.marks[len(d.marks)-1] >= n {
		d.fail("nothing to take from the stack")
	}
	v := d.stack[n]
	d.stack[n] = nil
	d.stack = d.stack[:n]
	return v
}

// top returns the value on top of the stack without taking it.
func (d *decoder) top() any {
	n := len(d.stack) - 1
	if n < 0 || len(d.marks) > 0 && d.marks[len(d.marks)-1] >= n {
		d.fail("nothing on the stack")
	}
	return d.stack[n]
}

// popMark takes everything above the last mark, and the mark. The slice is good
// until the next push.
func (d *decoder) popMark() []any {
	if len(d.marks) == 0 {
		d.fail("no mark on the stack")
	}
	m := d.marks[len(d.marks)-1]
	d.marks = d.marks[:len(d.marks)-1]
	items := d.stack[m+1:]
	d.stack = d.stack[:m]
	return items
}

func (d *decoder) run() any {
	for {
		op := d.byte()
		if op == opStop {
			return d.pop()
		}
		if !d.scalar(op) && !d.container(op) && !d.object(op) {
			d.fail("opcode %#02x is not read here", op)
		}
	}
}

// scalar does the opcodes for plain values and for the memo.
func (d *decoder) scalar(op byte) bool {
	switch op {
	case opProto:
		if p := d.byte(); p > maxProtocol {
			d.fail("protocol %d; the newest that is read is %d", p, maxProtocol)
		}
	case opFrame:
		d.take(8)
	case opNone:
		d.push(nil)
	case opNewTrue:
		d.push(true)
	case opNewFalse:
		d.push(false)
	case opBinInt:
		d.push(int64(int32(uint32(d.size(4)))))
	case opBinInt1:
		d.push(int64(d.byte()))
	case opBinInt2:
		d.push(int64(d.size(2)))
	case opLong1:
		d.push(long(d.take(d.size(1))))
	case opLong4:
		n := d.size(4)
		if n > math.MaxInt32 {
			d.fail("an integer of negative length")
		}
		d.push(long(d.take(n)))
	case opBinFloat:
		d.push(math.Float64frombits(binary.BigEndian.Uint64(d.take(8))))
	case opShortStr:
		d.short(d.take(uint64(d.byte())))
	case opBinUnicode:
		d.push(d.text(d.take(d.size(4))))
	case opBinStr8:
		d.push(d.text(d.take(d.size(8))))
	case opShortBytes:
		d.push(Bytes(d.take(d.size(1))))
	case opBinBytes:
		d.push(Bytes(d.take(d.size(4))))
	case opBinBytes8:
		d.push(Bytes(d.take(d.size(8))))
	case opByteArray8:
		d.push(&ByteArray{slices.Clone(d.take(d.size(8)))})
	case opMemoize:
		d.put(uint64(len(d.memo)))
	case opBinPut:
		d.put(uint64(d.byte()))
	case opLongBinPut:
		d.put(d.size(4))
	case opBinGet:
		d.get(uint64(d.byte()))
	case opLongBinGet:
		d.get(d.size(4))
	default:
		return false
	}
	return true
}

// short pushes a short text.
func (d *decoder) short(b []byte) {
	if w, ok := words[string(b)]; ok {
		d.push(w)
		return
	}
	d.push(d.text(b))
}

func (d *decoder) text(b []byte) string {
	if !validText(b) {
		d.fail("a str that is not UTF-8")
	}
	return string(b)
}

// absent stands in the memo where nothing was put.
type absent struct{}

// memoGap is how far ahead of the last index one may be put: those who leave
// out what is not referred to skip a few.
const memoGap = 1024

func (d *decoder) put(i uint64) {
	v := d.top()
	n := uint64(len(d.memo))
	if i > n+memoGap {
		d.fail("memo index %d after %d entries", i, n)
	}
	for ; n <= i; n++ {
		d.memo = append(d.memo, absent{})
	}
	d.memo[i] = v
	d.left--
}

func (d *decoder) get(i uint64) {
	if i >= uint64(len(d.memo)) || d.memo[i] == (any)(absent{}) {
		d.fail("memo entry %d does not exist", i)
	}
	d.push(d.memo[i])
}

// long reads a little-endian integer in two's complement.
func long(b []byte) any {
	if len(b) <= 8 {
		if len(b) == 0 {
			return int64(0)
		}
		var buf [8]byte
		if b[len(b)-1]&0x80 != 0 {
			for i := range buf {
				buf[i] = 0xff
			}
		}
		copy(buf[:], b)
		return int64(binary.LittleEndian.Uint64(buf[:]))
	}
	be := slices.Clone(b)
	slices.Reverse(be)
	n := new(big.Int).SetBytes(be)
	if be[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return Int(n)
}

// validText reports whether b is UTF-8 in which lone surrogates may stand.
func validText(b []byte) bool {
	if utf8.Valid(b) { // many bytes at a time
		return true
	}
	for len(b) > 0 {
		if b[0] < 0x80 {
			b = b[1:]
			continue
		}
		if len(b) >= 3 && b[0] == 0xed && b[1] >= 0xa0 && b[1] <= 0xbf && b[2]&0xc0 == 0x80 {
			b = b[3:]
			continue
		}
		n := runeLen(b)
		if n == 0 {
			return false
		}
		b = b[n:]
	}
	return true
}

// readName reads a line, as GLOBAL has two of.
func (d *decoder) readName() string {
	i := slices.Index(d.data[d.at:], '\n')
	if i < 0 {
		d.fail("a name without an end")
	}
	name := string(d.data[d.at : d.at+i])
	d.at += i + 1
	return strings.TrimSuffix(name, "\r")
}
