package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tristrand/tristrand/internal/futex"
	"github.com/tristrand/tristrand/internal/ring"
	"github.com/tristrand/tristrand/internal/segment"
	"github.com/tristrand/tristrand/internal/wire"
)

// Lies are what a worker can do to its pool that no honest one does. They are called in
// a worker, by a job.
var Lies = map[string]func(lane []byte, post int) error{
	"the tail of the results": func(lane []byte, _ int) error {
		word(resultRing(lane), 0).Store(1 << 60)
		return nil
	},
	"a tail that is a little wrong": func(lane []byte, _ int) error {
		word(resultRing(lane), 0).Add(4)
		return nil
	},
	"the head of the jobs": func(lane []byte, _ int) error {
		word(jobRing(lane), 64).Store(1 << 60)
		return nil
	},
	"a length": func(lane []byte, _ int) error {
		results := resultRing(lane)
		tail := word(results, 0)
		at := tail.Load() % laneData
		*(*uint32)(unsafe.Pointer(&results[ring.HeaderBytes+int(at)])) = 1 << 31
		tail.Add(64)
		return nil
	},
	"a result for a job that it does not have": func(lane []byte, _ int) error {
		return answer(lane, resultFrame{slot: 3, seq: 1 << 40, body: []byte{1}})
	},
	"a result for a slot that there is not": func(lane []byte, _ int) error {
		return answer(lane, resultFrame{slot: 60000, seq: 1})
	},
	"a result that is none": func(lane []byte, _ int) error {
		p := ring.NewProducer(resultRing(lane))
		room, err := p.Reserve(3)
		if room == nil {
			return errors.Join(err, errors.New("no room"))
		}
		p.Commit(copy(room, "abc"))
		p.Wake()
		return nil
	},
	"zeros everywhere": func(lane []byte, _ int) error {
		clear(lane)
		return nil
	},
	"ones everywhere": func(lane []byte, _ int) error {
		for i := range lane {
			lane[i] = 0xff
		}
		return nil
	},
	"the lane is cut": func(lane []byte, _ int) error {
		for fd := range 200 {
			name, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
			if !strings.HasPrefix(name, "/memfd:") {
				continue
			}
			for _, size := range []int64{0, 4096, int64(len(lane)) / 2, 1 << 30} {
				if err := unix.Ftruncate(fd, size); !errors.Is(err, unix.EPERM) {
					return fmt.Errorf("%s is cut to %d bytes: %w", name, size, err)
				}
			}
		}
		return nil
	},
	"a pipe for a segment": func(_ []byte, post int) error {
		r, _, err := os.Pipe()
		if err != nil {
			return err
		}
		return tell(post, note{Op: noteSegment, Key: key()}, int(r.Fd()))
	},
	"memory that can be cut": func(_ []byte, post int) error {
		fd, err := unix.MemfdCreate("a lie", unix.MFD_ALLOW_SEALING)
		if err == nil {
			err = unix.Ftruncate(fd, 1<<20)
		}
		return errors.Join(err, tell(post, note{Op: noteSegment, Key: key()}, fd))
	},
	"a segment without its descriptor": func(_ []byte, post int) error {
		return tell(post, note{Op: noteSegment, Key: key()}, -1)
	},
	"a key that is too short": func(_ []byte, post int) error {
		return tell(post, note{Op: noteForget, Key: []byte{1}}, -1)
	},
	"a note of no kind": func(_ []byte, post int) error { return tell(post, note{Op: 99}, -1) },
	"a note for workers": func(_ []byte, post int) error {
		return tell(post, note{Op: noteStop}, -1)
	},
	"a note that is none": func(_ []byte, post int) error {
		return unix.Sendmsg(post, []byte("this is no note"), nil, nil, 0)
	},
	"its Init has failed": func(_ []byte, post int) error {
		return tell(post, note{Op: noteHello, Fault: &remoteFault{Text: "a lie"}}, -1)
	},
	"too much memory": func(_ []byte, post int) error { return tell(post, note{Op: noteMemory, N: 1 << 60}, -1) },
	"files without end": func(_ []byte, post int) error {
		for range 2 * maxFiles {
			if err := tell(post, note{Op: noteFile, Key: key()}, 0); err != nil {
				return nil // the pool has had enough
			}
		}
		return nil
	},
	"no connection": func(_ []byte, post int) error { return unix.Shutdown(post, unix.SHUT_RDWR) },
	"a mark that it has not reached": func(lane []byte, post int) error {
		return tell(post, note{Op: noteMark, Seq: 1 << 63}, -1)
	},
}

