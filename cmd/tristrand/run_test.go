//go:build unix

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tristrand prepares "tristrand run" in a folder.
func tristrand(dir string, args ...string) *exec.Cmd {
	cmd := exec.Command("tristrand", append([]string{"run"}, args...)...)
	cmd.Dir = dir
	return cmd
}

// numbers writes 1 to n, one on a line.
func numbers(t *testing.T, n int) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "numbers"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	w := bufio.NewWriter(f)
	for i := range n {
		fmt.Fprintln(w, i+1)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	return f
}

func lines(t *testing.T, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}

// waitFor waits until a file has n lines.
func waitFor(t *testing.T, path string, n int) {
	t.Helper()
	for range 3000 {
		if b, _ := os.ReadFile(path); bytes.Count(b, []byte("\n")) >= n {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s has not got %d lines", path, n)
}

// Killed at any moment and resumed, a run does every job, and only those twice
// that ran when it was killed.
func TestResumeAfterKill(t *testing.T) {
	const jobs, workers, kills = 300, 2, 3
	dir := t.TempDir()
	in := numbers(t, jobs)
	log, ran := filepath.Join(dir, "log"), filepath.Join(dir, "ran")
	run := func() *exec.Cmd {
		if _, err := in.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		cmd := tristrand(dir, "-j", strconv.Itoa(workers), "--joblog", "log", "--resume", "--", "sh", "-c", "echo {} >>ran")
		cmd.Stdin = in
		cmd.Stderr = os.Stderr
		return cmd
	}
	for i := range kills {
		cmd := run()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		waitFor(t, log, 30*(i+1))
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // "signal: killed"
	}
	if err := run().Run(); err != nil {
		t.Fatal(err)
	}
	times := make(map[string]int)
	for _, n := range lines(t, ran) {
		times[n]++
	}
	for i := range jobs {
		if times[strconv.Itoa(i+1)] == 0 {
			t.Errorf("job %d never ran", i+1)
		}
	}
	if again := len(lines(t, ran)) - jobs; again > kills*workers {
		t.Errorf("%d jobs ran again, want at most %d", again, kills*workers)
	}
	if got := len(lines(t, log)); got != jobs+1 {
		t.Errorf("the log has %d lines, want %d", got, jobs+1)
	}
}

// A child dies with a run that is killed.
func TestKilledRunLeavesNoChild(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("children outlive a killed parent there")
	}
	t.Run("of a command", func(t *testing.T) {
		killedRun(t, "--", "sh", "-c", "echo $$ >>pids; exec sleep {}", ":::", "100", "101")
	})
	t.Run("of a worker", func(t *testing.T) {
		const job = `sh -c 'echo $$ >>pids; echo $PPID >>pids; exec sleep 100'`
		killedRun(t, "--engine", "process", "--task", "exec", ":::", job, job)
	})
}

// killedRun kills a run whose jobs write who they are, and waits for their end.
func killedRun(t *testing.T, args ...string) {
	dir := t.TempDir()
	cmd := tristrand(dir, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pids := filepath.Join(dir, "pids")
	waitFor(t, pids, 1)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // "signal: killed"
	for _, pid := range lines(t, pids) {
		awaitGone(t, pid)
	}
}

// awaitGone waits until a process has ended; one that nobody reaps has.
func awaitGone(t *testing.T, pid string) {
	t.Helper()
	n, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		stat, _ := os.ReadFile("/proc/" + pid + "/stat")
		if syscall.Kill(n, 0) != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("process %s goes on", pid)
}

// The first Ctrl-C lets jobs end as they like, within the grace; the second one
// does not.
func TestSecondInterruptKills(t *testing.T) {
	dir := t.TempDir()
	cmd := tristrand(dir, "--grace", "1h", "--", "sh", "-c", `trap "echo told >>told" TERM; echo $$ >>pids; while :; do sleep 0.05; done`, ":::", "a")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, filepath.Join(dir, "pids"), 1)
	for _, wait := range []func(){func() { waitFor(t, filepath.Join(dir, "told"), 1) }, func() {}} {
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		wait()
	}
	_ = cmd.Wait() // its code is looked at
	if code := cmd.ProcessState.ExitCode(); code != exitInterrupt || !strings.Contains(stderr.String(), "1 stopped") {
		t.Errorf("exit code %d, and says %q", code, stderr.String())
	}
	for _, pid := range lines(t, filepath.Join(dir, "pids")) {
		awaitGone(t, pid)
	}
}

// SIGTERM and SIGHUP stop a run as Ctrl-C does; its exit code says which.
func TestOtherSignals(t *testing.T) {
	for sig, want := range map[syscall.Signal]int{syscall.SIGTERM: exitTerminated, syscall.SIGHUP: exitHangup} {
		t.Run(sig.String(), func(t *testing.T) {
			dir := t.TempDir()
			cmd := tristrand(dir, "--", "sh", "-c", "echo begun >>begun; exec sleep {}", ":::", "100")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			waitFor(t, filepath.Join(dir, "begun"), 1)
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // its code is looked at
			if code := cmd.ProcessState.ExitCode(); code != want {
				t.Errorf("exit code %d, want %d", code, want)
			}
		})
	}
}

// peakBytes is the most resident memory that an ended process had.
func peakBytes(cmd *exec.Cmd) int64 {
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	unit := int64(1 << 10) // of Linux; darwin counts bytes
	if runtime.GOOS == "darwin" {
		unit = 1
	}
	return usage.Maxrss * unit
}

// count runs a command and returns how much it printed.
func count(t *testing.T, cmd *exec.Cmd) int64 {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, out)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return n
}

