package process

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/child"
	"github.com/tristrand/tristrand/internal/segment"
	"github.com/tristrand/tristrand/internal/wire"
	"github.com/tristrand/tristrand/strand"
)

//go:embed python.py
var pythonWorker string

// A Python is a pool whose workers are Python interpreters, with Python's own library
// alone (3.9 or later). It runs tasks made by [PythonTask], under the same rules as a
// Pool: a worker that dies costs its own job, time limits and cancellation kill, the
// order and the bounds are the same, and the program begins with Init. The zero value is
// ready. Whoever uses one closes it.
//
// Values cross as between Go processes: numbers, text, bytes, None, lists and dicts.
// What the function prints goes to Stdout; an exception is a [*PythonError]. A function
// gets one argument, unless the input is [Args].
type Python struct {
	// Interpreter is the program; "" is python3, looked for in PATH.
	Interpreter string

	// Path are folders that modules are looked for in, before Python's own.
	Path []string

	// Workers, Queue, Name, MaxTasks, MemoryLimitBytes, Grace, JobGrace, Env, Dir,
	// Stdout, Stderr are as for a Pool. An allocation above the memory limit is a
	// MemoryError in the worker.
	Workers, Queue, MaxTasks int
	Name                     string
	MemoryLimitBytes         int64
	Grace, JobGrace          time.Duration
	Env                      []string
	Dir                      string
	Stdout, Stderr           io.Writer

	once sync.Once
	pool Pool
}

var _ tristrand.Executor = (*Python)(nil)

// pythonPrefix begins the names of tasks that are Python functions.
const pythonPrefix = "python:"

// PythonTask makes a task of a Python function, "module:function" or
// "module:Class.method", that a Python pool runs. It belongs in package variables, one
// for each function.
func PythonTask[In, Out any](function string) *tristrand.Task[In, Out] {
	module, name, ok := strings.Cut(function, ":")
	if !ok || module == "" || name == "" {
		panic(fmt.Sprintf("process: PythonTask(%q): the form is module:function", function))
	}
	return tristrand.Define(pythonPrefix+function, func(context.Context, In) (out Out, err error) {
		return out, fmt.Errorf("process: %s is a Python function; run it on a process.Python", function)
	})
}

// Args are the arguments of a Python function.
type Args struct {
	Args   []any
	Kwargs map[string]any
}

// MarshalCBOR encodes the arguments so that the worker can tell them from one value.
func (a Args) MarshalCBOR() ([]byte, error) {
	const tag = 40000
	buf := bytes.NewBuffer([]byte{6<<5 | 25, tag >> 8, tag & 0xff})
	if err := wire.Encode(buf, []any{a.Args, a.Kwargs}); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// UnmarshalCBOR is for Python's side only.
func (a *Args) UnmarshalCBOR([]byte) error {
	return errors.New("process: Args are for Python functions")
}

// A PythonError is an exception that a Python function has raised.
type PythonError struct {
	Type      string // with its module, such as "builtins.ValueError"
	Text      string
	Traceback string
}

func (e *PythonError) Error() string {
	return strings.TrimPrefix(e.Type, "builtins.") + ": " + e.Text
}

func (y *Python) open() *Pool {
	y.once.Do(func() {
		p := &y.pool
		p.Workers, p.Queue, p.MaxTasks, p.Name = y.Workers, y.Queue, y.MaxTasks, y.Name
		p.MemoryLimitBytes, p.Grace, p.JobGrace = y.MemoryLimitBytes, y.Grace, y.JobGrace
		p.Env, p.Dir, p.Stdout, p.Stderr = y.Env, y.Dir, y.Stdout, y.Stderr
		p.python = y
	})
	return &y.pool
}

// Start starts the workers and returns when they are ready; see Pool.Start.
func (y *Python) Start(ctx context.Context) error { return y.open().Start(ctx) }

// Submit is Pool.Submit for Python functions.
func (y *Python) Submit(ctx context.Context, j tristrand.Job) error {
	if err := isPython(j); err != nil {
		return err
	}
	return y.open().Submit(ctx, j)
}

// TrySubmit is Pool.TrySubmit for Python functions.
func (y *Python) TrySubmit(ctx context.Context, j tristrand.Job) error {
	if err := isPython(j); err != nil {
		return err
	}
	return y.open().TrySubmit(ctx, j)
}

func isPython(j tristrand.Job) error {
	if strings.HasPrefix(j.Task(), pythonPrefix) {
		return nil
	}
	return fmt.Errorf("%w: task %q is no Python function; make one by process.PythonTask", tristrand.ErrNotPortable, j.Task())
}

// Close is Pool.Close.
func (y *Python) Close(ctx context.Context) error { return y.open().Close(ctx) }

// Terminate is Pool.Terminate.
func (y *Python) Terminate() error { return y.open().Terminate() }

// Stats is Pool.Stats.
func (y *Python) Stats() tristrand.Stats { return y.open().Stats() }

// String names the pool for errors.
func (y *Python) String() string { return y.open().String() }

// Releasers is Pool.Releasers.
func (y *Python) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) {
	return y.open().Releasers(buf)
}

// spec says how to start a worker.
func (y *Python) spec(s child.Spec) (child.Spec, error) {
	interpreter := y.Interpreter
	if interpreter == "" {
		interpreter = "python3"
	}
	path, err := exec.LookPath(interpreter)
	if err != nil {
		return s, fmt.Errorf("a Python interpreter: %w", err)
	}
	s.Program = path
	s.Args = []string{"-c", pythonWorker}
	s.MemoryLimitBytes = 0 // the worker sees to it itself
	return s, nil
}