// consumerSleeps is where a ring has the word that its reader sleeps on.
const consumerSleeps = 128

// Lie tells one of the lies in a worker of the pool with that name.
func Lie(pool, way string) error {
	lane, err := laneOf(pool)
	if err != nil {
		return err
	}
	for fd := 3; fd < 100; fd++ {
		if kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err == nil && kind == unix.SOCK_SEQPACKET {
			err := Lies[way](lane, fd)
			futex.Wake((*uint32)(unsafe.Pointer(&resultRing(lane)[consumerSleeps])), 1)
			return err
		}
	}
	return errors.New("there is no socket")
}

// Answer writes the result of the job that runs in a worker of the pool.
func Answer(pool string, n int) error {
	lane, err := laneOf(pool)
	if err != nil {
		return err
	}
	var buf bytes.Buffer
	if err := wire.Encode(&buf, &n); err != nil {
		return err
	}
	for slot := range slots {
		if claim := claimAt(lane, slot).Load(); claim&3 == claimTaken {
			return answer(lane, resultFrame{slot: uint16(slot), seq: uint64(claim >> 2), body: buf.Bytes()})
		}
	}
	return errors.New("no job runs")
}

// Scribble changes what is in the ring of results until stop is closed, as fast as it
// can, but for the words of the ring.
func Scribble(pool string, stop <-chan struct{}) error {
	lane, err := laneOf(pool)
	if err != nil {
		return err
	}
	data := resultRing(lane)[ring.HeaderBytes:]
	go func() {
		for i := uint32(1); ; i = i*1664525 + 1013904223 {
			select {
			case <-stop:
				return
			default:
				data[int(i>>8)%len(data)] ^= byte(i >> 24)
			}
		}
	}()
	return nil
}

// laneOf finds the lane in the memory of this process.
func laneOf(pool string) ([]byte, error) {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(maps)) {
		var from, to uintptr
		if strings.Contains(line, "/memfd:"+pool+"-") {
			if _, err := fmt.Sscanf(line, "%x-%x", &from, &to); err == nil && int(to-from) >= laneBytes() {
				return unsafe.Slice(*(**byte)(unsafe.Pointer(&from)), laneBytes()), nil
			}
		}
	}
	return nil, errors.New("there is no lane")
}

func word(mem []byte, at int) *atomic.Uint64 { return (*atomic.Uint64)(unsafe.Pointer(&mem[at])) }

func key() []byte {
	k := segment.NewKey()
	return k[:]
}

// answer writes a result of its own into the lane.
func answer(lane []byte, f resultFrame) error {
	p := ring.NewProducer(resultRing(lane))
	room, err := p.Reserve(f.size())
	if room == nil {
		return errors.Join(err, errors.New("no room"))
	}
	f.write(room)
	p.Commit(f.size())
	p.Wake()
	return nil
}

func tell(post int, n note, fd int) error {
	var buf bytes.Buffer
	if err := n.encode(&buf); err != nil {
		return err
	}
	var rights []byte
	if fd >= 0 {
		rights = unix.UnixRights(fd)
	}
	for {
		err := unix.Sendmsg(post, buf.Bytes(), rights, nil, 0)
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.ETOOMANYREFS) {
			return err
		}
	}
}
