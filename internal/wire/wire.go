// Package wire turns values into bytes and back for those who send them to other
// processes and machines: CBOR (RFC 8949), and as they are the values that are bytes
// already.
//
// What is decoded is not trusted: depth and numbers of elements are bounded, and
// nothing is executed. In an interface, integers come as int64
// or, when they are larger, big.Int, and maps as map[any]any.
package wire

import (
	"bytes"
	"fmt"
	"reflect"
	"sync"

	"github.com/fxamacker/cbor/v2"
)

// The bounds of what is decoded.
const (
	maxDepth    = 256
	maxElements = 1 << 27 // more than fits into any frame
)

type modes struct {
	enc cbor.UserBufferEncMode
	dec cbor.DecMode
}

var get = sync.OnceValue(func() modes {
	enc, err := cbor.EncOptions{
		Time:    cbor.TimeRFC3339Nano,
		TimeTag: cbor.EncTagRequired,
	}.UserBufferEncMode()
	if err != nil {
		panic("tristrand: bug: " + err.Error())
	}
	dec, err := cbor.DecOptions{
		MaxNestedLevels:  maxDepth,
		MaxArrayElements: maxElements,
		MaxMapPairs:      maxElements,
		IntDec:           cbor.IntDecConvertSignedOrBigInt,
		IndefLength:      cbor.IndefLengthForbidden,
		UTF8:             cbor.UTF8DecodeInvalid, // a Go string holds any bytes
	}.DecMode()
	if err != nil {
		panic("tristrand: bug: " + err.Error())
	}
	return modes{enc, dec}
})

// Encode appends v to buf.
func Encode(buf *bytes.Buffer, v any) error {
	if encodePlain(buf, v) {
		return nil
	}
	if err := get().enc.MarshalToBuffer(v, buf); err != nil {
		return fmt.Errorf("it cannot be encoded: %w", err)
	}
	return nil
}

// Decode sets what v points at from data, which holds one value and nothing else. It
// does not keep data.
func Decode(data []byte, v any) error {
	if decodePlain(data, v) {
		return nil
	}
	return get().dec.Unmarshal(data, v)
}

// Raw returns the bytes of v, which points at a value, if they need no encoding: it
// is a slice of bytes.
func Raw(v any) ([]byte, bool) {
	switch p := v.(type) {
	case *[]byte:
		return *p, true
	default:
		r := reflect.ValueOf(v).Elem()
		if r.Kind() == reflect.Slice && r.Type().Elem().Kind() == reflect.Uint8 && !isMarshaler(r.Type()) {
			return r.Bytes(), true
		}
		return nil, false
	}
}

// SetRaw sets the slice of bytes that v points at to b, which is its own from then
// on. It reports whether v is of that kind.
func SetRaw(v any, b []byte) bool {
	switch p := v.(type) {
	case *[]byte:
		*p = b
	default:
		r := reflect.ValueOf(v).Elem()
		if r.Kind() != reflect.Slice || r.Type().Elem().Kind() != reflect.Uint8 || isMarshaler(r.Type()) {
			return false
		}
		r.SetBytes(b)
	}
	return true
}

var marshaler = reflect.TypeFor[cbor.Marshaler]()

func isMarshaler(t reflect.Type) bool {
	return t.Implements(marshaler) || reflect.PointerTo(t).Implements(marshaler)
}
