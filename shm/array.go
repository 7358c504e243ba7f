package shm

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"runtime"
	"sync"
	"unsafe"

	"github.com/fxamacker/cbor/v2"

	"github.com/tristrand/tristrand/internal/parcel"
	"github.com/tristrand/tristrand/internal/segment"
)

// An Array is a fixed number of elements of a fixed type that several processes
// see: numbers, bools, and arrays and structs of them. It crosses as a field of a
// task's input or output.
//
// At and Set take no lock. An element of up to eight bytes is read and written
// whole; for anything that needs two steps, and for larger elements, hold Lock:
//
//	err := tristrand.With(ctx, a.Lock(), func(context.Context) error {
//		n, err := a.At(0)
//		if err != nil {
//			return err
//		}
//		return a.Set(0, n+1)
//	})
type Array[T any] struct{ r *row } // the encoder copies what it encodes

// A row is an array's memory.
type row struct {
	mu   sync.RWMutex // Close against the rest
	lock *RLock
	seg  *segment.Segment // nil: closed
	n    int
	done runtime.Cleanup
}

var _ parcel.Carrier = (*Array[int])(nil)

// NewArray returns n elements of T, all zero. It says which field of T cannot be
// shared, if one cannot, and returns ErrUnsupported where no memory can. The array
// takes whole pages and a descriptor.
func NewArray[T any](n int) (*Array[T], error) {
	t := reflect.TypeFor[T]()
	if err := plain(t); err != nil {
		return nil, fmt.Errorf("shm: NewArray: %w", err)
	}
	if n < 0 || t.Size() > 0 && n > maxArrayBytes/int(t.Size()) {
		return nil, fmt.Errorf("shm: NewArray of %d elements of %d bytes: there can be none below 0, and no more than %d bytes in all", n, t.Size(), maxArrayBytes)
	}
	seg, err := segment.New("tristrand array", max(1, n*int(t.Size())))
	if err != nil {
		return nil, fmt.Errorf("shm: NewArray of %d elements: %w", n, err)
	}
	lock, err := NewRLock("array")
	if err != nil {
		seg.Release()
		return nil, err
	}
	return &Array[T]{newRow(lock, seg, n)}, nil
}

const maxArrayBytes = 1 << 40

func newRow(lock *RLock, seg *segment.Segment, n int) *row {
	r := &row{lock: lock, seg: seg, n: n}
	r.done = runtime.AddCleanup(r, (*segment.Segment).Release, seg)
	return r
}

// open returns the memory, which stays until it is unlocked.
func (a *Array[T]) open() (*row, error) {
	if a.r == nil {
		return nil, errors.New("shm: this Array is a zero value: make it with NewArray, or get it in a task's input")
	}
	a.r.mu.RLock()
	if a.r.seg == nil {
		a.r.mu.RUnlock()
		return nil, errors.New("shm: this Array is closed")
	}
	return a.r, nil
}

// Len returns the number of elements, 0 after Close.
func (a *Array[T]) Len() int {
	r, err := a.open()
	if err != nil {
		return 0
	}
	defer r.mu.RUnlock()
	return r.n
}

// Lock returns the lock that goes with the array wherever it goes, nil after
// Close. Using the array does not need it, and does not take it.
func (a *Array[T]) Lock() *RLock {
	r, err := a.open()
	if err != nil {
		return nil
	}
	defer r.mu.RUnlock()
	return r.lock
}

// element returns where element i is.
func element[T any](r *row, i int) (*T, error) {
	if uint(i) >= uint(r.n) {
		return nil, fmt.Errorf("shm: index %d of an array of %d elements", i, r.n)
	}
	var none T
	return (*T)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(r.seg.Bytes())), uintptr(i)*unsafe.Sizeof(none))), nil
}

// At returns element i. The error says i and the number of elements.
func (a *Array[T]) At(i int) (v T, err error) {
	r, err := a.open()
	if err != nil {
		return v, err
	}
	defer r.mu.RUnlock()
	p, err := element[T](r, i)
	if err != nil {
		return v, err
	}
	return *p, nil
}

