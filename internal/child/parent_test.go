//go:build linux

package child

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

type proc struct {
	pid, parent int
	cmdline     string
}

// processes lists what runs, zombies aside.
func processes() (all []proc) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || !there(pid) {
			continue
		}
		stat, _ := os.ReadFile("/proc/" + e.Name() + "/stat")
		f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(f) < 2 {
			continue
		}
		line, _ := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		p := proc{pid: pid, cmdline: strings.ReplaceAll(string(line), "\x00", " ")}
		p.parent, _ = strconv.Atoi(f[1])
		all = append(all, p)
	}
	return all
}

// guardianOf returns the guardian of a parent, 0 if there is none.
func guardianOf(parent int) int {
	for _, p := range processes() {
		if p.parent == parent && strings.HasPrefix(p.cmdline, namePrefix+"guardian") {
			return p.pid
		}
	}
	return 0
}

// program is a process of its own that starts children.
type program struct {
	*exec.Cmd
	said *bufio.Scanner
}

// run starts the role in a process that is nobody's child, so that it may be
// killed, limited and deprived.
func run(t *testing.T, path string, args ...string) *program {
	t.Helper()
	return runWith(t, nil, path, args...)
}

func runWith(t *testing.T, stdin *os.File, path string, args ...string) *program {
	t.Helper()
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "CHILD_TEST_PARENT=1")
	if stdin != nil {
		cmd.Stdin = stdin
	}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return &program{cmd, bufio.NewScanner(out)}
}

// succeeds waits for the word "ok", before which the program may say other things.
func (p *program) succeeds(t *testing.T) {
	t.Helper()
	for p.said.Scan() {
		if p.said.Text() == "ok" {
			return
		}
		t.Log(p.said.Text())
	}
	t.Fatal("the program did not say ok")
}

