package shm_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/conformance"
	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/shm"
)

func newQueue[T any](t testing.TB, capacity int) *shm.Queue[T] {
	t.Helper()
	q, err := shm.NewQueue[T]("", capacity)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return q
}

func TestQueueConformance(t *testing.T) {
	conformance.Queue(t, func(_ context.Context, t testing.TB, bound int) tristrand.Queue[int] {
		return newQueue[int](t, bound)
	}, conformance.Options{Worlds: []conformance.World{conformance.RealTime}})
}

// passes checks that items come out of a queue as they went in.
func passes[T any](t *testing.T, items ...T) {
	t.Helper()
	t.Run(reflect.TypeFor[T]().String(), func(t *testing.T) {
		ctx := t.Context()
		q := newQueue[T](t, 0)
		var elsewhere shm.Queue[T]
		cross(t, q, &elsewhere)
		defer elsewhere.Close()
		for _, v := range items {
			if err := q.Put(ctx, v); err != nil {
				t.Fatal(err)
			}
		}
		for _, want := range items {
			if got, err := elsewhere.Get(ctx); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%.80v came as %.80v, %v", want, got, err)
			}
		}
	})
}

func TestQueueItems(t *testing.T) {
	type point struct{ X, Y float64 }
	type named struct {
		Name string
		At   *point
		Tags map[string][]int
	}
	long := strings.Repeat("x", 100_000)
	passes(t, 1, -1, 1<<62)
	passes(t, point{1, 2}, point{})
	passes(t, [3]bool{true, false, true})
	passes(t, "", "hello", long)
	passes(t, []byte{}, []byte("hello"), []byte(long), bytes.Repeat([]byte{7}, 40<<20))
	passes(t, named{}, named{"n", &point{1, 2}, map[string][]int{"k": {1, 2}}})
	passes[any](t, nil, "hello", true, 1.5, []any{int64(42), nil, "hello"})
	passes(t, struct{}{}, struct{}{})
	passes[*point](t, nil, &point{3, 4})
	passes(t, time.Second)
}

func TestQueueRefuses(t *testing.T) {
	ctx := t.Context()
	type job struct{ Mu *local.Lock }
	if _, err := shm.NewQueue[[]job]("", 0); err == nil || !strings.Contains(err.Error(), "local.Lock lives in one process; use shm.Lock") {
		t.Errorf("a queue of local locks: %v", err)
	}
	q := newQueue[any](t, 0)
	for _, v := range []any{func() {}, make(chan int), []any{job{}}} {
		if err := q.Put(ctx, v); err == nil || !strings.Contains(err.Error(), "item") {
			t.Errorf("a %T was put: %v", v, err)
		}
	}
	b := newBytes(t, 10)
	defer b.Close()
	if err := newQueue[*shm.Bytes](t, 0).Put(ctx, b); err == nil || !strings.Contains(err.Error(), "task's input") {
		t.Errorf("shared memory was put: %v", err)
	}
	if n := must(q.State(ctx)).Len; n != 0 {
		t.Errorf("%d items are in it", n)
	}

	var zero shm.Queue[int]
	closed := newQueue[int](t, 0)
	closed.Close()
	closed.Close()
	for name, q := range map[string]*shm.Queue[int]{"zero": &zero, "closed": closed} {
		_, err1 := q.Get(ctx)
		_, err2 := q.State(ctx)
		for i, err := range []error{q.Put(ctx, 1), err1, q.TryPut(ctx, 1), q.TaskDone(ctx), q.Join(ctx), q.Shutdown(ctx, tristrand.Drain), err2} {
			if err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s, operation %d: %v", name, i, err)
			}
		}
	}

	ints := newQueue[int](t, 0)
	data := must(cbor.Marshal(ints))
	for _, wrong := range []cbor.Unmarshaler{new(shm.Queue[uint]), new(shm.Queue[string]), new(shm.Lock), new(shm.Value[int]), new(shm.Array[int])} {
		if err := wrong.UnmarshalCBOR(data); err == nil {
			t.Errorf("a queue of ints was taken for a %T", wrong)
		}
	}
}

