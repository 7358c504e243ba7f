package shm_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/fxamacker/cbor/v2"

	"github.com/tristrand/tristrand/internal/futex"
	"github.com/tristrand/tristrand/shm"
	"github.com/tristrand/tristrand/strand"
)

// baton hands locks between two processes: each step takes the next of three
// locks, which the other has, and then gives up the last one, which the other
// waits for. Nobody can overtake. It begins with lock at held.
func (k *kit) baton(ctx context.Context, at, steps int) error {
	locks := [...]*shm.Lock{k.A, k.B, k.C}
	for range steps {
		next := (at + 1) % 3
		if err := locks[next].Acquire(ctx); err != nil {
			return err
		}
		if err := locks[at].Release(ctx); err != nil {
			return err
		}
		at = next
	}
	return locks[at].Release(ctx)
}

func (k *kit) word(i int) *atomic.Uint32 {
	return (*atomic.Uint32)(unsafe.Pointer(&k.Memory.View()[4*i]))
}

// pingPong wakes the other and sleeps until it is woken, by nothing but futexes.
func (k *kit) pingPong(me, steps int) {
	mine, other := k.word(1+me), k.word(2-me)
	wait := func() {
		for mine.Load() == 0 {
			futex.Wait((*uint32)(unsafe.Pointer(mine)), 0, 0)
		}
		mine.Store(0)
	}
	for range steps {
		if me == 1 {
			wait()
		}
		other.Store(1)
		futex.Wake((*uint32)(unsafe.Pointer(other)), 1)
		if me == 0 {
			wait()
		}
	}
}

// handPart is the other end of both.
func handPart(in []byte, lines *bufio.Scanner, out io.Writer) error {
	var k kit
	if err := cbor.Unmarshal(in, &k); err != nil {
		return err
	}
	ctx, end := strand.Adopt(context.Background(), "other end")
	defer end()
	for lines.Scan() {
		var n int
		var what string
		fmt.Sscan(lines.Text(), &what, &n)
		switch what {
		case "futex":
			fmt.Fprintln(out, "ready")
			k.pingPong(1, n)
		case "lock":
			if err := k.B.Acquire(ctx); err != nil {
				return err
			}
			fmt.Fprintln(out, "ready")
			if err := k.baton(ctx, 1, n); err != nil {
				return err
			}
		}
		fmt.Fprintln(out, "done")
	}
	return nil
}

func BenchmarkHandOver(b *testing.B) {
	k := newKit(b)
	ready := func(b *testing.B, o *other, what string) {
		o.say(fmt.Sprint(what, " ", b.N))
		if got := o.hear(); got != "ready" {
			b.Fatal(got)
		}
	}
	b.Run("by=futex", func(b *testing.B) {
		o := start(b, "hand", k)
		ready(b, o, "futex")
		b.ResetTimer()
		k.pingPong(0, b.N)
		o.hear()
	})
	b.Run("by=lock", func(b *testing.B) {
		ctx, end := strand.Adopt(context.Background(), "one end")
		defer end()
		o := start(b, "hand", k)
		if err := k.A.Acquire(ctx); err != nil {
			b.Fatal(err)
		}
		ready(b, o, "lock")
		b.ResetTimer()
		if err := k.baton(ctx, 0, b.N); err != nil {
			b.Fatal(err)
		}
		o.hear()
	})
}

// A thousand goroutines that wait take a handful of threads, and all are woken.
func TestAThousandWaitersTakeFewThreads(t *testing.T) {
	ctx, k := adopt(t), newKit(t)
	a := newActor(t, k)
	a.done("ann acquire a")
	before := threads(t)
	done := make(chan error, 1000)
	for i := range cap(done) {
		strand.Go(ctx, strand.Options{Kind: strand.Thread, Name: fmt.Sprint("waiter ", i)}, func(ctx context.Context) {
			err := k.A.Acquire(ctx)
			if err == nil {
				err = k.A.Release(ctx)
			}
			done <- err
		})
	}
	until(t, "all wait", func() bool { return locks(ctx, t, k.A).Waiting == cap(done) })
	if now := threads(t); now-before > 8 {
		t.Errorf("%d threads were there before, and %d are", before, now)
	}
	a.done("ann release a")
	for range cap(done) {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if now := threads(t); now-before > 8 {
		t.Errorf("%d threads were there before, and %d are after all", before, now)
	}
	runtime.KeepAlive(k)
}
