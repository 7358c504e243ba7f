package ring

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/tristrand/tristrand/internal/futex"
	"github.com/tristrand/tristrand/internal/segment"
)

const testData = 4096

func memory(t testing.TB, data int) []byte {
	t.Helper()
	raw := make([]byte, Bytes(data)+64)
	off := 0
	for uintptr(unsafe.Pointer(&raw[off]))%64 != 0 {
		off++
	}
	return raw[off : off+Bytes(data)]
}

// mapped is memory that is not Go's own, as what processes share is not: the race
// detector treats the two differently.
func mapped(t testing.TB, data int) []byte {
	t.Helper()
	s, err := segment.New("ring test", Bytes(data))
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(s.Release)
	return s.Bytes()[:Bytes(data)]
}

func put(t testing.TB, p *Producer, frame []byte) bool {
	t.Helper()
	room, err := p.Reserve(len(frame))
	if err != nil {
		t.Fatal(err)
	}
	if room == nil {
		return false
	}
	copy(room, frame)
	p.Commit(len(frame))
	p.Wake()
	return true
}

func TestFramesArriveInOrder(t *testing.T) {
	mem := memory(t, testData)
	p, c := NewProducer(mem), NewConsumer(mem)
	rng := rand.New(rand.NewPCG(1, 2))
	var sent, got uint64
	for got < 20_000 {
		for range rng.IntN(20) {
			frame := bytes.Repeat([]byte{byte(sent)}, 8+rng.IntN(MaxFrame(testData)-8))
			binary.LittleEndian.PutUint64(frame, sent)
			if !put(t, p, frame) {
				break
			}
			sent++
		}
		for range rng.IntN(20) {
			frame, ok, err := c.Next()
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			if n := binary.LittleEndian.Uint64(frame); n != got || len(frame) > 8 && frame[len(frame)-1] != byte(got) {
				t.Fatalf("frame %d of %d bytes came as number %d", n, len(frame), got)
			}
			c.Advance()
			got++
		}
	}
}

func TestAFullRingHasNoRoom(t *testing.T) {
	mem := memory(t, testData)
	p, c := NewProducer(mem), NewConsumer(mem)
	n := 0
	for put(t, p, make([]byte, MaxFrame(testData))) {
		n++
	}
	if n != 4 {
		t.Errorf("a ring took %d of its longest frames, want 4", n)
	}
	if _, ok, err := c.Next(); !ok || err != nil {
		t.Fatal(ok, err)
	}
	c.Advance()
	if !put(t, p, make([]byte, MaxFrame(testData))) {
		t.Error("there is no room after a frame was taken")
	}
	if _, err := p.Reserve(MaxFrame(testData) + 1); err == nil {
		t.Error("a frame longer than the longest is accepted")
	}
}

// Each of the two waits for the other all the time: a lost wake-up is a hang, which
// the patience makes an error.
func TestNoWakeUpIsLost(t *testing.T) {
	if !futex.Supported {
		t.Skip("this system has no futexes")
	}
	t.Run("own memory", func(t *testing.T) { noWakeUpIsLost(t, memory(t, testData)) })
	t.Run("mapped memory", func(t *testing.T) { noWakeUpIsLost(t, mapped(t, testData)) })
}

func noWakeUpIsLost(t *testing.T, mem []byte) {
	const frames = 200_000
	p, c := NewProducer(mem), NewConsumer(mem)
	const patience = 10 * time.Second
	failed := make(chan string, 1)
	go func() {
		defer close(failed)
		for i := range frames {
			room, _ := p.Reserve(200)
			for began := time.Now(); room == nil; room, _ = p.Reserve(200) {
				if p.WaitRoom(patience); time.Since(began) >= patience {
					failed <- "the producer was not woken"
					return
				}
			}
			binary.LittleEndian.PutUint64(room, uint64(i))
			p.Commit(200)
			p.Wake()
		}
	}()
	for i := range frames {
		frame, ok, err := c.Next()
		for began := time.Now(); !ok && err == nil; frame, ok, err = c.Next() {
			if c.Wait(patience); time.Since(began) >= patience {
				t.Fatal("the consumer was not woken")
			}
		}
		if err != nil || binary.LittleEndian.Uint64(frame) != uint64(i) {
			t.Fatalf("frame %d: %v, %v", i, frame[:8], err)
		}
		c.Advance()
	}
	if why := <-failed; why != "" {
		t.Fatal(why)
	}
}

// When a frame is published and its reader lies down at the same time, one of them must
// see the other.
func TestOneOfThemSeesTheOther(t *testing.T) {
	mem := mapped(t, testData)
	p, c := NewProducer(mem), NewConsumer(mem)
	const rounds = 10_000
	published := make([]bool, rounds) // what the reader has seen of the frame
	asleep := make([]bool, rounds)    // what the producer has seen of the reader
	var at [2]atomic.Int32
	meet := func(i, n int) {
		at[i].Store(int32(n))
		for spins := 0; at[1-i].Load() < int32(n); spins++ {
			if spins > 2000 {
				runtime.Gosched()
			}
		}
	}
	var both sync.WaitGroup
	both.Go(func() {
		for i := range rounds {
			_, _ = p.Reserve(8)
			meet(0, 2*i+1)
			p.Commit(8)
			asleep[i] = p.theirs.Load() == sleeping
			meet(0, 2*i+2)
		}
	})
	both.Go(func() {
		for i := range rounds {
			meet(1, 2*i+1)
			c.sleep(sleeping, func() bool {
				published[i] = c.tail.Load() != c.actual
				meet(1, 2*i+2)
				return true
			}, 0)
			_, _, _ = c.Next()
			c.Advance()
		}
	})
	both.Wait()
	for i := range rounds {
		if !published[i] && !asleep[i] {
			t.Fatalf("in round %d neither has seen the other", i)
		}
	}
}

func TestStopEndsAWait(t *testing.T) {
	mem := memory(t, testData)
	p, c := NewProducer(mem), NewConsumer(mem)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Wait(0)
		for put(t, p, make([]byte, 1000)) {
		}
		p.WaitRoom(0)
	}()
	c.Stop()
	p.Stop()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("Stop did not end the waits")
	}
}

// Whatever the other side writes, reading ends with frames inside the ring or
// ErrCorrupt.
func FuzzConsumer(f *testing.F) {
	good := memory(f, testData)
	p := NewProducer(good)
	put(f, p, []byte("hello"))
	put(f, p, make([]byte, 900))
	f.Add(uint64(16), uint64(0), good[HeaderBytes:])
	f.Add(^uint64(0), uint64(8), []byte{255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, tail, head uint64, data []byte) {
		mem := memory(t, testData)
		copy(mem[HeaderBytes:], data)
		binary.NativeEndian.PutUint64(mem[tailAt:], tail)
		binary.NativeEndian.PutUint64(mem[headAt:], head&^7)
		c := NewConsumer(mem)
		c.cached = c.actual
		for range testData {
			frame, ok, err := c.Next()
			if err != nil {
				if !errors.Is(err, ErrCorrupt) {
					t.Fatal(err)
				}
				return
			}
			if !ok {
				return
			}
			for range frame { // touch it
			}
			c.Advance()
		}
	})
}

func TestAProducerRefusesAHeadThatCannotBe(t *testing.T) {
	mem := memory(t, testData)
	p := NewProducer(mem)
	for put(t, p, make([]byte, 1000)) {
	}
	binary.NativeEndian.PutUint64(mem[headAt:], 1<<40)
	if _, err := p.Reserve(1000); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Reserve returns %v, want ErrCorrupt", err)
	}
}