// TestQueueOfLargeItems fills a queue's bytes: those who wait go on as soon as
// there is room for them.
func TestQueueOfLargeItems(t *testing.T) {
	const ring = 256 << 10
	ctx := adopt(t)
	q := must(shm.NewSmallQueue[[]byte](ring))
	defer q.Close()
	if err := q.Put(ctx, make([]byte, ring)); err == nil || !strings.Contains(err.Error(), "Bytes") {
		t.Errorf("an item that never fits: %v", err)
	}
	if err := q.Put(ctx, make([]byte, ring-100)); err != nil {
		t.Fatal(err)
	}
	is(t, q.TryPut(ctx, make([]byte, 1000)), tristrand.ErrFull, "TryPut into a queue without room")
	const small = 5
	done := make(chan error, small)
	for range small {
		go func() { done <- q.Put(t.Context(), make([]byte, 1000)) }()
	}
	until(t, "all wait for room", func() bool { return must(q.State(ctx)).Putting == small })
	if v, err := q.Get(ctx); err != nil || len(v) != ring-100 {
		t.Fatalf("%d bytes came, %v", len(v), err)
	}
	for i := range small {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("%d of %d found the room that there is", i, small)
		}
	}
}

// TestQueueGetterGivesUpAsItIsWoken has a wake and the end of the ctx of its
// getter come at once: either that one gets the item, or the next one does.
func TestQueueGetterGivesUpAsItIsWoken(t *testing.T) {
	ctx := adopt(t)
	q := newQueue[int](t, 0)
	for round := range 1000 {
		first, give := context.WithCancel(t.Context())
		results := [2]chan error{make(chan error, 1), make(chan error, 1)}
		for i, ctx := range []context.Context{first, t.Context()} {
			go func() {
				_, err := q.Get(ctx)
				results[i] <- err
			}()
			until(t, "it waits", func() bool { return must(q.State(t.Context())).Getting == i+1 })
		}
		go give()
		if err := q.Put(ctx, round); err != nil {
			t.Fatal(err)
		}
		if err := <-results[0]; err == nil {
			if err := q.Put(ctx, round); err != nil { // one for the other
				t.Fatal(err)
			}
		}
		select {
		case err := <-results[1]:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("round %d: an item is there, and a getter waits", round)
		}
	}
}

// An item is what the faults' tests send: a number, and bytes that follow from it.
func makeItem(n uint64) []byte {
	size := int(n*2654435761%997) * int(n%5)
	b := binary.BigEndian.AppendUint64(nil, n)
	for i := range size {
		b = append(b, byte(n)+byte(i))
	}
	return b
}

func itemNumber(b []byte) (uint64, error) {
	if len(b) < 8 {
		return 0, fmt.Errorf("an item of %d bytes", len(b))
	}
	n := binary.BigEndian.Uint64(b)
	if !bytes.Equal(b, makeItem(n)) {
		return n, fmt.Errorf("item %d has been spoilt", n)
	}
	return n, nil
}

// A relay is what passes items on.
type relay struct{ From, To *shm.Queue[[]byte] }

