package wire

import (
	"bytes"
	"encoding/binary"
	"math"
)

// What most small values are, and slices of them, is written and read here without
// reflection, as the same CBOR. Whatever is unusual is left to the general way, which
// also has the errors.

// CBOR's major types, as they stand in a first byte, and what is used of the last.
const (
	positive = 0 << 5
	negative = 1 << 5
	text     = 3 << 5
	array    = 4 << 5
	simple   = 7 << 5

	nothing = 5 << 5 // a map without entries
	no      = simple | 20
	yes     = simple | 21
	half    = simple | 25
	double  = simple | 27
	in8     = 24 // the argument is in so many bits behind the first byte, and this plus 1, 2, 3 in twice as many each
	direct  = 23 // the largest argument that is in the first byte itself
	maxHead = 9
)

type integer interface {
	int | int32 | int64 | uint | uint32 | uint64
}

// encodePlain is Encode of what is plain; false says that v is not.
func encodePlain(buf *bytes.Buffer, v any) bool {
	switch p := v.(type) {
	case *int:
		writeOne(buf, *p, appendInt)
	case *int64:
		writeOne(buf, *p, appendInt)
	case *uint64:
		writeOne(buf, *p, appendInt)
	case *float64:
		writeOne(buf, *p, appendFloat)
	case *bool:
		writeOne(buf, *p, appendBool)
	case *struct{}:
		buf.WriteByte(nothing)
	case *string:
		writeHead(buf, text, uint64(len(*p)))
		buf.WriteString(*p)
	case *[]int:
		return writeAll(buf, *p, appendInt)
	case *[]int32:
		return writeAll(buf, *p, appendInt)
	case *[]int64:
		return writeAll(buf, *p, appendInt)
	case *[]uint:
		return writeAll(buf, *p, appendInt)
	case *[]uint32:
		return writeAll(buf, *p, appendInt)
	case *[]uint64:
		return writeAll(buf, *p, appendInt)
	case *[]float64:
		return writeAll(buf, *p, appendFloat)
	case *[]bool:
		return writeAll(buf, *p, appendBool)
	case *[]string:
		return writeTexts(buf, *p)
	default:
		return false
	}
	return true
}

func writeOne[T any](buf *bytes.Buffer, v T, add func([]byte, T) []byte) {
	buf.Grow(maxHead)
	buf.Write(add(buf.AvailableBuffer(), v))
}

func writeHead(buf *bytes.Buffer, major byte, n uint64) {
	buf.Grow(maxHead)
	buf.Write(appendHead(buf.AvailableBuffer(), major, n))
}

// writeAll writes a slice whose elements take no more than a head does.
func writeAll[T any](buf *bytes.Buffer, all []T, add func([]byte, T) []byte) bool {
	if all == nil {
		return false
	}
	writeHead(buf, array, uint64(len(all)))
	for len(all) > 0 {
		const step = 64 // what is written is not known before, and room for the worst would be a lot
		part := all[:min(step, len(all))]
		buf.Grow(len(part) * maxHead)
		b := buf.AvailableBuffer()
		for _, v := range part {
			b = add(b, v)
		}
		buf.Write(b) // which is where it is already
		all = all[len(part):]
	}
	return true
}

func writeTexts(buf *bytes.Buffer, all []string) bool {
	if all == nil {
		return false
	}
	writeHead(buf, array, uint64(len(all)))
	for _, s := range all {
		writeHead(buf, text, uint64(len(s)))
		buf.WriteString(s)
	}
	return true
}

func appendHead(b []byte, major byte, n uint64) []byte {
	switch {
	case n <= direct:
		return append(b, major|byte(n))
	case n <= math.MaxUint8:
		return append(b, major|in8, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, major|(in8+1)), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(b, major|(in8+2)), uint32(n))
	default:
		return binary.BigEndian.AppendUint64(append(b, major|(in8+3)), n)
	}
}

func appendInt[T integer](b []byte, v T) []byte {
	if v < 0 {
		return appendHead(b, negative, uint64(^int64(v)))
	}
	return appendHead(b, positive, uint64(v))
}

