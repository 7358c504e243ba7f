package shm_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"syscall"
	"testing"
	"unsafe"

	"github.com/fxamacker/cbor/v2"

	"github.com/tristrand/tristrand/internal/portable"
	"github.com/tristrand/tristrand/shm"
	"github.com/tristrand/tristrand/strand"
)

// A sink takes items of 64 bytes, N at a time, and says when it has them.
type sink struct {
	Queue *shm.Queue[[]byte]
	Ints  *shm.Queue[int]
	N     int
}

func sinkPart(in []byte, lines *bufio.Scanner, out io.Writer) error {
	var s sink
	if err := cbor.Unmarshal(in, &s); err != nil {
		return err
	}
	ctx, end := strand.Adopt(context.Background(), "sink")
	defer end()
	fmt.Fprintln(out, "ready")
	for lines.Scan() {
		var n int
		if _, err := fmt.Sscan(lines.Text(), &n); err != nil {
			return err
		}
		for range n {
			if s.Ints != nil {
				if _, err := s.Ints.Get(ctx); err != nil {
					return err
				}
				continue
			}
			if v, err := s.Queue.Get(ctx); err != nil || len(v) != 64 {
				return fmt.Errorf("%d bytes, %w", len(v), err)
			}
		}
		fmt.Fprintln(out, "done")
	}
	return nil
}

// BenchmarkQueueTransport sends items from one process to another: by a queue, and
// by a unix socket that keeps messages apart, a system call for each.
func BenchmarkQueueTransport(b *testing.B) {
	ctx, end := strand.Adopt(context.Background(), "bench")
	defer end()
	item := make([]byte, 64)
	b.Run("by=shm.Queue", func(b *testing.B) {
		q := newQueue[[]byte](b, 1024)
		o := start(b, "sink", &sink{Queue: q})
		o.hear()
		b.ResetTimer()
		o.say(fmt.Sprint(b.N))
		for range b.N {
			if err := q.Put(ctx, item); err != nil {
				b.Fatal(err)
			}
		}
		o.hear()
	})
	b.Run("by=shm.Queue[int]", func(b *testing.B) {
		q := newQueue[int](b, 1024)
		o := start(b, "sink", &sink{Ints: q})
		o.hear()
		b.ResetTimer()
		o.say(fmt.Sprint(b.N))
		for i := range b.N {
			if err := q.Put(ctx, i); err != nil {
				b.Fatal(err)
			}
		}
		o.hear()
	})
	b.Run("by=socket", func(b *testing.B) {
		fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			b.Fatal(err)
		}
		defer syscall.Close(fds[0])
		o := startWith(b, "drain", struct{}{}, os.NewFile(uintptr(fds[1]), "socket"))
		o.hear()
		b.ResetTimer()
		o.say(fmt.Sprint(b.N))
		for range b.N {
			if _, err := syscall.Write(fds[0], item); err != nil {
				b.Fatal(err)
			}
		}
		o.hear()
	})
}

// drainPart reads messages from the socket that is descriptor 4, after the input.
func drainPart(_ []byte, lines *bufio.Scanner, out io.Writer) error {
	const fd = 4
	buf := make([]byte, 64)
	fmt.Fprintln(out, "ready")
	for lines.Scan() {
		var n int
		if _, err := fmt.Sscan(lines.Text(), &n); err != nil {
			return err
		}
		for range n {
			if k, err := syscall.Read(fd, buf); err != nil || k != len(buf) {
				return fmt.Errorf("%d bytes, %w", k, err)
			}
		}
		fmt.Fprintln(out, "done")
	}
	return nil
}

// A loop takes Bytes, and gives back others.
type bytesLoop struct{ In, Out *shm.Bytes }

const bulk = 64 << 20

// echoPart reads all of what comes and writes all of an answer, through shared
// memory or the socket that is descriptor 4.
func echoPart(in []byte, lines *bufio.Scanner, out io.Writer) error {
	var l bytesLoop
	if err := cbor.Unmarshal(in, &l); err != nil {
		return err
	}
	defer portable.Return(&l)
	fmt.Fprintln(out, "ready")
	var buf []byte
	for lines.Scan() {
		if l.In != nil {
			answer(l.Out.View(), checksum(l.In.View()))
		} else {
			if buf == nil {
				buf = make([]byte, bulk)
			}
			if err := readAll(4, buf); err != nil {
				return err
			}
			answer(buf, checksum(buf))
			if err := writeAll(4, buf); err != nil {
				return err
			}
		}
		fmt.Fprintln(out, "done")
	}
	return nil
}

// checksum reads every word of b.
func checksum(b []byte) (sum uint64) {
	for _, w := range words(b) {
		sum += w
	}
	return sum
}

// answer writes every word of b.
func answer(b []byte, v uint64) {
	all := words(b)
	for i := range all {
		all[i] = v + uint64(i)
	}
}

func words(b []byte) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/8)
}

func readAll(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := syscall.Read(fd, b)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func writeAll(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := syscall.Write(fd, b)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// BenchmarkBulk sends 64 MiB to another process and gets 64 MiB back, all of it
// written and read on both sides.
func BenchmarkBulk(b *testing.B) {
	b.Run("by=shm.Bytes", func(b *testing.B) {
		l := &bytesLoop{must(shm.NewBytes(bulk)), must(shm.NewBytes(bulk))}
		defer portable.Return(l)
		o := start(b, "echo", l)
		o.hear()
		sum := uint64(0)
		b.ResetTimer()
		for range b.N {
			answer(l.In.View(), sum)
			o.say("go")
			o.hear()
			sum = checksum(l.Out.View())
		}
	})
	b.Run("by=socket", func(b *testing.B) {
		fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			b.Fatal(err)
		}
		defer syscall.Close(fds[0])
		o := startWith(b, "echo", &bytesLoop{}, os.NewFile(uintptr(fds[1]), "socket"))
		o.hear()
		buf := make([]byte, bulk)
		sum := uint64(0)
		b.ResetTimer()
		for range b.N {
			answer(buf, sum)
			o.say("go")
			if err := writeAll(fds[0], buf); err != nil {
				b.Fatal(err)
			}
			if err := readAll(fds[0], buf); err != nil {
				b.Fatal(err)
			}
			sum = checksum(buf)
			o.hear()
		}
	})
}

func BenchmarkArrayAndValue(b *testing.B) {
	ctx, end := strand.Adopt(context.Background(), "bench")
	defer end()
	a := must(shm.NewArray[int64](4))
	defer a.Close()
	v := must(shm.NewValue("bench", int64(0)))
	defer v.Close()
	b.Run("op=Array.Set+At", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if a.Set(1, 7) != nil {
				b.Fatal()
			}
			if _, err := a.At(1); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("op=Value.Load", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Load(ctx); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("op=Value.Update", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Update(ctx, func(n int64) (int64, error) { return n + 1, nil }); err != nil {
				b.Fatal(err)
			}
		}
	})
}
