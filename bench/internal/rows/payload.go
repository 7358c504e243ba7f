package rows

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"unsafe"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/bench/internal/measure"
	"github.com/tristrand/tristrand/process"
	"github.com/tristrand/tristrand/shm"
)

// payloadBytes go to another process and come back. Both sides read all of what comes
// and write all of what goes: we a pattern, the other side its complement.
const payloadBytes = 64 << 20

// payloads compares large inputs and outputs.
func payloads(o Options) []measure.Row {
	what := fmt.Sprintf("%d MiB written, sent, read, and as much back", payloadBytes>>20)
	plain := measure.Row{Name: "payload-bytes", What: what + ", as []byte", Ours: onWarm(o, "[]byte", asBytes)}
	rows := bounded(plain, peerBounds{
		{socketPayload(o, false), measure.AtLeast(1.8)}, {pythonPayload(), measure.Bound{}},
	})
	borrowed := measure.Row{Name: "payload-shm", What: what + ", as shm.Bytes borrowed on both sides", Ours: onWarm(o, "shm.Bytes", asShared)}
	rows = append(rows, bounded(borrowed, peerBounds{
		{socketPayload(o, false), measure.AtLeast(3)}, {pythonPayload(), measure.AtLeast(10)},
	})...)
	cold := measure.Row{Name: "payload-cold", What: what + ", as []byte, for the first time", Ours: onCold(o)}
	return append(rows, against(cold, socketPayload(o, true))...)
}

func pythonPayload() measure.Impl { return pythonProcess("python-pipe", "payload") }

// fill writes all of b.
func fill(b []byte, with byte) {
	w, all := words(b), uint64(with)*0x0101010101010101
	for i := range w {
		w[i] = all
	}
}

// complement writes into out what is not in in, which it reads; they may be the same.
func complement(out, in []byte) {
	o, i := words(out), words(in)
	for k, w := range i {
		o[k] = ^w
	}
}

// verify reads all of b.
func verify(b []byte, want byte) error {
	all := uint64(want) * 0x0101010101010101
	var differ uint64
	for _, w := range words(b) {
		differ |= w ^ all
	}
	if differ != 0 {
		return errors.New("wrong result: not all bytes are as they should be")
	}
	return nil
}

func words(b []byte) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(&b[0])), len(b)/8)
}

var complementBytes = tristrand.Define("bench.complement", func(_ context.Context, b []byte) ([]byte, error) {
	complement(b, b)
	return b, nil
})

// A sharedPayload is sent by its place.
type sharedPayload struct{ Data *shm.Bytes }

var complementShared = tristrand.Define("bench.complement-shared", func(_ context.Context, in sharedPayload) (sharedPayload, error) {
	out, err := shm.NewBytes(in.Data.Len())
	if err == nil {
		complement(out.View(), in.Data.View())
	}
	return sharedPayload{out}, err
})

// asBytes returns the work of one payload, whose buffer is used again.
func asBytes(ctx context.Context, p *process.Pool) func(i int) error {
	in := make([]byte, payloadBytes)
	return func(i int) error {
		fill(in, byte(i))
		out, err := complementBytes.Submit(ctx, p, in).Result(ctx)
		if err != nil {
			return err
		}
		return verify(out, ^byte(i))
	}
}

func asShared(ctx context.Context, p *process.Pool) func(i int) error {
	return func(i int) error {
		in, err := shm.NewBytes(payloadBytes)
		if err != nil {
			return err
		}
		fill(in.View(), byte(i))
		out, err := complementShared.Submit(ctx, p, sharedPayload{in}).Result(ctx)
		if err != nil {
			return errors.Join(err, in.Close())
		}
		err = verify(out.Data.View(), ^byte(i))
		return errors.Join(err, in.Close(), out.Data.Close())
	}
}

func repeat(n int, one func(i int) error) error {
	for i := range n {
		if err := one(i); err != nil {
			return err
		}
	}
	return nil
}

// onWarm makes an impl of payloads to one worker, which has had some.
func onWarm(o Options, name string, payload func(context.Context, *process.Pool) func(i int) error) measure.Impl {
	return measure.Impl{Name: name, Open: func(ctx context.Context) (measure.Trial, error) {
		if err := needsSelf(o); err != nil {
			return measure.Trial{}, err
		}
		p := &process.Pool{Workers: 1}
		one := payload(ctx, p)
		return measure.Trial{
			Run:   measure.Time(func(n int) error { return repeat(n, one) }),
			Close: func() error { return p.Close(ctx) },
		}, repeat(2, one)
	}}
}

// onCold is the first payload of a worker that is ready.
func onCold(o Options) measure.Impl {
	return measure.Impl{Name: "[]byte", N: 1, Open: func(ctx context.Context) (measure.Trial, error) {
		if err := needsSelf(o); err != nil {
			return measure.Trial{}, err
		}
		p := &process.Pool{Workers: 1}
		one := asBytes(ctx, p)
		return measure.Trial{
			Run:   measure.Time(func(n int) error { return repeat(n, one) }),
			Close: func() error { return p.Close(ctx) },
		}, p.Start(ctx)
	}}
}

// socketPayload sends through a Unix socket and reads what comes back.
func socketPayload(o Options, cold bool) measure.Impl {
	impl := measure.Impl{Name: "unix-socket", Open: func(ctx context.Context) (measure.Trial, error) {
		f, err := dialled(ctx, o, "payload")
		if err != nil {
			return measure.Trial{}, err
		}
		b := make([]byte, payloadBytes)
		one := func(i int) error {
			fill(b, byte(i))
			if _, err := f.conn.Write(b); err != nil {
				return err
			}
			if _, err := io.ReadFull(f.conn, b); err != nil {
				return err
			}
			return verify(b, ^byte(i))
		}
		if !cold {
			err = repeat(2, one)
		}
		return measure.Trial{Run: measure.Time(func(n int) error { return repeat(n, one) }), Close: f.close}, err
	}}
	if cold {
		impl.N = 1
	}
	return impl
}

func payloadEcho(c net.Conn) error {
	b := make([]byte, payloadBytes)
	for {
		if _, err := io.ReadFull(c, b); err != nil {
			return endOfFile(err)
		}
		complement(b, b)
		if _, err := c.Write(b); err != nil {
			return err
		}
	}
}