// A pythonPost is a post whose other end is python.py.
type pythonPost struct {
	stream
	cfg []byte
	out bytes.Buffer // under the stream's mu

	raw syscall.RawConn // of stream.out, to write what need not wait
	in  *bufio.Reader   // of whoever receives
}

// What its frames are.
const (
	pyJob = iota + 1
	pyResult
	pyHello
	pyConfig
	pyStop
)

func newPythonPost(y *Python) (ours post, theirs []*os.File, err error) {
	down, toChild, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	fromChild, up, err := os.Pipe()
	if err != nil {
		return nil, nil, errors.Join(err, down.Close(), toChild.Close())
	}
	var cfg bytes.Buffer
	err = wire.Encode(&cfg, map[string]any{"path": y.Path, "memory": y.MemoryLimitBytes})
	raw, rawErr := toChild.SyscallConn()
	ours = &pythonPost{
		stream: stream{in: fromChild, out: toChild}, cfg: cfg.Bytes(), raw: raw, in: bufio.NewReaderSize(fromChild, 4<<10),
	}
	return ours, []*os.File{down, up}, errors.Join(err, rawErr)
}

// names keeps what a number stands for.
func (p *pythonPost) send(n note, fd int) error {
	if fd >= 0 {
		return errNoDescriptors
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	out, err := p.frame(n)
	if len(out) == 0 || err != nil {
		return err
	}
	_, err = p.stream.out.Write(out)
	return err
}

// sendNow sends a note if that needs no waiting, and reports whether it has.
func (p *pythonPost) sendNow(n note) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	out, err := p.frame(n)
	if err != nil || len(out) > pipeAtomic {
		return false // and send says why
	}
	sent := false
	err = p.raw.Write(func(fd uintptr) bool {
		sent = writeWhole(fd, out)
		return true
	})
	return sent && err == nil
}

// pipeAtomic is how much is written to a pipe whole, or not at all: the least that
// POSIX grants.
const pipeAtomic = 512

// frame is a note as python.py reads it, empty if it is nothing for it. The caller
// holds mu for as long as it uses it.
func (p *pythonPost) frame(n note) ([]byte, error) {
	b := &p.out
	b.Reset()
	b.Write(make([]byte, 4))
	switch n.Op {
	case noteConfig:
		b.WriteByte(pyConfig)
		b.Write(p.cfg)
	case noteStop:
		b.WriteByte(pyStop)
	case noteFrame:
		if err := p.job(b, n.Body); err != nil {
			return nil, err
		}
	default:
		return nil, nil // a function cannot be told anything
	}
	out := b.Bytes()
	binary.LittleEndian.PutUint32(out, uint32(len(out)-4))
	return out, nil
}

// job writes a job's frame as python.py reads it.
func (p *pythonPost) job(b *bytes.Buffer, frame []byte) error {
	f, err := readJob(frame)
	if err != nil {
		return err
	}
	name := strings.TrimPrefix(string(f.name), pythonPrefix)
	var head [14]byte
	head[0] = pyJob
	binary.LittleEndian.PutUint16(head[1:], f.slot)
	binary.LittleEndian.PutUint64(head[3:], f.seq)
	head[11] = f.flags & (flagRaw | flagSegment)
	binary.LittleEndian.PutUint16(head[12:], uint16(len(name)))
	b.Write(head[:])
	b.WriteString(name)
	if f.flags&flagSegment == 0 {
		b.Write(f.body)
		return nil
	}
	key, n, err := readRef(f.body)
	if err != nil {
		return err
	}
	s := segment.Lookup(key) // it is this process's own
	if s == nil {
		return fmt.Errorf("process: the segment of an input is gone: %w", errFrame)
	}
	defer s.Release() // the job keeps it until it is done
	b.Write(binary.LittleEndian.AppendUint64(nil, uint64(n)))
	_, err = fmt.Fprintf(b, "/proc/%d/fd/%d", os.Getpid(), s.FD())
	return err
}

func (p *pythonPost) sendFile(note, *os.File) error { return errNoDescriptors }

// body reads what follows a head. What is large costs memory only as it comes.
func (p *pythonPost) body(size int64) ([]byte, error) {
	if size >= 0 && size <= int64(p.in.Size()) {
		b := make([]byte, size)
		_, err := io.ReadFull(p.in, b)
		return b, err
	}
	var buf bytes.Buffer
	_, err := io.CopyN(&buf, p.in, size)
	return buf.Bytes(), err
}

func (p *pythonPost) receive(*room) (n note, fd int, err error) {
	var head [5]byte
	if _, err := io.ReadFull(p.in, head[:]); err != nil {
		return n, -1, io.EOF
	}
	b, err := p.body(int64(binary.LittleEndian.Uint32(head[:])) - 1)
	if err != nil {
		return n, -1, io.EOF
	}
	switch head[4] {
	case pyHello:
		return note{Op: noteHello}, -1, nil
	case pyResult:
		if len(b) < 15 {
			return n, -1, errFrame
		}
		r := resultFrame{
			slot: binary.LittleEndian.Uint16(b), seq: binary.LittleEndian.Uint64(b[2:]),
			ran: time.Duration(binary.LittleEndian.Uint32(b[10:])), flags: b[14] & flagError, body: b[15:],
		}
		frame := make([]byte, r.size())
		r.write(frame)
		return note{Op: noteFrame, Body: frame}, -1, nil
	default:
		return n, -1, errFrame
	}
}
