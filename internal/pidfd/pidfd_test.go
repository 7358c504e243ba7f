package pidfd

import (
	"errors"
	"os"
	"os/exec"
	"testing"
	"time"
)

// sleeper starts a process that lives until the test ends it.
func sleeper(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestSleeper$")
	cmd.Env = append(os.Environ(), "PIDFD_TEST_SLEEPER=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd
}

// TestSleeper is no test: it is the process that sleeper starts.
func TestSleeper(t *testing.T) {
	if os.Getenv("PIDFD_TEST_SLEEPER") == "" {
		t.Skip("a part of other tests")
	}
	os.Stdin.Read(make([]byte, 1))
}

func TestSelf(t *testing.T) {
	pid, id := Self()
	if pid != os.Getpid() || id == 0 {
		t.Fatalf("Self() = %d, %#x, want %d and an identity", pid, id, os.Getpid())
	}
	if again, err := Identity(pid); err != nil || again != id {
		t.Errorf("Identity = %#x, %v; Self said %#x", again, err, id)
	}
	if !Alive(pid, id) || !Alive(pid, 0) {
		t.Error("this process is not alive")
	}
	if Alive(pid, id+1) {
		t.Error("this process is alive under another id")
	}
}

func TestIdentitiesDiffer(t *testing.T) {
	seen := map[uint64]int{}
	for range 5 {
		pid := sleeper(t).Process.Pid
		id, err := Identity(pid)
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[id]; ok {
			t.Fatalf("processes %d and %d have both the id %#x", pid, other, id)
		}
		seen[id] = pid
	}
}

func TestWatch(t *testing.T) {
	cmd := sleeper(t)
	pid := cmd.Process.Pid
	id, err := Identity(pid)
	if err != nil {
		t.Fatal(err)
	}
	died := make(chan struct{})
	if _, err := Watch(pid, id, func() { close(died) }); err != nil {
		t.Fatal(err)
	}
	stop, err := Watch(pid, id, func() { t.Error("called after stop") })
	if err != nil {
		t.Fatal(err)
	}
	stop()
	stop()
	if _, err := Watch(pid, id+1, func() { t.Error("called for another id") }); !errors.Is(err, ErrGone) {
		t.Errorf("Watch of another id: %v, want ErrGone", err)
	}
	select {
	case <-died:
		t.Fatal("told of a death before it")
	default:
	}
	cmd.Process.Kill() // not reaped: the death counts, not the reaping
	select {
	case <-died:
	case <-time.After(20 * time.Second):
		t.Fatal("not told of the death")
	}
	if Alive(pid, id) {
		t.Error("alive after its death, before it is reaped")
	}
	cmd.Wait()
	if Alive(pid, id) {
		t.Error("alive after it was reaped")
	}
	if _, err := Watch(pid, id, func() {}); !errors.Is(err, ErrGone) {
		t.Errorf("Watch of a dead process: %v, want ErrGone", err)
	}
}

func TestWatchRefuses(t *testing.T) {
	for _, pid := range []int{0, -1} {
		if _, err := Watch(pid, 0, func() {}); err == nil || errors.Is(err, ErrGone) {
			t.Errorf("Watch(%d): %v, want an error that says what a pid is", pid, err)
		}
		if Alive(pid, 0) {
			t.Errorf("Alive(%d)", pid)
		}
	}
}
