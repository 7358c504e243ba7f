//go:build linux

package child

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain enters first, as a program must. What a child of these tests does,
// its first argument says.
func TestMain(m *testing.M) {
	if os.Getenv("CHILD_TEST_BARE") != "" { // what BenchmarkStart compares with
		os.Stdout.WriteString("x")
		os.Exit(0)
	}
	files, ok := Enter()
	if parent := os.Getenv("CHILD_TEST_PARENT") != ""; ok || parent {
		if run := parents[os.Args[1]]; run != nil && !ok {
			run(os.Args[2:])
			os.Exit(0)
		}
		if run := roles[os.Args[1]]; run != nil {
			run(files, os.Args[2:])
			os.Exit(0)
		}
		fmt.Fprintln(os.Stderr, "no role", os.Args)
		os.Exit(99)
	}
	os.Exit(m.Run())
}

var roles = map[string]func(files []*os.File, args []string){
	// hang says its pid and waits to be killed.
	"hang": func([]*os.File, []string) { fmt.Println(os.Getpid()); forever() },
	// family starts a process in its own group, and says both pids.
	"family": func([]*os.File, []string) {
		cmd := exec.Command("sleep", "1000")
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			panic(err)
		}
		fmt.Println(os.Getpid(), cmd.Process.Pid)
		forever()
	},
	// echo sends back what comes in by the first file.
	"echo": func(files []*os.File, _ []string) {
		r := bufio.NewReader(files[0])
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			fmt.Fprint(files[1], line)
		}
	},
	"byte": func([]*os.File, []string) { os.Stdout.WriteString("x") },
	"exit": func(_ []*os.File, args []string) { code, _ := strconv.Atoi(args[0]); os.Exit(code) },
	"leave": func(_ []*os.File, args []string) {
		code, _ := strconv.Atoi(args[0])
		Leave()
		os.Exit(code)
	},
	"panic": func([]*os.File, []string) { panic("boom") },
	"nil":   func([]*os.File, []string) { var p *int; *p = 1 },
	"stack": func([]*os.File, []string) { fmt.Println(recurse(0)) },
	"maps": func([]*os.File, []string) {
		m := map[int]int{}
		for range 4 {
			go func() {
				for i := 0; ; i++ {
					m[i%100] = i
				}
			}()
		}
		forever()
	},
	"segv": func([]*os.File, []string) { syscall.Kill(os.Getpid(), syscall.SIGSEGV); forever() },
	"term": func([]*os.File, []string) { syscall.Kill(os.Getpid(), syscall.SIGTERM); forever() },
	"eat": func([]*os.File, []string) {
		var all [][]byte
		for {
			b := make([]byte, 1<<20)
			for i := range b {
				b[i] = 1
			}
			all = append(all, b)
			runtime.KeepAlive(all)
		}
	},
	// flood writes N MiB to stderr without a newline.
	"flood": func(_ []*os.File, args []string) {
		n, _ := strconv.Atoi(args[0])
		b := []byte(strings.Repeat("x", 1<<20))
		for range n {
			os.Stderr.Write(b)
		}
		fmt.Fprint(os.Stderr, "the end")
	},
	// daemon leaves a process behind that has left the group and holds stderr.
	"daemon": func([]*os.File, []string) {
		cmd := exec.Command("sleep", "1000")
		cmd.Stderr = os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			panic(err)
		}
		fmt.Println(cmd.Process.Pid)
		fmt.Fprintln(os.Stderr, "last words")
	},
	"say": func(_ []*os.File, args []string) {
		fmt.Println(strings.Join(args, "\n"))
		fmt.Fprint(os.Stderr, "to stderr\n\nhalf")
	},
	// describe says what Enter has made of the process.
	"describe": func(files []*os.File, _ []string) {
		fmt.Println("args0", os.Args[0])
		fmt.Println("files", len(files))
		fmt.Println("env", os.Getenv(envKey) == "")
		fmt.Println("cpus", runtime.NumCPU())
		for _, d := range descriptors(os.Getpid()) {
			fmt.Println("fd", d)
		}
		out, err := exec.Command("ls", "-l", "/proc/self/fd").Output()
		fmt.Println("grandchild", strings.Count(string(out), " -> "), err)
		for line := range strings.Lines(string(out)) {
			fmt.Print("ls ", line)
		}
		dir, _ := os.Getwd()
		fmt.Println("dir", dir)
	},
	"handles": func([]*os.File, []string) {
		got := make(chan os.Signal, 1)
		signal.Notify(got, syscall.SIGTERM)
		fmt.Println("ready")
		<-got
		Leave()
		os.Exit(7)
	},
}

func recurse(n int) int {
	if n < 0 {
		return 0
	}
	return recurse(n+1) + 1
}

// forever blocks without the runtime calling it a deadlock.
func forever() {
	for {
		time.Sleep(time.Hour)
	}
}

// start starts a role and sees to its end.
func start(t testing.TB, s Spec, args ...string) *Child {
	t.Helper()
	s.Args = args
	c, err := Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.KillGroup()
		<-c.Done()
	})
	return c
}

// patience is how long a test waits for what must happen: long, since it is
// only used up when the test fails.
const patience = 30 * time.Second

func ended(t testing.TB, c *Child) Exit {
	t.Helper()
	select {
	case <-c.Done():
		return c.Exit()
	case <-time.After(patience):
		t.Fatalf("process %d has not ended", c.PID())
		panic("unreachable")
	}
}

// eventually polls, because the kernel tells of some things only to who asks.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// lines gives a Forward that collects.
func lines() (forward func([]byte), next func(testing.TB) string) {
	got := make(chan string, 1000)
	return func(b []byte) { got <- string(b) }, func(t testing.TB) string {
		t.Helper()
		select {
		case line := <-got:
			return line
		case <-time.After(patience):
			t.Fatal("the child said nothing")
			return ""
		}
	}
}

// there reports whether the process exists and is no zombie.
func there(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	state := string(stat)[strings.LastIndexByte(string(stat), ')')+2]
	return state != 'Z' && state != 'X'
}

func descriptors(pid int) (open []string) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if to, err := os.Readlink(dir + "/" + e.Name()); err == nil {
			open = append(open, e.Name()+" "+to)
		}
	}
	return open
}
