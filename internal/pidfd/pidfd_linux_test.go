package pidfd

import (
	"errors"
	"os"
	"runtime/pprof"
	"syscall"
	"testing"
	"time"
)

func TestHandle(t *testing.T) {
	cmd := sleeper(t)
	h, err := Open(cmd.Process.Pid, 0)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if h.Ended() {
		t.Fatal("ended at birth")
	}
	if err := h.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if !Alive(cmd.Process.Pid, 0) || h.Ended() {
		t.Error("a stopped process counts as dead")
	}
	if err := h.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := h.Wait(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if err := h.Signal(syscall.SIGKILL); !errors.Is(err, ErrGone) {
		t.Errorf("Signal after the reaping: %v, want ErrGone", err)
	}
}

func TestHandleCloseEndsWait(t *testing.T) {
	h, err := Open(sleeper(t).Process.Pid, 0)
	if err != nil {
		t.Skip(err)
	}
	got := make(chan error)
	go func() { got <- h.Wait() }()
	h.Close()
	select {
	case err := <-got:
		if !errors.Is(err, os.ErrClosed) {
			t.Errorf("Wait after Close: %v, want os.ErrClosed", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("Close did not end Wait")
	}
}

// Without pidfds the start time is the identity, and looking tells of the death.
func TestByStartTime(t *testing.T) {
	cmd := sleeper(t)
	pid := cmd.Process.Pid
	id, err := startTime(pid)
	if err != nil || id&byStart == 0 {
		t.Fatalf("startTime = %#x, %v", id, err)
	}
	if !Alive(pid, id) || Alive(pid, id+1) {
		t.Error("with pidfds: a start time is not told from another")
	}
	if checkByPID(pid, id) != nil || checkByPID(pid, id+1) == nil {
		t.Error("without pidfds: a start time is not told from another")
	}
	died := make(chan struct{})
	poll(func() bool { return checkByPID(pid, id) != nil }, func() { close(died) }, nil)
	cmd.Process.Kill()
	select {
	case <-died:
	case <-time.After(20 * time.Second):
		t.Fatal("not told of the death")
	}
}

// Watching must not cost a thread per process.
func TestWatchThreads(t *testing.T) {
	before := pprof.Lookup("threadcreate").Count()
	for range 20 {
		stop, err := Watch(sleeper(t).Process.Pid, 0, func() {})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(stop)
	}
	if grown := pprof.Lookup("threadcreate").Count() - before; grown > 8 {
		t.Errorf("%d more threads for 20 watched processes", grown)
	}
}
