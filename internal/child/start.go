package child

import (
	"context"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Child is a process that Start has started. Its methods may be called from
// any goroutine, and go on working, without effect, when the process has ended.
type Child struct {
	pid    int
	proc   process
	done   chan struct{}
	exit   Exit
	sent   [65]atomic.Bool // signals that this process sent, by number
	report *sink
	stdout *sink
	stderr *sink

	limited bool // its memory is
}

// Start runs the program's binary again, as it was when this process began,
// also if the file has been deleted or replaced since (where /proc is mounted).
// It returns when the child executes the binary: some 1 to 3 ms.
//
// When ctx ends first, Start returns its cause, and a child that starts all the
// same is killed. Later ctx has no effect: whoever has the Child must see to its
// end, by closing what it reads from or by Kill; no child outlives the parent.
func Start(ctx context.Context, s Spec) (*Child, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	l, err := s.prepare()
	if err != nil {
		return nil, err
	}
	defer l.release()
	c := &Child{done: make(chan struct{}), report: l.report, stdout: l.stdout, stderr: l.stderr, limited: s.MemoryLimitBytes > 0}
	if err := l.run(ctx, c); err != nil {
		return nil, err
	}
	c.report.start()
	c.stdout.start()
	c.stderr.start()
	guards.begin(c.pid)
	go c.watch()
	return c, nil
}

// PID returns the process's id. It is its group's id too, except on Windows.
func (c *Child) PID() int { return c.pid }

// Guarded waits, at most for d, until the guardian knows of the child: from then on
// what the child starts does not outlive this process. A child should not be told
// to start anything before. Only the first child of a process has to wait, some
// milliseconds, as the guardian starts beside it.
func (c *Child) Guarded(d time.Duration) { guards.await(d) }

// Done returns a channel that is closed when the process has ended, what was
// left of its group is killed, its output is read and passed on, and Exit is
// complete. What a process outside the group still writes to the child's stdout
// or stderr is not waited for: it is lost.
func (c *Child) Done() <-chan struct{} { return c.done }

// Exit says what ended the child. It is the zero Exit until Done is closed.
func (c *Child) Exit() Exit {
	select {
	case <-c.done:
		return c.exit
	default:
		return Exit{}
	}
}

// Signal sends a signal to the process alone, and does nothing when it has
// ended. A child that a signal of ours ends is Killed.
func (c *Child) Signal(sig syscall.Signal) error {
	c.note(sig)
	return c.proc.signal(sig)
}

// KillGroup kills the process and all that are in its group: what it started,
// except what left the group. It does not wait; Done tells the end.
func (c *Child) KillGroup() error {
	c.note(syscall.SIGKILL)
	return c.proc.killGroup()
}

// Stopped reports whether the process is stopped (SIGSTOP): alive, but it does
// nothing. Always false where the system cannot tell without waking it.
func (c *Child) Stopped() bool { return c.proc.stopped() }

func (c *Child) note(sig syscall.Signal) {
	if n := int(sig); n > 0 && n < len(c.sent) {
		c.sent[n].Store(true)
	}
}

// watch is the goroutine that sees the child to its end.
func (c *Child) watch() {
	e := Exit{PID: c.pid, Code: -1}
	c.proc.reap(&e, func() { guards.end(c.pid) })
	// All that the child wrote is in the pipes by now.
	report := c.report.finish()
	c.stdout.finish()
	e.Stderr = c.stderr.finish()
	e.judge(report, func(sig syscall.Signal) bool {
		n := int(sig)
		return n > 0 && n < len(c.sent) && c.sent[n].Load()
	}, memory.killed)
	if c.limited {
		e.blameLimit()
	}
	c.exit = e
	close(c.done)
}

// environment is the child's: s.Env, or the parent's, and what Enter reads.
func (s *Spec) environment(r role) []string {
	env := s.Env
	if env == nil {
		env = os.Environ()
	}
	env = slices.DeleteFunc(slices.Clone(env), func(v string) bool { return strings.HasPrefix(v, envKey+"=") })
	if s.Program != "" {
		return env
	}
	if raceEnabled {
		env = raceEnv(env)
	}
	return append(env, envKey+"="+r.String())
}

// argv0 is the first argument, which ps shows.
func (s *Spec) argv0() string {
	if s.Program != "" {
		return s.Program
	}
	return s.title()
}

// raceEnv keeps a child built with -race from sleeping a second at its end.
func raceEnv(env []string) []string {
	const key, option = "GORACE=", "atexit_sleep_ms="
	set := key + option + "0"
	for i, v := range env {
		if strings.HasPrefix(v, key) {
			if strings.Contains(v, option) {
				return env
			}
			set = v + " " + option + "0"
			env = slices.Delete(env, i, i+1)
			break
		}
	}
	return append(env, set)
}

// role is what the parent tells the child that it is.
type role struct {
	mode    string
	parent  int      // pid
	files   []uint64 // as what Spec.Files arrive: descriptors, or handles on Windows
	report  uint64   // the same for the report pipe
	strays  []uint64 // descriptors that the parent did not mean to hand down
	memory  int64    // MemoryLimitBytes
	program string   // the parent's os.Args[0]
}

func (r role) String() string {
	return strings.Join([]string{
		r.mode, strconv.Itoa(r.parent), joinNumbers(r.files), strconv.FormatUint(r.report, 10),
		joinNumbers(r.strays), strconv.FormatInt(r.memory, 10), r.program,
	}, ",")
}

// parseRole is String's reverse; false if the text is none of ours.
func parseRole(text string) (r role, ok bool) {
	f := strings.SplitN(text, ",", 7)
	if len(f) != 7 || f[0] != modeChild && f[0] != modeGuardian {
		return role{}, false
	}
	var errs [5]error
	r.mode, r.program = f[0], f[6]
	r.parent, errs[0] = strconv.Atoi(f[1])
	r.files, errs[1] = splitNumbers(f[2])
	r.report, errs[2] = strconv.ParseUint(f[3], 10, 64)
	r.strays, errs[3] = splitNumbers(f[4])
	r.memory, errs[4] = strconv.ParseInt(f[5], 10, 64)
	if errors.Join(errs[:]...) != nil {
		return role{}, false
	}
	return r, true
}

func joinNumbers(all []uint64) string {
	text := make([]string, len(all))
	for i, n := range all {
		text[i] = strconv.FormatUint(n, 10)
	}
	return strings.Join(text, "+")
}

func splitNumbers(text string) (all []uint64, err error) {
	if text == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(text, "+") {
		n, err := strconv.ParseUint(part, 10, 64)
		if err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, nil
}

// launch is a start under way: what the child gets, and what is read from it.
type launch struct {
	spec                   *Spec
	files                  []*os.File // 0, 1, 2, then Spec.Files
	owned                  []*os.File // to close when the child has them, or will not get them
	report, stdout, stderr *sink
	started                bool
	once                   sync.Once
}

func (s *Spec) prepare() (_ *launch, err error) {
	l := &launch{spec: s}
	defer func() {
		if err != nil {
			l.release()
		}
	}()
	stdin := s.Stdin
	if stdin == nil {
		if stdin, err = nothing(); err != nil {
			return nil, &StartError{"opening the null device", err}
		}
		l.owned = append(l.owned, stdin)
	}
	stdout, stderr := orElse(s.Stdout, os.Stdout), orElse(s.Stderr, os.Stderr)
	if s.ForwardStdout != nil {
		if stdout, err = l.pipe(&l.stdout, &sink{forward: s.ForwardStdout}); err != nil {
			return nil, err
		}
	}
	if s.Forward != nil || s.Tail > 0 {
		k := &sink{forward: s.Forward, tailBytes: s.Tail}
		if s.Forward == nil {
			k.copyTo = stderr
		}
		if stderr, err = l.pipe(&l.stderr, k); err != nil {
			return nil, err
		}
	}
	r, report, err := reportPipe()
	if err != nil {
		return nil, &StartError{"making a pipe", err}
	}
	l.owned = append(l.owned, report)
	l.report = &sink{file: r, headBytes: reportBytes, atEnd: reportAtEnd}
	l.files = append(append([]*os.File{stdin, stdout, stderr}, s.Files...), report)
	return l, nil
}

func orElse(f, other *os.File) *os.File {
	if f != nil {
		return f
	}
	return other
}

// pipe makes a pipe, puts its reading end into the sink and the sink to its
// place, and returns the end for the child.
func (l *launch) pipe(place **sink, k *sink) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, &StartError{"making a pipe", err}
	}
	l.owned = append(l.owned, w)
	k.file = r
	*place = k
	return w, nil
}

// nothing is a file without content.
func nothing() (*os.File, error) {
	f, err := os.Open(os.DevNull)
	if err == nil || exhausted(err) {
		return f, err
	}
	// No /dev here: a pipe that nobody writes to.
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	return r, w.Close()
}

// release closes what only the child needs, and, if there is none, all.
func (l *launch) release() {
	l.once.Do(func() {
		for _, f := range l.owned {
			_ = f.Close()
		}
		if l.started {
			return
		}
		for _, k := range []*sink{l.report, l.stdout, l.stderr} {
			if k != nil {
				_ = k.file.Close()
			}
		}
	})
}
