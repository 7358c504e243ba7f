package rows

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/bench/internal/measure"
	"github.com/tristrand/tristrand/internal/ring"
	"github.com/tristrand/tristrand/internal/wire"
	"github.com/tristrand/tristrand/process"
	"github.com/tristrand/tristrand/shm"
)

const (
	ringBytes = 64 << 10
	ringEnd   = 1 << 63 // in place of a job's number: there is none any more
)

// rings are the memory of two rings between two processes, one each way.
type rings struct{ There, Back *shm.Bytes }

// ringServe adds one to each integer that comes, and does nothing else that a pool
// does.
var ringServe = tristrand.Define("bench.ring", func(_ context.Context, r rings) (struct{}, error) {
	in, out := ring.NewConsumer(r.There.View()), ring.NewProducer(r.Back.View())
	var buf bytes.Buffer
	for {
		frame, ok, err := in.Next()
		if err != nil {
			return struct{}{}, err
		}
		if !ok {
			in.Wait(0)
			continue
		}
		var x int
		seq := binary.LittleEndian.Uint64(frame)
		if seq == ringEnd {
			return struct{}{}, nil
		}
		if err := wire.Decode(frame[8:], &x); err != nil {
			return struct{}{}, err
		}
		in.Advance()
		if err := putFrame(out, &buf, seq, x+1); err != nil {
			return struct{}{}, err
		}
		out.Wake()
	}
})

// putFrame waits for room.
func putFrame(p *ring.Producer, buf *bytes.Buffer, seq uint64, x int) error {
	for {
		ok, err := tryFrame(p, buf, seq, x)
		if ok || err != nil {
			return err
		}
		p.WaitRoom(0)
	}
}

func tryFrame(p *ring.Producer, buf *bytes.Buffer, seq uint64, x int) (bool, error) {
	buf.Reset()
	if err := wire.Encode(buf, &x); err != nil {
		return false, err
	}
	room, err := p.Reserve(8 + buf.Len())
	if err != nil || room == nil {
		return false, err
	}
	binary.LittleEndian.PutUint64(room, seq)
	copy(room[8:], buf.Bytes())
	p.Commit(8 + buf.Len())
	return true, nil
}

// A ringPeer is a process behind two rings.
type ringPeer struct {
	mem  rings
	proc *process.Process
	out  *ring.Producer
	in   *ring.Consumer
	left int // answers to come
}

func newRingPeer(ctx context.Context) (*ringPeer, error) {
	there, err1 := shm.NewBytes(ring.Bytes(ringBytes))
	back, err2 := shm.NewBytes(ring.Bytes(ringBytes))
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	p := &ringPeer{mem: rings{there, back}}
	clear(there.View())
	clear(back.View())
	p.out, p.in = ring.NewProducer(there.View()), ring.NewConsumer(back.View())
	var err error
	p.proc, err = process.Start(ctx, ringServe.Bind(p.mem))
	return p, err
}

func (p *ringPeer) close(ctx context.Context) error {
	var buf bytes.Buffer
	err := putFrame(p.out, &buf, ringEnd, 0)
	p.out.Wake()
	return errors.Join(err, p.proc.Join(ctx), p.mem.There.Close(), p.mem.Back.Close())
}

// take reads one answer, and waits for it if it is told to.
func (p *ringPeer) take(wait bool, want func(seq uint64, x int) error) (bool, error) {
	for {
		frame, ok, err := p.in.Next()
		switch {
		case err != nil || !ok && !wait:
			return false, err
		case !ok:
			p.in.Wait(0)
			continue
		}
		var x int
		if err := wire.Decode(frame[8:], &x); err != nil {
			return false, err
		}
		seq := binary.LittleEndian.Uint64(frame)
		p.in.Advance()
		p.left--
		return true, want(seq, x)
	}
}

// ringLoop is the least that bulk costs: as many processes behind bare rings, the same
// frames, one goroutine that writes all and reads all.
func ringLoop(o Options) measure.Impl {
	return measure.Impl{Name: "ring+CBOR", Open: func(ctx context.Context) (measure.Trial, error) {
		if err := needsSelf(o); err != nil {
			return measure.Trial{}, err
		}
		var peers [procWorkers]*ringPeer
		for i := range peers {
			var err error
			if peers[i], err = newRingPeer(ctx); err != nil {
				return measure.Trial{}, err
			}
		}
		return measure.Trial{
			Run: measure.Time(func(n int) error {
				for i := 0; i < n; i += procBatch {
					if err := ringBatch(&peers, i, min(i+procBatch, n)); err != nil {
						return err
					}
				}
				return nil
			}),
			Close: func() error {
				var errs [procWorkers]error
				for i, p := range peers {
					errs[i] = p.close(ctx)
				}
				return errors.Join(errs[:]...)
			},
		}, nil
	}}
}

func ringBatch(peers *[procWorkers]*ringPeer, from, to int) error {
	want := func(seq uint64, x int) error {
		if x != int(seq)+1 {
			return fmt.Errorf("job %d: %w", seq, wrong(x, seq+1))
		}
		return nil
	}
	var buf bytes.Buffer
	for i := from; i < to; i++ {
		p := peers[i%procWorkers]
		for {
			ok, err := tryFrame(p.out, &buf, uint64(i), i)
			if err != nil {
				return err
			}
			p.out.Wake()
			if ok {
				break
			}
			if _, err := p.take(true, want); err != nil {
				return err
			}
		}
		p.left++
	}
	for _, p := range peers {
		for p.left > 0 {
			if _, err := p.take(true, want); err != nil {
				return err
			}
		}
	}
	return nil
}
