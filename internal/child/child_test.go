//go:build linux

package child

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func devNull(t testing.TB) *os.File {
	t.Helper()
	f, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestFiles(t *testing.T) {
	inR, inW, _ := os.Pipe()
	outR, outW, _ := os.Pipe()
	defer outR.Close()
	c := start(t, Spec{Files: []*os.File{inR, outW}}, "echo")
	inR.Close()
	outW.Close()
	fmt.Fprintln(inW, "hello")
	inW.Close()
	if got, err := io.ReadAll(outR); string(got) != "hello\n" || err != nil {
		t.Errorf("the child sent back %q, %v", got, err)
	}
	if e := ended(t, c); e.Kind != Exited || e.Code != 0 {
		t.Error(e)
	}
}

func TestOutput(t *testing.T) {
	out, nextOut := lines()
	errs, nextErr := lines()
	c := start(t, Spec{ForwardStdout: out, Forward: errs, Tail: 6}, "say", "one", "two")
	e := ended(t, c)
	for _, want := range []string{"one", "two"} {
		if got := nextOut(t); got != want {
			t.Errorf("stdout: %q, want %q", got, want)
		}
	}
	for _, want := range []string{"to stderr", "", "half"} {
		if got := nextErr(t); got != want {
			t.Errorf("stderr: %q, want %q", got, want)
		}
	}
	if string(e.Stderr) != "\n\nhalf" {
		t.Errorf("tail: %q", e.Stderr)
	}
}

// Tail alone does not change where stderr goes.
func TestTailPassesOn(t *testing.T) {
	r, w, _ := os.Pipe()
	defer r.Close()
	c := start(t, Spec{Tail: 100, Stderr: w, Stdout: devNull(t)}, "say")
	e := ended(t, c)
	w.Close()
	got, _ := io.ReadAll(r)
	if want := "to stderr\n\nhalf"; string(got) != want || string(e.Stderr) != want {
		t.Errorf("passed on %q, kept %q", got, e.Stderr)
	}
}

// A flood without a newline neither stops the child nor fills the memory.
func TestFlood(t *testing.T) {
	const mib = 256
	var total, longest int
	c := start(t, Spec{Tail: 1000, Forward: func(line []byte) {
		total += len(line)
		longest = max(longest, len(line))
	}}, "flood", fmt.Sprint(mib))
	e := ended(t, c)
	if want := mib<<20 + len("the end"); total != want || longest > 2*lineBytes {
		t.Errorf("%d bytes came, want %d; the longest piece has %d", total, want, longest)
	}
	if len(e.Stderr) != 1000 || !strings.HasSuffix(string(e.Stderr), "xthe end") || e.Code != 0 {
		t.Errorf("%v, tail of %d bytes", e, len(e.Stderr))
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.HeapSys > 200<<20 {
		t.Errorf("the heap has grown to %d MiB", m.HeapSys>>20)
	}
}

// Who left the group and holds stderr does not keep Done from closing.
func TestDaemonHoldsStderr(t *testing.T) {
	out, next := lines()
	c := start(t, Spec{Tail: 1000, ForwardStdout: out, Forward: func([]byte) {}}, "daemon")
	e := ended(t, c)
	var pid int
	fmt.Sscan(next(t), &pid)
	defer syscall.Kill(pid, syscall.SIGKILL)
	if !there(pid) {
		t.Error("what left the group was killed with it")
	}
	if string(e.Stderr) != "last words\n" {
		t.Errorf("stderr: %q", e.Stderr)
	}
}

func TestSignals(t *testing.T) {
	out, next := lines()
	c := start(t, Spec{ForwardStdout: out}, "handles")
	if next(t) != "ready" {
		t.Fatal("not ready")
	}
	if err := c.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if e := ended(t, c); e.Kind != Clean || e.Code != 7 {
		t.Errorf("after a signal that it handles: %v", e)
	}
	if err := errors.Join(c.Signal(syscall.SIGKILL), c.KillGroup()); err != nil {
		t.Errorf("signalling one that has ended: %v", err)
	}

	c = start(t, Spec{ForwardStdout: out}, "hang")
	next(t)
	c.Signal(syscall.SIGTERM)
	if e := ended(t, c); e.Kind != Killed || e.Signal != syscall.SIGTERM || e.Code != -1 {
		t.Errorf("after a signal that it does not handle: %v", e)
	}
}

// The group dies with the child, whoever killed the child.
func TestGroup(t *testing.T) {
	for name, kill := range map[string]func(*Child){
		"by us":         func(c *Child) { c.KillGroup() },
		"child alone":   func(c *Child) { c.Signal(syscall.SIGKILL) },
		"by a stranger": func(c *Child) { syscall.Kill(c.PID(), syscall.SIGKILL) },
	} {
		t.Run(name, func(t *testing.T) {
			out, next := lines()
			c := start(t, Spec{ForwardStdout: out}, "family")
			var pid, grandchild int
			fmt.Sscan(next(t), &pid, &grandchild)
			if pid != c.PID() || !there(grandchild) {
				t.Fatalf("PID %d, the child says %d; grandchild there: %v", c.PID(), pid, there(grandchild))
			}
			kill(c)
			e := ended(t, c)
			if want := map[bool]Kind{true: Signalled, false: Killed}[name == "by a stranger"]; e.Kind != want || e.Signal != syscall.SIGKILL {
				t.Errorf("%v, want %v", e, want)
			}
			eventually(t, "the grandchild's death", func() bool { return !there(grandchild) })
		})
	}
}

func TestStopped(t *testing.T) {
	out, next := lines()
	c := start(t, Spec{ForwardStdout: out}, "hang")
	next(t)
	if c.Stopped() {
		t.Fatal("stopped at birth")
	}
	for range 2 {
		c.Signal(syscall.SIGSTOP)
		eventually(t, "to be stopped", c.Stopped)
		if !c.Stopped() {
			t.Error("asking has changed it")
		}
		select {
		case <-c.Done():
			t.Fatal("a stopped child counts as dead")
		default:
		}
		c.Signal(syscall.SIGCONT)
		eventually(t, "to go on", func() bool { return !c.Stopped() })
	}
	c.Signal(syscall.SIGSTOP)
	c.KillGroup()
	if e := ended(t, c); e.Kind != Killed {
		t.Error(e)
	}
	if c.Stopped() {
		t.Error("a dead child is stopped")
	}
}

func TestMemoryLimit(t *testing.T) {
	if raceEnabled {
		t.Skip("no hard limit under the race detector")
	}
	c := start(t, Spec{MemoryLimitBytes: 128 << 20, Tail: 1 << 16, Forward: func([]byte) {}}, "eat")
	if e := ended(t, c); e.Kind != OutOfMemory || e.MaxRSSBytes > 140<<20 {
		t.Errorf("%v, %d MiB resident", e, e.MaxRSSBytes>>20)
	}
	c = start(t, Spec{MemoryLimitBytes: MinMemoryLimitBytes, Tail: 1 << 16, Stderr: devNull(t)}, "eat")
	if e := ended(t, c); e.Kind != OutOfMemory || !e.Entered {
		t.Errorf("with the least limit: %v\n%s", e, e.Crash)
	}
}

func TestStartRefuses(t *testing.T) {
	for want, s := range map[string]Spec{
		"MemoryLimitBytes": {MemoryLimitBytes: 1},
		"Tail":             {Tail: -1},
		"Name":             {Name: "a\x00b"},
		"Files[1]":         {Files: []*os.File{os.Stdin, nil}},
		"processors":       {CPUs: []int{100000}},
		"no such file":     {Dir: "/nowhere"},
	} {
		if c, err := Start(t.Context(), s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v", want, c, err)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(io.ErrNoProgress)
	if _, err := Start(ctx, Spec{}); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("with an ended ctx: %v", err)
	}
	calledEnter.Store(false)
	defer calledEnter.Store(true)
	if _, err := Start(t.Context(), Spec{}); !errors.Is(err, ErrNotEntered) {
		t.Errorf("without Enter: %v", err)
	}
}

// Whatever becomes of a start whose ctx ends meanwhile, no process is left.
func TestStartCancelled(t *testing.T) {
	title := fmt.Sprintf("cancelled in %d", os.Getpid())
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		go cancel()
		if c, err := Start(ctx, Spec{Name: title, Args: []string{"hang"}, Stdout: devNull(t)}); err == nil {
			c.KillGroup()
			ended(t, c)
		}
	}
	eventually(t, "no process is left", func() bool {
		return !slices.ContainsFunc(processes(), func(p proc) bool { return strings.Contains(p.cmdline, title) })
	})
}

func TestMany(t *testing.T) {
	out, next := lines()
	start(t, Spec{ForwardStdout: out}, "hang")
	next(t)
	threads, files := pprof.Lookup("threadcreate").Count(), len(descriptors(os.Getpid()))
	var all []*Child
	for range 30 {
		all = append(all, start(t, Spec{ForwardStdout: out, Tail: 100, Forward: func([]byte) {}}, "hang"))
	}
	for range all {
		next(t)
	}
	if grown := pprof.Lookup("threadcreate").Count() - threads; grown > 10 {
		t.Errorf("%d more threads for 30 children", grown)
	}
	for _, c := range all {
		c.KillGroup()
	}
	for _, c := range all {
		if e := ended(t, c); e.Kind != Killed {
			t.Error(e)
		}
	}
	eventually(t, "descriptors back", func() bool { return len(descriptors(os.Getpid())) <= files+4 }) // a guardian has three
}

func TestReport(t *testing.T) {
	for _, tt := range []struct{ report, stderr, want string }{
		{"\x01panic: x\n\ngoroutine 1", "", "panic: x"},
		{"\x01\nruntime stack:\nruntime.throw(", "noise\nfatal error: stack overflow\n\nruntime stack", "fatal error: stack overflow"},
		{"\x01\nruntime stack:\nruntime.newstack()", "", "fatal error: stack overflow"},
		{"\x01\ngoroutine 1 [select]:", "", "fatal error"},
		{"\x01", "panic: quoted\n", ""},
		{"", "", ""},
		{"\x01\x02", "", ""},
	} {
		e := Exit{Kind: Exited, Code: 2, Stderr: []byte(tt.stderr)}
		e.judge([]byte(tt.report), func(syscall.Signal) bool { return false }, func() bool { return false })
		if e.Reason() != tt.want {
			t.Errorf("report %q, stderr %q: reason %q, want %q", tt.report, tt.stderr, e.Reason(), tt.want)
		}
	}
	e := Exit{Kind: Exited, Code: -1, Signal: syscall.SIGKILL}
	e.judge(nil, func(syscall.Signal) bool { return false }, func() bool { return true })
	if e.Kind != OutOfMemory {
		t.Errorf("killed by the kernel for memory: %v", e)
	}
}

// A limit is to blame for a runtime that took a nil, not for a signal that was sent, nor
// for what other code did.
func TestBlameLimit(t *testing.T) {
	const idle, running = "\n\ngoroutine 0 gp=0x34 m=3 [idle]:\n", "\n\ngoroutine 7 gp=0x34 m=3 [running]:\n"
	for head, tails := range map[string]map[string]Kind{
		"SIGSEGV: segmentation violation\nPC=0x43453d m=3 sigcode=1 addr=0x10": {
			idle + "runtime.(*spanQueue).tryDrain(0x7f2)\n": OutOfMemory,
			idle + "main.foreign(0x7f2)\n":                  Fatal,
			running + "runtime.memmove(0x7f2)\n":            Fatal,
		},
		"SIGSEGV: segmentation violation\nPC=0x43453d m=0 sigcode=0 addr=0x3e800001f2d": {idle + "runtime.futex(0x7f2)\n": Fatal}, // kill
		"SIGSEGV: segmentation violation\nPC=0x43453d m=0 sigcode=-6 addr=0x0":          {idle + "runtime.futex(0x7f2)\n": Fatal}, // tgkill
		"SIGSEGV: segmentation violation\nPC=0x43453d m=0 sigcode=1 addr=0xc000100000":  {idle + "runtime.memmove(0x7f2)\n": Fatal},
		"SIGSEGV: segmentation violation":                                               {idle + "runtime.futex(0x7f2)\n": Fatal},
	} {
		for tail, kind := range tails {
			e := Exit{Kind: Fatal, Code: 2, Crash: head + tail}
			if e.blameLimit(); e.Kind != kind {
				t.Errorf("with a limit %q is %v, want %v", e.Crash, e.Kind, kind)
			}
		}
	}
	for stderr, kind := range map[string]Kind{
		"runtime/cgo: pthread_create failed: Resource temporarily unavailable\n": OutOfMemory,
		"assertion failed\n": Fatal,
	} {
		e := Exit{Kind: Fatal, Code: 2, Crash: "SIGABRT: abort\nPC=0x7f773a77ceec m=0 sigcode=-6", Stderr: []byte(stderr)}
		if e.blameLimit(); e.Kind != kind {
			t.Errorf("with a limit an abort after %q is %v, want %v", stderr, e.Kind, kind)
		}
	}
}

func TestRing(t *testing.T) {
	for size := 1; size < 8; size++ {
		var r ring
		all := ""
		for i := range 40 {
			piece := strings.Repeat(string(rune('a'+i%26)), i%5)
			r.write([]byte(piece), size)
			all += piece
			if want := all[max(0, len(all)-size):]; string(r.bytes()) != want {
				t.Fatalf("size %d after %q: %q, want %q", size, all, r.bytes(), want)
			}
		}
	}
}
