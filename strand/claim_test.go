package strand_test

import (
	"context"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/tristrand/tristrand/strand"
)

// base is near the place that claims count from.
var base = reflect.ValueOf(strand.Current).Pointer()

func FuzzClaim(f *testing.F) {
	f.Add(int64(0), uint8(0))
	f.Add(int64(1), uint8(15))
	f.Add(int64(-1), uint8(3))
	f.Add(int64(1)<<34, uint8(1))
	f.Add(int64(-1)<<34, uint8(1))
	f.Add(int64(1)<<62, uint8(1))
	ctx, end := strand.Adopt(context.Background(), "claimer")
	f.Cleanup(end)
	s := strand.Current(ctx)
	other, endOther := strand.Adopt(context.Background(), "other")
	f.Cleanup(endOther)
	o := strand.Current(other)
	f.Fuzz(func(t *testing.T, off int64, flags uint8) {
		pc := uintptr(int64(base) + off)
		c := s.Claim(pc)
		if c&(1<<strand.ClaimFlags-1) != 0 {
			t.Errorf("%x uses the flags", c)
		}
		c |= strand.Claim(flags) & (1<<strand.ClaimFlags - 1)
		if c.Nobody() || c.Strand() != s || !c.By(s) || c.By(o) {
			t.Errorf("%x: nobody=%v, of %v", c, c.Nobody(), c.Strand())
		}
		switch where := c.Where(); {
		case off > -1<<34 && off < 1<<34 && off != 0 && where != pc:
			t.Errorf("%x: at %x, want %x", c, where, pc)
		case where != pc && where != 0:
			t.Errorf("%x: at %x, want %x or nothing", c, where, pc)
		}
	})
}

func TestClaimOfNobodyAndOfTheNameless(t *testing.T) {
	ctx := adopt(t)
	s := strand.Current(ctx)
	var none strand.Claim
	if !none.Nobody() || none.Strand() != nil || none.By(s) || none.Where() != 0 {
		t.Errorf("the zero claim is %v's", none.Strand())
	}
	nameless := strand.Current(context.Background())
	c := nameless.Claim(base + 8)
	if c.Nobody() || c.Strand() != nameless || c.By(nameless) || c.By(s) || c.Where() != base+8 {
		t.Errorf("a nameless claim is %v's, by=%v", c.Strand(), c.By(nameless))
	}
	if strand.InTransit.Nobody() || strand.InTransit.By(s) || strand.InTransit.Where() != 0 {
		t.Error("a claim in transit is somebody's")
	}
	var pcs [1]uintptr
	runtime.Callers(1, pcs[:])
	s.SetPlace(pcs[0])
	if first, second := s.Claim(base+8), s.Claim(base+8); first.Where() != pcs[0] || second.Where() != base+8 {
		t.Errorf("SetPlace: %x and then %x", first.Where(), second.Where())
	}
	if got := strand.Place(pcs[0]); !strings.HasPrefix(got, "strand/claim_test.go:") {
		t.Errorf("the place is %q", got)
	}
	if got := strand.Place(0) + strand.Place(1); got != "" {
		t.Errorf("no place is %q", got)
	}
}