// family runs a parent of n children that have children, and returns all their pids.
func family(t *testing.T, n int) (p *program, pids []int) {
	p = run(t, os.Args[0], "families", strconv.Itoa(n))
	for range n {
		if !p.said.Scan() {
			t.Fatal("the parent said nothing")
		}
		var child, grandchild int
		if _, err := fmt.Sscan(p.said.Text(), &child, &grandchild); err != nil {
			t.Fatal(err)
		}
		pids = append(pids, child, grandchild)
	}
	t.Cleanup(func() {
		for _, pid := range pids {
			if there(pid) {
				syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	})
	return p, pids
}

func anyThere(pids []int) bool { return slices.ContainsFunc(pids, there) }

func shm() int {
	entries, _ := os.ReadDir("/dev/shm")
	return len(entries)
}

func TestParentKilled(t *testing.T) {
	before := shm()
	p, pids := family(t, 3)
	eventually(t, "a guardian", func() bool { return guardianOf(p.Process.Pid) != 0 })
	guardian := guardianOf(p.Process.Pid)
	p.Process.Kill()
	at := time.Now()
	eventually(t, "the end of the families", func() bool { return !anyThere(pids) })
	t.Logf("gone after %v", time.Since(at))
	eventually(t, "the guardian's end", func() bool { return !there(guardian) })
	if now := shm(); now > before {
		t.Errorf("/dev/shm has %d files, had %d", now, before)
	}
}

// A guardian that dies is replaced by one that knows all groups.
func TestGuardianKilled(t *testing.T) {
	p, pids := family(t, 2)
	for range 2 {
		old := 0
		eventually(t, "a guardian", func() bool { old = guardianOf(p.Process.Pid); return old != 0 })
		syscall.Kill(old, syscall.SIGTERM) // which it ignores
		syscall.Kill(old, syscall.SIGKILL)
		eventually(t, "another guardian", func() bool { now := guardianOf(p.Process.Pid); return now != 0 && now != old })
	}
	if !slices.ContainsFunc(pids, there) {
		t.Fatal("a guardian's death took the families along")
	}
	p.Process.Kill()
	eventually(t, "the end of the families", func() bool { return !anyThere(pids) })
}

// The guardian takes in what it is told, and forgets nothing.
func TestGuardianToldMuch(t *testing.T) {
	p := run(t, os.Args[0], "chatty")
	var child, grandchild int
	p.said.Scan()
	if _, err := fmt.Sscan(p.said.Text(), &child, &grandchild); err != nil {
		t.Fatal(err)
	}
	if p.said.Scan(); p.said.Text() != "told" {
		t.Fatal("told nothing")
	}
	eventually(t, "a guardian", func() bool { return guardianOf(p.Process.Pid) != 0 })
	p.Process.Kill()
	eventually(t, "the end of the family", func() bool { return !there(child) && !there(grandchild) })
}

// A parent that is stopped is not dead.
func TestParentStopped(t *testing.T) {
	p, pids := family(t, 2)
	eventually(t, "a guardian", func() bool { return guardianOf(p.Process.Pid) != 0 })
	p.Process.Signal(syscall.SIGSTOP)
	time.Sleep(3 * guardianLinger / 2) // longer than any time limit of ours
	p.Process.Signal(syscall.SIGCONT)
	time.Sleep(100 * time.Millisecond)
	for _, pid := range append(pids, p.Process.Pid, guardianOf(p.Process.Pid)) {
		if !there(pid) {
			t.Errorf("process %d died", pid)
		}
	}
}

// The guardian leaves when there is nothing to guard, and comes again.
func TestGuardianLeaves(t *testing.T) {
	p := run(t, os.Args[0], "seldom")
	p.succeeds(t)
}

func TestEnterMakes(t *testing.T) {
	out, next := lines()
	c := start(t, Spec{Name: "describer", ForwardStdout: out, Dir: "/", CPUs: []int{0}, Files: []*os.File{devNull(t)}}, "describe")
	e := ended(t, c)
	if e.Code != 0 {
		t.Fatal(e)
	}
	got := map[string]string{}
	var files []string
	for !hasKey(got, "dir") {
		key, value, _ := strings.Cut(next(t), " ")
		if key == "fd" {
			files = append(files, value)
			continue
		}
		got[key] = value
	}
	for key, want := range map[string]string{
		"args0": os.Args[0], "files": "1", "env": "true", "cpus": "1", "dir": "/",
		"grandchild": "4 <nil>", // 0, 1, 2 and the folder that ls reads
	} {
		if got[key] != want {
			t.Errorf("%s: %q, want %q", key, got[key], want)
		}
	}
	// 0, 1, 2, its file, the report pipe and the runtime's duplicate of it, what
	// the runtime polls with, the folder being read.
	for _, file := range files {
		number, to, _ := strings.Cut(file, " ")
		if standard := len(number) == 1 && number < "3"; standard {
			continue
		}
		if to != "/dev/null" && !strings.HasPrefix(to, "pipe:") && !strings.HasPrefix(to, "anon_inode:") && !strings.HasPrefix(to, "/proc/") && !strings.HasPrefix(to, "/sys/fs/cgroup/") {
			t.Errorf("the child has the descriptor %s", file)
		}
	}
	if len(files) > 11 {
		t.Errorf("the child has %d descriptors: %q", len(files), files)
	}
}

func hasKey(m map[string]string, key string) bool { _, ok := m[key]; return ok }

func TestName(t *testing.T) {
	out, next := lines()
	c := start(t, Spec{Name: "worker 3 of x", ForwardStdout: out}, "hang")
	next(t)
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", c.PID()))
	if want := "tristrand: worker 3 of x\x00hang\x00"; string(line) != want {
		t.Errorf("ps shows %q, want %q", line, want)
	}
	comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", c.PID()))
	if want := programName()[:min(15, len(programName()))]; strings.TrimSpace(string(comm)) != want {
		t.Errorf("top shows %q, want %q", comm, want)
	}
}
