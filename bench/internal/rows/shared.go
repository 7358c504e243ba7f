package rows

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"unsafe"

	"github.com/tristrand/tristrand/bench/internal/measure"
	"github.com/tristrand/tristrand/internal/futex"
	"github.com/tristrand/tristrand/internal/parcel"
	"github.com/tristrand/tristrand/internal/segment"
	"github.com/tristrand/tristrand/shm"
	"github.com/tristrand/tristrand/strand"
)

// sharedLocks compares the lock of several processes, which nobody else wants, and
// handed from one process to another.
func sharedLocks(o Options) []measure.Row {
	row := measure.Row{
		Name: "shm-lock", What: "acquire and release a lock in shared memory, uncontended",
		Ours: oursShared(), Floor: syncMutex(),
		Bound: measure.AtMost(2), Allocs: -1,
	}
	rows := against(row, syncMutex())
	row.Bound, row.Allocs = measure.AtMost(0.35), 0
	rows = append(rows, against(row, python("python-mp-lock", "mplock"))...)
	hand := measure.Row{
		Name: "shm-hand", What: "a lock handed to another process that waits for it, and one back",
		Ours: inTwo("shm.Lock", "hand-lock", o, (*baton).locks), Bound: measure.AtMost(2),
	}
	return append(rows, against(hand, inTwo("futex-ping-pong", "hand-futex", o, (*baton).futexes))...)
}

func oursShared() measure.Impl {
	return measure.Impl{Name: "shm.Lock", Open: func(ctx context.Context) (measure.Trial, error) {
		l, err := shm.NewLock("bench")
		if errors.Is(err, shm.ErrUnsupported) {
			return measure.Trial{}, measure.MissingError(err.Error())
		}
		if err != nil {
			return measure.Trial{}, err
		}
		return measure.Trial{Close: l.Close, Run: measure.Time(func(n int) error {
			count := 0
			for range n {
				if err := l.Acquire(ctx); err != nil {
					return err
				}
				count++
				if err := l.Release(ctx); err != nil {
					return err
				}
			}
			return checkCount(count, n)
		})}, nil
	}}
}

// A baton is what two processes hand to each other.
type baton struct {
	Locks  [3]*shm.Lock
	Memory *shm.Bytes
}

func newBaton() (*baton, error) {
	b := new(baton)
	var err error
	for i := range b.Locks {
		if b.Locks[i], err = shm.NewLock(fmt.Sprint("baton ", i)); err != nil {
			return nil, err
		}
	}
	b.Memory, err = shm.NewBytes(4096)
	return b, err
}

// locks takes the next of three locks, which the other process has, and then gives
// up the last one, which the other waits for: nobody can overtake.
func (b *baton) locks(ctx context.Context, side, n int, ready func() error) error {
	at := side
	if err := b.Locks[at].Acquire(ctx); err != nil {
		return err
	}
	if err := ready(); err != nil {
		return err
	}
	for range n {
		next := (at + 1) % 3
		if err := b.Locks[next].Acquire(ctx); err != nil {
			return err
		}
		if err := b.Locks[at].Release(ctx); err != nil {
			return err
		}
		at = next
	}
	return b.Locks[at].Release(ctx)
}

// futexes wakes the other and sleeps until it is woken.
func (b *baton) futexes(_ context.Context, side, n int, ready func() error) error {
	word := func(i int) *uint32 { return (*uint32)(unsafe.Pointer(&b.Memory.View()[64*i])) }
	mine, other := word(side), word(1-side)
	wait := func() {
		for atomic.LoadUint32(mine) == 0 {
			futex.Wait(mine, 0, 0)
		}
		atomic.StoreUint32(mine, 0)
	}
	if err := ready(); err != nil {
		return err
	}
	for range n {
		if side == 1 {
			wait()
		}
		atomic.StoreUint32(other, 1)
		futex.Wake(other, 1)
		if side == 0 {
			wait()
		}
	}
	return nil
}

