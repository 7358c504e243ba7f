package child

import (
	"context"
	"errors"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/windows"
)

var errNoCPUs = errors.New("CPUs cannot be set on Windows")

// process is how the parent holds a child.
type process struct {
	mu     sync.Mutex
	reaped bool
	os     *os.Process
}

// run starts the child with the handles of its files, which arrive as numbers.
func (l *launch) run(ctx context.Context, c *Child) error {
	s := l.spec
	if len(s.CPUs) > 0 {
		return &StartError{"giving the child processors", errors.Join(errNoCPUs, errors.ErrUnsupported)}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var handles []syscall.Handle
	defer func() {
		for _, h := range handles {
			_ = syscall.CloseHandle(h)
		}
	}()
	r := role{mode: modeChild, parent: os.Getpid(), memory: s.MemoryLimitBytes, program: os.Args[0]}
	for _, f := range l.files[3:] {
		h, err := inheritable(f)
		if err != nil {
			return &StartError{"duplicating the child's files", err}
		}
		handles = append(handles, h)
		r.files = append(r.files, uint64(h))
	}
	last := len(r.files) - 1
	r.files, r.report = r.files[:last], r.files[last]
	path := s.Program
	if path == "" {
		var err error
		if path, err = os.Executable(); err != nil {
			return &StartError{"finding this program's file", err}
		}
	}
	p, err := os.StartProcess(path, append([]string{s.argv0()}, s.Args...), &os.ProcAttr{
		Dir:   s.Dir,
		Env:   s.environment(r),
		Files: l.files[:3],
		Sys: &syscall.SysProcAttr{
			CreationFlags:              windows.CREATE_NEW_PROCESS_GROUP,
			AdditionalInheritedHandles: handles,
		},
	})
	if err != nil {
		return &StartError{"executing this program again", err}
	}
	c.pid, c.proc.os = p.Pid, p
	l.started = true
	return nil
}

// inheritable duplicates the file's handle into one that a child may have.
func inheritable(f *os.File) (h syscall.Handle, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	self, err := syscall.GetCurrentProcess()
	if err != nil {
		return 0, err
	}
	cerr := raw.Control(func(from uintptr) {
		err = syscall.DuplicateHandle(self, syscall.Handle(from), self, &h, 0, true, syscall.DUPLICATE_SAME_ACCESS)
	})
	return h, errors.Join(cerr, err)
}

// signal knows SIGKILL only: Windows has no others for a process.
func (p *process) signal(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return nil
	}
	if sig != syscall.SIGKILL {
		return errors.Join(errors.New("child: Windows knows no signal but SIGKILL"), errors.ErrUnsupported)
	}
	if err := p.os.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// killGroup kills the process alone; what it started ends with this process.
func (p *process) killGroup() error { return p.signal(syscall.SIGKILL) }

func (p *process) reap(e *Exit, ended func()) {
	state, err := p.os.Wait()
	p.mu.Lock()
	p.reaped = true
	p.mu.Unlock()
	ended()
	if err != nil {
		return
	}
	e.Kind, e.Code = Exited, state.ExitCode()
	e.User, e.System = state.UserTime(), state.SystemTime()
}

func (p *process) stopped() bool { return false }

// guards puts each child into one job object, which the system ends, with all
// that the children started, when the last handle of it is closed: at the end
// of this process, however it ends.
var guards job

// await returns at once: a child is in the job before it runs.
func (*job) await(time.Duration) {}

type job struct {
	once   sync.Once
	handle windows.Handle
}

func (j *job) begin(pid int) {
	j.once.Do(j.create)
	if j.handle == 0 {
		return
	}
	const access = windows.PROCESS_SET_QUOTA | windows.PROCESS_TERMINATE
	h, err := windows.OpenProcess(access, false, uint32(pid))
	if err != nil {
		return // it has ended already
	}
	_ = windows.AssignProcessToJobObject(j.handle, h)
	_ = windows.CloseHandle(h)
}

func (j *job) end(int) {}

func (j *job) create() {
	h, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return
	}
	var limits windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION
	limits.BasicLimitInformation.LimitFlags = windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
	if err := setJob(h, &limits); err != nil {
		_ = windows.CloseHandle(h)
		return
	}
	j.handle = h
}

// guard is never called: there is no guardian process here.
func guard(_, _ []uint64) {}

// drainTime is how long the output of a dead child is read, since a handle
// cannot be asked whether something is left.
const drainTime = 200 * time.Millisecond
