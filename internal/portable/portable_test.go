package portable_test

import (
	"context"
	"errors"
	"math/big"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/parcel"
	"github.com/tristrand/tristrand/internal/portable"
	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/thread"
)

// A box counts how often it was asked to go along.
type box struct {
	carried int
	err     error
}

func (b *box) Carry(*parcel.Parcel) error { b.carried++; return b.err }

// A loan counts how often it was given back.
type loan struct {
	box
	returned int
}

func (l *loan) Return() { l.returned++ }

type job struct {
	Name string
	Mu   *local.Lock
}

type tree struct {
	Name  string
	Left  *tree
	Boxes []*box
}

type hidden struct {
	N  int
	mu local.RLock //nolint:unused // what is not exported is not sent
}

type base struct{ Q *local.Queue[int] }

type embeds struct {
	base
	N int
}

func TestWhatIsRefused(t *testing.T) {
	var q local.Queue[string]
	var loop tree
	loop.Left = &loop
	tests := []struct {
		name, want string
		v          any
	}{
		{"a lock in a slice", "input.Jobs[].Mu: local.Lock lives in one process; use shm.Lock", struct{ Jobs []job }{}},
		{"a queue", "input: local.Queue[…] lives in one process; use shm.Queue", &q},
		{"in a map", "input.M[]: local.Event lives in one process; use shm.Event", struct{ M map[string]*local.Event }{}},
		{"as a key", "input.M[key]: chan int lives in one process; use shm.Queue or process.Pipe", struct{ M map[chan int]bool }{}},
		{"a thread's variable", "input.L: thread.Local[…] lives in one process", struct{ L *thread.Local[int] }{}},
		{"a pool", "input.P: thread.Pool lives in one process; start one where", struct{ P *thread.Pool }{}},
		{"a future", "input.F: tristrand.Future[int] lives in one process", struct{ F *tristrand.Future[int] }{}},
		{"a channel", "input: chan int lives in one process; use shm.Queue", make(chan int)},
		{"a function", "input.F: func() is a function", struct{ F func() }{}},
		{"an address", "input.P: unsafe.Pointer is an address", struct{ P unsafe.Pointer }{}},
		{"a complex", "input.C[]: complex128 has no encoding", struct{ C []complex128 }{}},
		{"Go's mutex", "input.Mu: sync.Mutex lives in one process; use shm.Lock", struct{ Mu sync.Mutex }{}},
		{"Go's atomic", "input.N: atomic.Int64 lives in one process; use shm.Value", struct{ N atomic.Int64 }{}},
		{"a file", "input.F: os.File lives in one process", struct{ F *os.File }{}},
		{"not exported", "input.mu: local.RLock lives in one process; use shm.RLock", &hidden{}},
		{"embedded", "input.base.Q: local.Queue[…] lives in one process", embeds{}},
		{"nothing exported", "has no exported field", struct{ a, b int }{}},
		{"behind any", "input.V[1].Mu: local.Lock lives in one process; use shm.Lock", struct{ V []any }{[]any{1, job{}}}},
		{"behind an interface", "input.L: local.Lock lives in one process; use shm.Lock", struct{ L tristrand.Locker }{new(local.Lock)}},
		{"behind any in a map", "input[k]: func() is a function", map[string]any{"k": func() {}}},
		{"an interface with methods", "input.E: *errors.errorString", struct{ E error }{errors.New("e")}},
		{"a ctx", "input.C: context.", struct{ C context.Context }{context.Background()}},
		{"a carrier behind any", "declare it as *portable_test.box", struct{ V any }{new(box)}},
		{"a carrier by value", "declare it as *portable_test.box", struct{ B box }{}},
		{"itself", "contains itself", &loop},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := portable.Pack("input", tt.v, new(parcel.Parcel))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want one with %q", err, tt.want)
			}
			var typed *portable.Error
			if !errors.As(err, &typed) || !strings.HasPrefix(err.Error(), "input") || len(err.Error()) > 300 {
				t.Errorf("the error is a %T: %v", err, err)
			}
		})
	}
}

func TestTypesAlone(t *testing.T) {
	for range 2 { // the second time from memory
		if err := portable.Check(reflect.TypeFor[[]job]()); err == nil || err.Error() != "input[].Mu: local.Lock lives in one process; use shm.Lock" {
			t.Errorf("a slice of jobs: %v", err)
		}
		if err := portable.Check(reflect.TypeFor[*tree]()); err != nil {
			t.Errorf("a tree: %v", err)
		}
	}
}

func TestWhatIsSent(t *testing.T) {
	type all struct {
		I    int
		S    string
		B    []byte
		A    [3]float64
		M    map[string][]int
		P    *int
		V    any
		T    time.Time
		D    time.Duration
		Big  *big.Int
		Addr netip.Addr
		Mu   *local.Lock `cbor:"-"`
		Done chan int    `json:"-"`
		E    error
		u    func() //nolint:unused // what is not exported is not sent
	}
	for _, v := range []any{nil, 1, "s", []byte{1}, struct{}{}, &all{V: []any{1, map[string]any{"k": 1.5}}}, (*tree)(nil), new(tree)} {
		if err := portable.Pack("input", v, new(parcel.Parcel)); err != nil {
			t.Errorf("%T: %v", v, err)
		}
	}
}

func TestCarriersAreAsked(t *testing.T) {
	bs := make([]box, 4)
	in := struct {
		Tree  *tree
		M     map[string]*box
		Value box // by value behind a pointer: the same box
		None  *box
		Deep  [1][]struct{ B *box }
	}{
		Tree: &tree{Left: &tree{Boxes: []*box{&bs[0], nil, &bs[1]}}},
		M:    map[string]*box{"m": &bs[2]},
	}
	in.Deep[0] = append(in.Deep[0], struct{ B *box }{&bs[3]})
	if err := portable.Pack("input", &in, new(parcel.Parcel)); err != nil {
		t.Fatal(err)
	}
	for i := range bs {
		if bs[i].carried != 1 {
			t.Errorf("box %d was asked %d times", i, bs[i].carried)
		}
	}
	if in.Value.carried != 1 {
		t.Errorf("the box by value was asked %d times", in.Value.carried)
	}
	bs[1].err = os.ErrClosed
	err := portable.Pack("output", &in, new(parcel.Parcel))
	if !errors.Is(err, os.ErrClosed) || !strings.HasPrefix(err.Error(), "output.Tree.Left.Boxes[2]: ") {
		t.Errorf("a carrier that fails: %v", err)
	}
}

func TestBorrowedIsReturned(t *testing.T) {
	var a, b loan
	in := struct {
		B *box
		L *loan
		M map[string][]any
	}{new(box), &a, map[string][]any{"k": {1, &b}}}
	portable.Return(&in)
	portable.Return(nil)
	portable.Return(func() {})
	if a.returned != 1 || b.returned != 1 || a.carried != 0 {
		t.Errorf("returned %d and %d times, carried %d times", a.returned, b.returned, a.carried)
	}
}

func BenchmarkPack(b *testing.B) {
	in := struct {
		Name string
		Nums []int
	}{}
	b.ReportAllocs()
	for b.Loop() {
		if err := portable.Pack("input", &in, new(parcel.Parcel)); err != nil {
			b.Fatal(err)
		}
	}
}