// An output is not held in memory, however long it is, and none of it is lost.
func TestLargeOutput(t *testing.T) {
	size := int64(1_000_000_000)
	if testing.Short() {
		size = 100_000_000
	}
	const limit = 200 << 20 // with the race detector; without it has some 20 MB
	for _, args := range [][]string{{"-j", "1"}, {"-k", "-j", "2"}} {
		cmd := tristrand(t.TempDir(), append(args, "--", "head", "-c", strconv.FormatInt(size/2, 10), ":::", "/dev/zero", "/dev/zero")...)
		if n := count(t, cmd); n != size {
			t.Errorf("%v: %d bytes were printed, want %d", args, n, size)
		}
		if peak := peakBytes(cmd); peak > limit {
			t.Errorf("%v: %d bytes in memory", args, peak)
		}
	}
}

// Inputs are taken as they are needed: many of them need no more memory, and
// each is used once.
func TestManyInputs(t *testing.T) {
	t.Run("tasks", func(t *testing.T) { manyInputs(t, 100_000, "--task", "prime") })
	t.Run("commands", func(t *testing.T) {
		jobs := 2_000
		if os.Getenv("TRISTRAND_SOAK") != "" {
			jobs = 100_000
		}
		manyInputs(t, jobs, "--", "echo")
	})
}

func manyInputs(t *testing.T, jobs int, args ...string) {
	for _, order := range []string{"-j4", "-k"} {
		in := numbers(t, jobs)
		cmd := tristrand(t.TempDir(), append([]string{order}, args...)...)
		cmd.Stdin = in
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		seen := make([]bool, jobs+1)
		last, count := 0, 0
		for s := bufio.NewScanner(out); s.Scan(); count++ {
			first, _, _ := strings.Cut(s.Text(), " ")
			n, err := strconv.Atoi(first)
			if err != nil || n < 1 || n > jobs || seen[n] {
				t.Fatalf("line %d is %q", count+1, s.Text())
			}
			if order == "-k" && n != last+1 {
				t.Fatalf("line %d is of input %d", count+1, n)
			}
			seen[n], last = true, n
		}
		if err := cmd.Wait(); err != nil || count != jobs {
			t.Errorf("%s: %d lines, %v; want %d", order, count, err, jobs)
		}
		if peak := peakBytes(cmd); peak > 200<<20 {
			t.Errorf("%s: %d bytes in memory", order, peak)
		}
	}
}

// A job that is slow holds up the output of the later ones, not these jobs, and
// their output is not held in memory.
func TestKeepOrderBehindASlowJob(t *testing.T) {
	dir := t.TempDir()
	const jobs = 600 // of 1 MB each
	cmd := tristrand(dir, "-k", "-j", "3", "--", "sh", "-c",
		`if [ {} = 1 ]; then while ! [ -e end ]; do sleep 0.01; done; fi; head -c 1000000 /dev/zero; [ {} != `+strconv.Itoa(jobs)+` ] || touch end`)
	cmd.Stdin = numbers(t, jobs)
	if n := count(t, cmd); n != jobs*1_000_000 {
		t.Errorf("%d bytes were printed, want %d", n, jobs*1_000_000)
	}
	if peak := peakBytes(cmd); peak > 400<<20 {
		t.Errorf("%d bytes in memory", peak)
	}
}

// Ctrl-C stops the jobs even while nobody takes the output that is being
// printed.
func TestInterruptWhileOutputIsHeldUp(t *testing.T) {
	dir := t.TempDir()
	cmd := tristrand(dir, "-j", "2", "--", "sh", "-c", `if [ {} = 1 ]; then head -c 1000000 /dev/zero; else echo $$ >>pids; exec sleep 100; fi`, ":::", "1", "2")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	pids := filepath.Join(dir, "pids")
	waitFor(t, pids, 1)
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	for _, pid := range lines(t, pids) {
		awaitGone(t, pid)
	}
	if n, err := io.Copy(io.Discard, out); n != 999_999 || err != nil {
		t.Errorf("%d more bytes, %v", n, err)
	}
	_ = cmd.Wait() // its code is looked at
	if code := cmd.ProcessState.ExitCode(); code != exitInterrupt {
		t.Errorf("exit code %d", code)
	}
}
