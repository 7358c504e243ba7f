package parcel

import (
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"github.com/tristrand/tristrand/internal/segment"
)

// A Ref is how an object that lives in a segment is encoded.
type Ref struct {
	_ struct{} `cbor:",toarray"`

	// What says what lives there, with all that must fit: "shm.Lock",
	// "shm.Array[int64]".
	What string

	// Key and Offset say where.
	Key    segment.Key
	Offset uint64

	// Args are numbers that the kind of object needs besides.
	Args []uint64
}

// MarshalRef encodes r.
func MarshalRef(r Ref) ([]byte, error) {
	b, err := cbor.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("parcel: the place of a %s: %w", r.What, err)
	}
	return b, nil
}

// UnmarshalRef decodes the place of a what, and returns the segment that it is
// in with a reference that is the caller's. There are at least size bytes from
// the offset on, which is a multiple of align. It is an error if what was encoded
// is something else, or if its segment has not come.
func UnmarshalRef(data []byte, what string, size, align int) (*segment.Segment, int, error) {
	s, r, err := UnmarshalArgs(data, what, size, align, 0)
	return s, int(r.Offset), err
}

// UnmarshalArgs is UnmarshalRef for a kind of object with args numbers.
func UnmarshalArgs(data []byte, what string, size, align, args int) (*segment.Segment, Ref, error) {
	s, r, err := unmarshal(data, what, size, align)
	if err == nil && len(r.Args) != args {
		s.Release()
		s, err = nil, fmt.Errorf("parcel: a %s with %d numbers where %d belong: its sender is at fault", what, len(r.Args), args)
	}
	if err != nil {
		r = Ref{}
	}
	return s, r, err
}

func unmarshal(data []byte, what string, size, align int) (*segment.Segment, Ref, error) {
	var r Ref
	if err := cbor.Unmarshal(data, &r); err != nil {
		return nil, r, fmt.Errorf("parcel: this is not the place of a %s: %w", what, err)
	}
	if r.What != what {
		return nil, r, fmt.Errorf("parcel: a %.100q was sent where a %q is expected", r.What, what)
	}
	s := segment.Lookup(r.Key)
	if s == nil {
		return nil, r, fmt.Errorf("parcel: the memory of this %s has not come with it: "+
			"it crosses only as part of an input or an output of a job, and not after it was closed", what)
	}
	if all := uint64(s.Size()); r.Offset > all || all-r.Offset < uint64(size) || r.Offset%uint64(align) != 0 {
		s.Release()
		return nil, r, fmt.Errorf("parcel: a %s at byte %d does not lie in its segment of %d bytes: its sender is at fault", what, r.Offset, all)
	}
	return s, r, nil
}
