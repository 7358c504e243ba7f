package strand

import (
	"fmt"
	"path/filepath"
	"reflect"
	"runtime"
)

// A Claim says in one word which strand has taken a thing, and where in the
// program it did so. The lowest ClaimFlags bits are zero, for the thing's own
// use; the zero Claim is nobody's.
type Claim uint64

// ClaimFlags is the number of low bits that a Claim leaves free.
const ClaimFlags = 4

const (
	slotShift  = ClaimFlags
	placeShift = slotShift + slotBits
	placeBits  = 64 - placeShift // signed, from placeBase: ± 32 GiB
)

var placeBase = reflect.ValueOf(Current).Pointer()

// Claim returns the word that says that s took something at pc, which is a
// return address. A place set by SetPlace goes before pc, once.
func (s *Strand) Claim(pc uintptr) Claim {
	slot := s.slot
	if slot == 0 {
		slot = namelessSlot
	} else if s.at != 0 {
		pc, s.at = s.at, 0
	}
	off := int64(pc) - int64(placeBase)
	if off<<placeShift>>placeShift != off {
		off = 0
	}
	return Claim(off<<placeShift) | Claim(slot)<<slotShift
}

// Nobody reports whether nobody has the thing. Flags are ignored.
func (c Claim) Nobody() bool { return c>>slotShift&(1<<slotBits-1) == 0 }

// Strand returns whose claim it is: the nameless strand for a nameless one,
// nil when it is nobody's.
func (c Claim) Strand() *Strand {
	slot := uint32(c >> slotShift & (1<<slotBits - 1))
	if slot == 0 {
		return nil
	}
	return bySlot(slot)
}

// By reports whether the claim is s's.
func (c Claim) By(s *Strand) bool {
	return uint32(c>>slotShift&(1<<slotBits-1)) == s.slot && s.slot != 0
}

// Where returns the return address of the acquisition, 0 if it is not known.
func (c Claim) Where() uintptr {
	off := int64(c) >> placeShift
	if off == 0 {
		return 0
	}
	return uintptr(int64(placeBase) + off)
}

// Held notes that s has taken n more locks, or n fewer. It must be called by s
// itself; a strand that ends with locks held leaves them to be found.
func (s *Strand) Held(n int32) {
	if s.slot != 0 {
		s.held += n
	}
}

// Holding returns how many locks s holds. It must be called by s itself.
func (s *Strand) Holding() int { return int(s.held) }

// HasEnded reports whether the strand is over.
func (s *Strand) HasEnded() bool { return s.ended.Load() }

// TakenOver notes that somebody took one of the locks that s left when it ended.
func (s *Strand) TakenOver() {
	if s.left.Add(-1) == 0 {
		unregister(s)
	}
}

// Place returns "dir/file.go:line" of a return address, or "".
func Place(pc uintptr) string {
	if pc == 0 {
		return ""
	}
	f, _ := runtime.CallersFrames([]uintptr{pc}).Next()
	if f.File == "" {
		return ""
	}
	dir, file := filepath.Split(f.File)
	return fmt.Sprintf("%s/%s:%d", filepath.Base(dir), file, f.Line)
}

// InTransit is the claim of a thing that has been promised to a strand which
// has not run since. It counts as a nameless one's.
const InTransit Claim = namelessSlot << slotShift
