package shm

import (
	"bytes"
	"fmt"
	"reflect"
	"sync"
	"unsafe"

	"github.com/tristrand/tristrand/internal/parcel"
	"github.com/tristrand/tristrand/internal/portable"
	codec "github.com/tristrand/tristrand/internal/wire"
)

// encoded calls use with the bytes of *v, which are use's until it returns: those
// that it points at if it is a slice of bytes, its own if it has no pointers, and
// otherwise its encoding.
func encoded[T any](v *T, use func(item []byte) error) error {
	if b, ok := any(v).(*[]byte); ok {
		return use(*b)
	}
	if plain(reflect.TypeFor[T]()) == nil {
		return use(bytesOf(v))
	}
	var extra parcel.Parcel
	if err := portable.Pack("item", v, &extra); err != nil {
		return fmt.Errorf("shm: %w", err)
	}
	if !extra.Empty() {
		_ = extra.Abandon() // the error below is the one that matters
		return fmt.Errorf("shm: a %v has shared memory or a file in it, which does not go through here: send it in a task's input", reflect.TypeFor[T]())
	}
	buf := scratch.Get().(*bytes.Buffer)
	defer putScratch(buf)
	buf.Reset()
	if err := codec.Encode(buf, v); err != nil {
		return fmt.Errorf("shm: %w", err)
	}
	return use(buf.Bytes())
}

// decoded returns the value whose bytes get appends to what it is given.
func decoded[T any](get func(buf []byte) ([]byte, error)) (v T, err error) {
	if b, ok := any(&v).(*[]byte); ok {
		*b, err = get(nil)
		if *b == nil && err == nil {
			*b = []byte{}
		}
		return v, err
	}
	if plain(reflect.TypeFor[T]()) == nil {
		item, err := get(bytesOf(&v)[:0])
		if err == nil && len(item) != int(unsafe.Sizeof(v)) {
			err = errSpoilt
		}
		return v, err
	}
	buf := scratch.Get().(*bytes.Buffer)
	defer putScratch(buf)
	buf.Reset()
	item, err := get(buf.AvailableBuffer())
	if err != nil {
		return v, err
	}
	if cap(item) > buf.Cap() {
		*buf = *bytes.NewBuffer(item[:0]) // keep the larger one
	}
	if err := codec.Decode(item, &v); err != nil {
		return v, fmt.Errorf("shm: what has come is no %v: %w", reflect.TypeFor[T](), err)
	}
	return v, nil
}

// bytesOf returns the memory of *v.
func bytesOf[T any](v *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))
}

// scratch has buffers for encoding.
var scratch = sync.Pool{New: func() any { return new(bytes.Buffer) }}

const maxScratch = 1 << 20

func putScratch(b *bytes.Buffer) {
	if b.Cap() <= maxScratch {
		scratch.Put(b)
	}
}
