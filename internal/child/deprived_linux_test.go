package child

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// parents are what a process of its own does with children. Each says "ok", or
// what went wrong.
var parents = map[string]func(args []string){
	"families": func(args []string) {
		n, _ := strconv.Atoi(args[0])
		for range n {
			must(Spec{}, "family")
		}
		forever()
	},
	// chatty tells its guardian more than a pipe holds.
	"chatty": func([]string) {
		must(Spec{}, "family")
		wait("a guardian", func() bool { return guardianOf(os.Getpid()) != 0 })
		const nobody = 1 << 30 // no process has such a number
		for range 20000 {
			guards.begin(nobody)
			guards.end(nobody)
		}
		fmt.Println("told")
		forever()
	},
	// seldom has children now and then.
	"seldom": func([]string) {
		for range 2 {
			c := must(Spec{ForwardStdout: func([]byte) {}}, "hang")
			wait("a guardian", func() bool { return guardianOf(os.Getpid()) != 0 })
			c.KillGroup()
			<-c.Done()
			wait("no guardian", func() bool { return guardianOf(os.Getpid()) == 0 })
		}
		fmt.Println("ok")
	},
	// statuses starts children that exit with 3, whatever the process lacks.
	"status": func([]string) { checkStatus() },
	"sigchld ignored by itself": func([]string) {
		signal.Ignore(syscall.SIGCHLD)
		c := must(Spec{}, "exit", "3")
		<-c.Done()
		if e := c.Exit(); e.Kind != Unknown || e.Code != -1 {
			fmt.Println(e)
			return
		}
		fmt.Println("ok")
	},
	"no pidfd": func([]string) {
		calls := []uint32{unix.SYS_PIDFD_OPEN, unix.SYS_PIDFD_SEND_SIGNAL}
		if !raceEnabled { // a C library's threads need it, or ENOSYS
			calls = append(calls, unix.SYS_CLONE3)
		}
		refuse(unix.EPERM, anyCall(calls...))
		checkStatus()
	},
	// A descriptor that came without a mark stays with the parent.
	"stray": func([]string) {
		r, w, _ := os.Pipe()
		syscall.SetNonblock(int(r.Fd()), false)
		unix.FcntlInt(w.Fd(), unix.F_SETFD, 0)
		said := make(chan struct{}, 1)
		must(Spec{ForwardStdout: func([]byte) { said <- struct{}{} }, Files: []*os.File{os.Stderr}}, "hang")
		<-said
		w.Close()
		r.Read(make([]byte, 1)) // does not end if the child has the other end
		fmt.Println("ok")
	},
	"no processes": func([]string) { refuse(unix.EAGAIN, forks); checkExhausted(unix.EAGAIN) },
	"no memory":    func([]string) { refuse(unix.ENOMEM, forks); checkExhausted(unix.ENOMEM) },
	"no descriptors": func([]string) {
		limit := unix.Rlimit{Cur: 40, Max: 40}
		unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
		before := len(descriptors(os.Getpid()))
		for len(descriptors(os.Getpid())) < 40 {
			f, err := os.Open(os.DevNull)
			if err != nil {
				break
			}
			defer f.Close()
			if c, err := Start(context.Background(), Spec{Args: []string{"exit", "0"}}); err == nil {
				<-c.Done()
			} else if !errors.Is(err, ErrExhausted) || !errors.Is(err, unix.EMFILE) || !strings.Contains(err.Error(), "ulimit -n") {
				fmt.Println("not as it should be:", err)
				return
			}
		}
		if before > 12 {
			fmt.Println("began with", before)
		}
		checkExhausted(unix.EMFILE)
	},
	// later waits for a line, then starts a child.
	"later": func([]string) {
		fmt.Println("ready")
		bufio.NewReader(os.Stdin).ReadString('\n')
		checkStatus()
	},
}

func must(s Spec, args ...string) *Child {
	s.Args = args
	c, err := Start(context.Background(), s)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	return c
}

func wait(what string, ok func() bool) {
	for end := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			fmt.Println("no", what)
			os.Exit(1)
		}
	}
}

// checkStatus sees whether children work: their status, and their death.
func checkStatus() {
	c := must(Spec{}, "exit", "3")
	<-c.Done()
	if e := c.Exit(); e.Kind != Exited || e.Code != 3 {
		fmt.Println(e)
		return
	}
	said := make(chan struct{}, 1)
	c = must(Spec{ForwardStdout: func([]byte) { said <- struct{}{} }}, "hang")
	<-said
	c.Signal(unix.SIGSTOP)
	wait("stop", c.Stopped)
	c.KillGroup()
	<-c.Done()
	if e := c.Exit(); e.Kind != Killed {
		fmt.Println(e)
		return
	}
	fmt.Println("ok")
}