func appendFloat(b []byte, v float64) []byte {
	switch {
	case v != v:
		return append(b, half, 0x7e, 0)
	case v > math.MaxFloat64:
		return append(b, half, 0x7c, 0)
	case v < -math.MaxFloat64:
		return append(b, half, 0xfc, 0)
	default:
		return binary.BigEndian.AppendUint64(append(b, double), math.Float64bits(v))
	}
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, yes)
	}
	return append(b, no)
}

// decodePlain is Decode of what is plain; false says that the general way has to be
// taken, and that v is as it was, but for what is beyond the length of a slice.
func decodePlain(data []byte, v any) bool {
	switch p := v.(type) {
	case *int:
		return readOne(data, p, takeInt)
	case *int64:
		return readOne(data, p, takeInt)
	case *uint64:
		return readOne(data, p, takeInt)
	case *float64:
		return readOne(data, p, takeFloat)
	case *bool:
		return readOne(data, p, takeBool)
	case *struct{}:
		return len(data) == 1 && data[0] == nothing
	case *string:
		return readOne(data, p, takeText)
	case *[]int:
		return readAll(data, p, takeInt)
	case *[]int32:
		return readAll(data, p, takeInt)
	case *[]int64:
		return readAll(data, p, takeInt)
	case *[]uint:
		return readAll(data, p, takeInt)
	case *[]uint32:
		return readAll(data, p, takeInt)
	case *[]uint64:
		return readAll(data, p, takeInt)
	case *[]float64:
		return readAll(data, p, takeFloat)
	case *[]bool:
		return readAll(data, p, takeBool)
	case *[]string:
		return readAll(data, p, takeText)
	default:
		return false
	}
}

// A take takes a value from the beginning of b, and returns what it takes there; 0
// says that there is something else.
type take[T any] func(b []byte) (v T, n int)

func readOne[T any](data []byte, p *T, take take[T]) bool {
	v, n := take(data)
	if n == 0 || n != len(data) {
		return false
	}
	*p = v
	return true
}

func readAll[T any](data []byte, p *[]T, take take[T]) bool {
	major, count, at := takeHead(data)
	if at == 0 || major != array || count > uint64(len(data)-at) || count > maxElements { // each takes a byte at least
		return false
	}
	all := (*p)[:0]
	if all == nil || uint64(cap(all)) < count {
		all = make([]T, 0, count)
	}
	for range count {
		v, n := take(data[at:])
		if n == 0 {
			return false
		}
		all = append(all, v)
		at += n
	}
	if at != len(data) {
		return false
	}
	*p = all
	return true
}

// takeHead returns the major type and the argument at the beginning of b.
func takeHead(b []byte) (major byte, n uint64, size int) {
	if len(b) == 0 {
		return 0, 0, 0
	}
	const argument = 1<<5 - 1
	major = b[0] &^ argument
	switch how := b[0] & argument; {
	case how <= direct:
		return major, uint64(how), 1
	case how == in8 && len(b) >= 2:
		return major, uint64(b[1]), 2
	case how == in8+1 && len(b) >= 3:
		return major, uint64(binary.BigEndian.Uint16(b[1:])), 3
	case how == in8+2 && len(b) >= 5:
		return major, uint64(binary.BigEndian.Uint32(b[1:])), 5
	case how == in8+3 && len(b) >= 9:
		return major, binary.BigEndian.Uint64(b[1:]), 9
	default:
		return 0, 0, 0
	}
}

func takeInt[T integer](b []byte) (v T, n int) {
	major, u, n := takeHead(b)
	switch v = T(u); major {
	case positive:
		if v < 0 || uint64(v) != u {
			return 0, 0
		}
	case negative:
		if v = ^v; v >= 0 || u > math.MaxInt64 || ^int64(v) != int64(u) {
			return 0, 0
		}
	default:
		return 0, 0
	}
	return v, n
}

func takeFloat(b []byte) (v float64, n int) {
	if len(b) < maxHead || b[0] != double {
		return 0, 0
	}
	return math.Float64frombits(binary.BigEndian.Uint64(b[1:])), maxHead
}

func takeBool(b []byte) (v bool, n int) {
	if len(b) == 0 || b[0]&^1 != no {
		return false, 0
	}
	return b[0] == yes, 1
}

func takeText(b []byte) (v string, n int) {
	major, size, n := takeHead(b)
	if n == 0 || major != text || size > uint64(len(b)-n) {
		return "", 0
	}
	return string(b[n : n+int(size)]), n + int(size)
}
