package shm

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/parcel"
	"github.com/tristrand/tristrand/strand"
)

// A Value is one value that several processes load, store and update. It is never
// seen half changed: a process that is killed while it changes it leaves the old
// value or the new one. It is made by NewValue, or arrives as a field of a task's
// input or output.
//
// Types without pointers are copied as they are; all others are encoded, as in a
// Queue, and may take 16 MiB encoded.
type Value[T any] struct{ *register } // the encoder copies what it encodes

var _ tristrand.Value[int] = (*Value[int])(nil)

// NewValue returns a value that is v at first. The name, of which 40 bytes are kept,
// is shown in errors; "" shows a number. The error says what of T cannot be sent, or
// is ErrUnsupported.
func NewValue[T any](name string, v T) (*Value[T], error) {
	if err := valuable[T](); err != nil {
		return nil, err
	}
	r, err := newRegister(name, half[T]())
	if err != nil {
		return nil, err
	}
	store := func(item []byte) error { return r.store(context.Background(), item) }
	if err := encoded(&v, store); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return &Value[T]{r}, nil
}

func valuable[T any]() error {
	if err := queueable[T](); err != nil {
		return fmt.Errorf("shm: a value of %v: %w", reflect.TypeFor[T](), err)
	}
	return nil
}

// half returns how many bytes the value may take.
func half[T any]() int {
	t := reflect.TypeFor[T]()
	if plain(t) == nil {
		return (int(t.Size()) + 7) &^ 7
	}
	return maxEncodedValue
}

const maxEncodedValue = 16 << 20

// Load returns the value.
func (r *Value[T]) Load(ctx context.Context) (T, error) {
	strand.Enter(ctx, strand.Op{Verb: "load", On: r})
	v, _, err := r.get(ctx)
	return v, err
}

func (r *Value[T]) get(ctx context.Context) (v T, version uint64, err error) {
	if ctx.Err() != nil {
		return v, 0, strand.Err(ctx)
	}
	v, err = decoded[T](func(buf []byte) (item []byte, err error) {
		item, version, err = r.load(ctx, buf)
		return item, err
	})
	return v, version, err
}

// Store makes v the value.
func (r *Value[T]) Store(ctx context.Context, v T) error {
	strand.Enter(ctx, strand.Op{Verb: "store", On: r, Write: true})
	if ctx.Err() != nil {
		return strand.Err(ctx)
	}
	return encoded(&v, func(item []byte) error { return r.store(ctx, item) })
}

// Update makes the value what f makes of it, and returns that. No lock is held
// while f runs: if somebody else has changed the value meanwhile, f runs again.
// An error of f is returned, with what f was given, and changes nothing.
func (r *Value[T]) Update(ctx context.Context, f func(T) (T, error)) (T, error) {
	strand.Enter(ctx, strand.Op{Verb: "update", On: r, Write: true})
	for {
		old, version, err := r.get(ctx)
		if err != nil {
			return old, err
		}
		v, err := f(old)
		if err != nil {
			return old, err
		}
		err = encoded(&v, func(item []byte) error { return r.replace(ctx, item, version) })
		if !errors.Is(err, errChanged) {
			return v, err
		}
		runtime.Gosched() // the others are to come through, too
	}
}

// Close gives the value up in this process; see the package's comment.
func (r *Value[T]) Close() error { return r.close() }

// String names the value for errors.
func (r *Value[T]) String() string { return r.registerName() }

// Releasers says that nobody waits for it.
func (r *Value[T]) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) { return buf, false }

// Carry makes the memory go along with a job; engines call it.
func (r *Value[T]) Carry(p *parcel.Parcel) error { return r.carry(p) }

func valueTag[T any]() string { return "Value[" + typeName(reflect.TypeFor[T]()) + "]" }

// MarshalCBOR encodes where the value is.
func (r *Value[T]) MarshalCBOR() ([]byte, error) { return r.encode(valueTag[T]()) }

// UnmarshalCBOR makes r the value that was encoded.
func (r *Value[T]) UnmarshalCBOR(data []byte) error {
	if err := valuable[T](); err != nil {
		return err
	}
	decoded, err := decodeRegister(data, valueTag[T](), half[T]())
	if err == nil {
		err = r.Close()
		r.register = decoded
	}
	return err
}