// relayPart passes items on, as fast as it can, until From is shut down.
func relayPart(in []byte, _ *bufio.Scanner, out io.Writer) error {
	var r relay
	if err := cbor.Unmarshal(in, &r); err != nil {
		return err
	}
	fmt.Fprintln(out, "ready")
	for v, err := range r.From.All(context.Background()) {
		if err == nil {
			_, err = itemNumber(v)
		}
		if err == nil {
			err = r.To.Put(context.Background(), v)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// TestQueueKilled kills processes that are in the middle of Get and Put. Each may
// take along the item that it had, and nothing else may be amiss.
func TestQueueKilled(t *testing.T) {
	const kills = 12
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	r := &relay{newQueue[[]byte](t, 64), newQueue[[]byte](t, 64)}
	first := newRelay(t, r)
	putting := make(chan uint64)
	stop := make(chan struct{})
	go func() {
		n := uint64(0)
		defer func() { putting <- n }()
		for ; ; n++ {
			select {
			case <-stop:
				return
			default:
				if err := r.From.Put(ctx, makeItem(n)); err != nil {
					t.Error(err)
					return
				}
			}
		}
	}()
	var got []uint64
	taken := make(chan error)
	go func() {
		for v, err := range r.To.All(ctx) {
			n, itemErr := itemNumber(v)
			if err = errors.Join(err, itemErr); err != nil {
				taken <- err
				return
			}
			got = append(got, n)
		}
		taken <- nil
	}()
	victim := first
	for range kills {
		next := newRelay(t, r)
		time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond) // the moment is to be any
		if err := victim.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		victim.kill.Do(func() { _ = victim.Wait() })
		victim = next
	}
	close(stop)
	put := <-putting
	if err := r.From.Shutdown(ctx, tristrand.Drain); err != nil {
		t.Fatal(err)
	}
	victim.end(false)
	if err := r.To.Shutdown(ctx, tristrand.Drain); err != nil {
		t.Fatal(err)
	}
	if err := <-taken; err != nil {
		t.Fatal(err)
	}
	seen := map[uint64]bool{}
	for _, n := range got {
		if seen[n] || n >= put {
			t.Errorf("item %d of %d came twice or was never put", n, put)
		}
		seen[n] = true
	}
	if lost := int(put) - len(seen); lost < 0 || lost > kills {
		t.Errorf("%d of %d items were lost by %d kills", lost, put, kills)
	}
	t.Logf("%d items, %d lost", put, int(put)-len(seen))
}

func newRelay(t *testing.T, r *relay) *other {
	t.Helper()
	o := start(t, "relay", r)
	o.hear()
	return o
}

// TestQueueWaiterKilled kills processes that wait: the next item goes to others.
func TestQueueWaiterKilled(t *testing.T) {
	ctx := adopt(t)
	r := &relay{newQueue[[]byte](t, 1), newQueue[[]byte](t, 1)}
	waiting := func(getting, putting int) {
		t.Helper()
		until(t, fmt.Sprintf("%d get and %d put", getting, putting), func() bool {
			return must(r.From.State(ctx)).Getting == getting && must(r.To.State(ctx)).Putting == putting
		})
	}
	for round := range 5 {
		dead := newRelay(t, r)
		waiting(1, 0)
		alive := newRelay(t, r)
		waiting(2, 0)
		if round%2 == 0 { // just after it was woken
			if err := r.From.Put(ctx, makeItem(7)); err != nil {
				t.Fatal(err)
			}
		}
		dead.end(true)
		if round%2 == 0 {
			// It may have taken the item along, or passed it on, or died before.
			short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			_, err := r.To.Get(short)
			cancel()
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
		}
		if err := r.From.Put(ctx, makeItem(uint64(round))); err != nil {
			t.Fatal(err)
		}
		v, err := r.To.Get(ctx)
		if n, itemErr := itemNumber(v); err != nil || itemErr != nil || n != uint64(round) && n != 7 {
			t.Fatalf("item %d came, %v, %v", n, err, itemErr)
		}
		waiting(1, 0)
		alive.end(true)
		waiting(0, 0)
		for {
			if _, err := r.To.TryGet(ctx); err != nil {
				break
			}
		}
		for {
			if _, err := r.From.TryGet(ctx); err != nil {
				break
			}
		}
	}
}

// A grave is what a process dies in.
type grave struct {
	Where string
	Queue *shm.Queue[[]byte]
	Value *shm.Value[pair]
}

// diePart stops in the middle of something, to be killed there.
func diePart(in []byte, _ *bufio.Scanner, out io.Writer) error {
	var g grave
	if err := cbor.Unmarshal(in, &g); err != nil {
		return err
	}
	held := func() { fmt.Fprintln(out, "held") }
	switch g.Where {
	case "put":
		return g.Queue.DieInPut(makeItem(99), held)
	case "take":
		return g.Queue.DieInTake(held)
	default:
		return g.Value.DieInStore(held)
	}
}

// TestDataKilledInTheMiddle kills processes that are inside the guard.
func TestDataKilledInTheMiddle(t *testing.T) {
	ctx := adopt(t)
	g := &grave{Queue: newQueue[[]byte](t, 10), Value: must(shm.NewValue("v", pair{1, 2}))}
	defer g.Value.Close()
	if err := g.Queue.Put(ctx, makeItem(1)); err != nil {
		t.Fatal(err)
	}
	for _, g.Where = range []string{"put", "take", "store", "put", "take", "store"} {
		t.Run(g.Where, func(t *testing.T) {
			o := start(t, "die", g)
			o.hear()
			done := make(chan error, 2)
			go func() { done <- g.Queue.Put(t.Context(), makeItem(2)) }()
			go func() {
				_, err := g.Value.Update(t.Context(), func(p pair) (pair, error) {
					if p.B != 2*p.A {
						return p, fmt.Errorf("half a value: %+v", p)
					}
					return pair{p.A + 1, p.B + 2}, nil
				})
				done <- err
			}()
			o.end(true)
			for range 2 {
				select {
				case err := <-done:
					if err != nil {
						t.Fatal(err)
					}
				case <-time.After(30 * time.Second):
					t.Fatal("the guard of a dead process was not opened in 30 s")
				}
			}
			for i, want := range []uint64{1, 2} {
				v, err := g.Queue.Get(ctx)
				if n, itemErr := itemNumber(v); err != nil || itemErr != nil || n != want {
					t.Fatalf("item %d is number %d, %v, %v", i, n, err, itemErr)
				}
			}
			if err := g.Queue.Put(ctx, makeItem(1)); err != nil {
				t.Fatal(err)
			}
			if st := must(g.Queue.State(ctx)); st.Len != 1 {
				t.Errorf("the state is %+v", st)
			}
		})
	}
}
