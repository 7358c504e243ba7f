package shm_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/tristrand/tristrand/internal/segment"
	"github.com/tristrand/tristrand/shm"
	"github.com/tristrand/tristrand/strand"
)

// More strands than there are seats use a lock and stay; others still can.
func TestMoreStrandsThanSeats(t *testing.T) {
	ctx, k := adopt(t), newKit(t)
	const strands = 6000
	stay := make(chan struct{})
	errs := make(chan error, strands)
	count := 0
	for i := range strands {
		strand.Go(ctx, strand.Options{Kind: strand.Thread, Name: fmt.Sprint("many ", i)}, func(ctx context.Context) {
			err := k.A.Acquire(ctx)
			if err == nil {
				count++
				err = k.A.Release(ctx)
			}
			errs <- err
			<-stay
		})
	}
	for range strands {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	if count != strands {
		t.Errorf("counted %d of %d", count, strands)
	}
	a := newActor(t, k)
	a.done("ann acquire a")
	a.done("ann release a")
	close(stay)
	a.murder()
	if err := k.A.Acquire(ctx); err != nil { // whoever is told of a death watches
		t.Fatal(err)
	}
	// Once they have ended nobody looks at their seats any more.
	until(t, "their seats are forgotten", func() bool {
		is(t, func() error {
			ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
			defer cancel()
			return k.Event.Wait(ctx)
		}(), context.DeadlineExceeded, "Wait")
		return k.A.Seats() < 100
	})
}

// letGoPart decodes the kit, uses it and lets it go, several times.
func letGoPart(in []byte, _ *bufio.Scanner, out io.Writer) error {
	ctx, end := strand.Adopt(context.Background(), "lets go")
	defer end()
	for i := range 5 {
		if err := useOnce(ctx, in); err != nil {
			return fmt.Errorf("time %d: %w", i, err)
		}
		for began := time.Now(); shm.Arenas() > 0; time.Sleep(time.Millisecond) {
			if runtime.GC(); time.Since(began) > 20*time.Second {
				return errors.New("the memory stays mapped")
			}
		}
	}
	_, err := fmt.Fprintln(out, "done")
	return err
}

func useOnce(ctx context.Context, in []byte) error {
	var k kit
	if err := cbor.Unmarshal(in, &k); err != nil {
		return err
	}
	defer runtime.KeepAlive(&k)
	short, cancel := context.WithTimeout(ctx, 2*time.Millisecond)
	defer cancel()
	if err := k.Event.Wait(short); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return errors.Join(k.A.Acquire(ctx), k.A.Release(ctx), k.Sem.Acquire(ctx), k.Sem.Release(ctx, 1), k.Cond.Locker().Recover(ctx))
}

// A process that has let go of all objects of another has its memory no more, and
// can get them again. A lock that it held then is left as by a dead one.
func TestMemoryIsUnmappedWhenNothingRefersToIt(t *testing.T) {
	ctx, k := adopt(t), newKit(t)
	o := start(t, "let go", k)
	taken := make(chan error, 1)
	go func() {
		taken <- func() error { // the lock that it leaves each time
			for {
				if err := k.R.Recover(ctx); err != nil {
					return err
				}
				if err := k.R.Release(ctx); err != nil {
					return err
				}
				if st, err := k.R.State(ctx); err != nil || st.Waiting < 0 {
					return err
				}
				if k.word(0).Load() == 1 {
					return nil
				}
				time.Sleep(time.Millisecond)
			}
		}()
	}()
	if got := o.hear(); got != "done" {
		t.Error(got)
	}
	o.end(false)
	k.word(0).Store(1)
	if err := <-taken; err != nil {
		t.Error(err)
	}
	if st := must(k.Sem.State(ctx)); st.Free != 2 {
		t.Errorf("the semaphore is %+v, want 2 free", st)
	}
}

// Objects are made and closed without end.
func TestObjectsAreMadeAndClosed(t *testing.T) {
	ctx := adopt(t)
	var wg sync.WaitGroup
	before, _ := segment.Count()
	for range 4 {
		wg.Go(func() {
			for range 5000 {
				l, err := shm.NewLock("short")
				if err == nil {
					err = errors.Join(l.Acquire(ctx), l.Release(ctx), l.Close())
				}
				if err != nil {
					t.Error(err)
					return
				}
				if l.Acquire(ctx) == nil || l.Release(ctx) == nil {
					t.Error("a closed lock works")
				}
			}
		})
	}
	wg.Wait()
	if after, _ := segment.Count(); after > before+1 {
		t.Errorf("%d segments were mapped before, and %d are", before, after)
	}
}

func TestZeroValuesSaySo(t *testing.T) {
	ctx := adopt(t)
	_, err := new(shm.Barrier).Wait(ctx)
	for name, err := range map[string]error{
		"lock": new(shm.Lock).Acquire(ctx), "release": new(shm.Lock).Release(ctx), "try": new(shm.RLock).TryAcquire(ctx),
		"semaphore": new(shm.Semaphore).Acquire(ctx), "event": new(shm.Event).Set(ctx),
		"condition": new(shm.Condition).Wait(ctx), "barrier": err,
	} {
		if err == nil {
			t.Errorf("%s: a zero value works", name)
		}
	}
}