// checkExhausted expects starts to fail in the right way and leave nothing.
func checkExhausted(want error) {
	before := -1
	for range 10 {
		_, err := Start(context.Background(), Spec{Args: []string{"exit", "0"}, Tail: 100})
		var e *StartError
		if !errors.As(err, &e) || !errors.Is(err, want) || !errors.Is(err, ErrExhausted) || e.hint() == "" {
			fmt.Println("not as it should be:", err)
			return
		}
		now := len(descriptors(os.Getpid()))
		if before >= 0 && now > before {
			fmt.Println("descriptors left open:", now-before)
			return
		}
		before = now
	}
	fmt.Println("ok")
}

// forks are the calls that make processes, not threads. Of clone3 a filter cannot
// see which, so it does not exist, as in sandboxes.
func forks(no unix.Errno) []unix.SockFilter {
	const argument0 = 16
	return []unix.SockFilter{
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_CLONE3, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_CLONE, Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: argument0},
		{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: unix.CLONE_THREAD, Jt: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(no)},
	}
}

func anyCall(calls ...uint32) func(unix.Errno) []unix.SockFilter {
	return func(no unix.Errno) (f []unix.SockFilter) {
		for _, call := range calls {
			f = append(f,
				unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: call, Jf: 1},
				unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(no)})
		}
		return f
	}
}

// refuse has the kernel answer calls with an error, as a sandbox does.
func refuse(no unix.Errno, calls func(unix.Errno) []unix.SockFilter) {
	f := append([]unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}}, calls(no)...)
	f = append(f, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	program := unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]}
	_, _, e1 := syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0)
	_, _, e2 := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	if e1 != 0 || e2 != 0 {
		fmt.Println("cannot:", e1, e2)
		fmt.Println("ok")
		os.Exit(0)
	}
}

func TestDeprived(t *testing.T) {
	for _, role := range []string{"sigchld ignored by itself", "stray", "no pidfd", "no processes", "no memory", "no descriptors"} {
		t.Run(role, func(t *testing.T) { run(t, os.Args[0], role).succeeds(t) })
	}
}

func TestSIGCHLDIgnored(t *testing.T) {
	run(t, "/bin/sh", "-c", `trap "" CHLD; exec "$0" status`, os.Args[0]).succeeds(t)
}

// The binary may go, and another come in its place.
func TestBinaryReplaced(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"deleted":  os.Remove,
		"replaced": func(path string) error { return os.Rename(copyTo(t, "/bin/true"), path) },
	} {
		t.Run(name, func(t *testing.T) {
			path := copyTo(t, os.Args[0])
			p, say := runTold(t, path, "later")
			if err := change(path); err != nil {
				t.Fatal(err)
			}
			say()
			p.succeeds(t)
		})
	}
}

// Without /proc the binary is found by what was executed.
func TestNoProc(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector complains when there is no /proc")
	}
	if os.Getuid() != 0 {
		t.Skip("only root can take /proc away")
	}
	if out, err := exec.Command("unshare", "-m", "true").CombinedOutput(); err != nil {
		t.Skipf("no unshare: %v %s", err, out)
	}
	const hide = `mount -t tmpfs none /proc && cd "$(dirname "$0")" && exec "./$(basename "$0")" later`
	path := copyTo(t, os.Args[0])
	p, say := runTold(t, "unshare", "-m", "sh", "-c", hide, path)
	say()
	p.succeeds(t)

	p, say = runTold(t, "unshare", "-m", "sh", "-c", hide, path)
	if err := os.Rename(copyTo(t, "/bin/true"), path); err != nil {
		t.Fatal(err)
	}
	say()
	p.said.Scan()
	if got := p.said.Text(); !strings.Contains(got, "/proc is not mounted") && !strings.Contains(got, "no such file") {
		t.Errorf("with another binary in its place and no /proc: %q", got)
	}
}

func copyTo(t *testing.T, from string) string {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, b, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// runTold runs a program that waits until it is told to go on.
func runTold(t *testing.T, path string, args ...string) (p *program, say func()) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	t.Cleanup(func() { w.Close() })
	p = runWith(t, r, path, args...)
	if !p.said.Scan() || p.said.Text() != "ready" {
		t.Fatalf("not ready: %q", p.said.Text())
	}
	return p, func() { fmt.Fprintln(w) }
}