// Set makes v element i.
func (a *Array[T]) Set(i int, v T) error {
	r, err := a.open()
	if err != nil {
		return err
	}
	defer r.mu.RUnlock()
	p, err := element[T](r, i)
	if err != nil {
		return err
	}
	*p = v
	return nil
}

// Update makes element i what f makes of it, with the lock held.
func (a *Array[T]) Update(ctx context.Context, i int, f func(T) (T, error)) (v T, err error) {
	r, err := a.open()
	if err != nil {
		return v, err
	}
	lock := r.lock
	r.mu.RUnlock() // not while waiting
	if err := lock.Acquire(ctx); err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, lock.Release(ctx)) }()
	if v, err = a.At(i); err != nil {
		return v, err
	}
	if v, err = f(v); err != nil {
		return v, err
	}
	return v, a.Set(i, v)
}

// All yields the elements with their indices, each as At would return it then.
func (a *Array[T]) All() iter.Seq2[int, T] {
	return func(yield func(int, T) bool) {
		for i := range a.Len() {
			v, err := a.At(i)
			if err != nil || !yield(i, v) { // closed meanwhile
				return
			}
		}
	}
}

// Close gives the array up in this process. Again it does nothing.
func (a *Array[T]) Close() error {
	r, err := a.open()
	if err != nil {
		return nil // there is nothing to give up
	}
	r.mu.RUnlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seg == nil {
		return nil
	}
	r.done.Stop()
	r.seg.Release()
	r.seg = nil
	return r.lock.Close()
}

// String names the array for errors.
func (a *Array[T]) String() string {
	return fmt.Sprintf("shm.Array[%v] of %d", reflect.TypeFor[T](), a.Len())
}

// An arrayWire is how an array is encoded.
type arrayWire struct {
	_    struct{} `cbor:",toarray"`
	Ref  cbor.RawMessage
	Lock *RLock
}

// Carry makes the memory go along with a job; engines call it.
func (a *Array[T]) Carry(p *parcel.Parcel) error {
	r, err := a.open()
	if err != nil {
		return err
	}
	defer r.mu.RUnlock()
	r.done.Stop() // as for the lock: it may be on its way when nothing here refers to it
	p.Segment(r.seg)
	return r.lock.Carry(p)
}

func arrayTag[T any]() string { return "shm.Array[" + typeName(reflect.TypeFor[T]()) + "]" }

// MarshalCBOR encodes the place of the array; it needs to have been carried.
func (a *Array[T]) MarshalCBOR() ([]byte, error) {
	r, err := a.open()
	if err != nil {
		return nil, err
	}
	defer r.mu.RUnlock()
	ref, err := parcel.MarshalRef(parcel.Ref{What: arrayTag[T](), Key: r.seg.Key(), Args: []uint64{uint64(r.n)}})
	if err != nil {
		return nil, err
	}
	return cbor.Marshal(arrayWire{Ref: ref, Lock: r.lock})
}

// UnmarshalCBOR makes a the array that was encoded.
func (a *Array[T]) UnmarshalCBOR(data []byte) error {
	if err := plain(reflect.TypeFor[T]()); err != nil {
		return fmt.Errorf("shm: %s: %w", arrayTag[T](), err)
	}
	var w arrayWire
	if err := cbor.Unmarshal(data, &w); err != nil {
		return fmt.Errorf("shm: this is no array: %w", err)
	}
	seg, ref, err := parcel.UnmarshalArgs(w.Ref, arrayTag[T](), 0, 1, 1)
	if err != nil {
		return fmt.Errorf("shm: %w", err)
	}
	size := uint64(reflect.TypeFor[T]().Size())
	if n := ref.Args[0]; w.Lock == nil || n > maxArrayBytes || size > 0 && n > uint64(seg.Size())/size {
		seg.Release()
		return fmt.Errorf("shm: an array of %d elements in %d bytes: its sender is at fault", n, seg.Size())
	}
	if err := a.Close(); err != nil {
		seg.Release()
		return err
	}
	a.r = newRow(w.Lock, seg, int(ref.Args[0]))
	return nil
}