type handOver func(b *baton, ctx context.Context, side, n int, ready func() error) error

// inTwo makes an impl of which another process does the other side.
func inTwo(name, side string, o Options, hand handOver) measure.Impl {
	return measure.Impl{Name: name, Open: func(ctx context.Context) (measure.Trial, error) {
		if o.Self == "" || !futex.Supported {
			return measure.Trial{}, measure.MissingError("there is no second process here")
		}
		b, err := newBaton()
		if err != nil {
			return measure.Trial{}, err
		}
		cmd, in, out, err := b.partner(o.Self, side)
		if err != nil {
			return measure.Trial{}, err
		}
		said := func(want string) error {
			if !out.Scan() || out.Text() != want {
				return fmt.Errorf("the other process said %q, want %q", out.Text(), want)
			}
			return nil
		}
		return measure.Trial{
			Run: measure.Time(func(n int) error {
				err := hand(b, ctx, 0, n, func() error {
					if _, err := fmt.Fprintln(in, n); err != nil {
						return err
					}
					return said("ready")
				})
				return errors.Join(err, said("done"))
			}),
			Close: func() error {
				err := in.Close()
				err = errors.Join(err, cmd.Wait(), b.Memory.Close())
				for _, l := range b.Locks {
					err = errors.Join(err, l.Close())
				}
				return err
			},
		}, nil
	}}
}

// sent is the first line that a partner gets.
type sent struct {
	Keys  []segment.Key
	Locks [3][]byte
	Bytes []byte
}

// partner starts the process of the other side.
func (b *baton) partner(self, side string) (*exec.Cmd, io.WriteCloser, *bufio.Scanner, error) {
	var p parcel.Parcel
	defer p.Close()
	var s sent
	var errs [8]error
	for i, l := range b.Locks {
		errs[i] = l.Carry(&p)
		s.Locks[i], errs[i+3] = l.MarshalCBOR()
	}
	errs[6] = b.Memory.Carry(&p)
	s.Bytes, errs[7] = b.Memory.MarshalCBOR()
	cmd := exec.Command(self, "-child", side, "0")
	for _, seg := range p.Segments() {
		s.Keys = append(s.Keys, seg.Key())
		file, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", seg.FD()), os.O_RDWR, 0)
		if err != nil {
			return nil, nil, nil, err
		}
		defer file.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, file)
	}
	cmd.Stderr = os.Stderr
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(append(errs[:], err1, err2)...); err != nil {
		return nil, nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, nil, err
	}
	return cmd, in, bufio.NewScanner(out), json.NewEncoder(in).Encode(s)
}

// handChild is the other side, in a process of its own.
func handChild(ctx context.Context, w io.Writer, side string) error {
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return err
	}
	var s sent
	if err := json.Unmarshal(line, &s); err != nil {
		return err
	}
	for i, key := range s.Keys {
		if _, err := segment.Adopt(key, 3+i); err != nil {
			return err
		}
	}
	b := &baton{Memory: new(shm.Bytes)}
	if err := b.Memory.UnmarshalCBOR(s.Bytes); err != nil {
		return err
	}
	for i := range b.Locks {
		b.Locks[i] = new(shm.Lock)
		if err := b.Locks[i].UnmarshalCBOR(s.Locks[i]); err != nil {
			return err
		}
	}
	hand := (*baton).locks
	if strings.HasSuffix(side, "futex") {
		hand = (*baton).futexes
	}
	ctx, leave := strand.Adopt(ctx, "the other side")
	defer leave()
	for {
		var n int
		if _, err := fmt.Fscanln(in, &n); err != nil {
			return nil // its end of file
		}
		ready := func() error { _, err := fmt.Fprintln(w, "ready"); return err }
		if err := hand(b, ctx, 1, n, ready); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(w, "done"); err != nil {
			return err
		}
	}
}
