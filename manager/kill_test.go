package manager_test

import (
	"bufio"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/manager"
)

const serveUntilKilled = "MANAGER_TEST_SERVE"

// TestServeUntilKilled is the server that TestServerProcessKilled kills.
func TestServeUntilKilled(t *testing.T) {
	address := os.Getenv(serveUntilKilled)
	if address == "" {
		t.Skip("it is a process of TestServerProcessKilled")
	}
	s := &manager.Server{AuthKey: testKey, Objects: []manager.Object{{Name: "jobs", Type: "Queue"}, {Name: "gate", Type: "Lock"}}}
	l := must[net.Listener](t)(manager.Listen(address))
	_ = must[int](t)(os.Stdout.WriteString("serving\n"))
	t.Log(s.Serve(t.Context(), l))
}

// program starts a process that says a line when it is ready.
func program(t *testing.T, name string, args, env []string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	out := must[io.ReadCloser](t)(cmd.StdoutPipe())
	ok(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	})
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); err != nil {
		t.Fatalf("%s says %q: %v", name, line, err)
	}
	return cmd, lines
}

func kill(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	ok(t, cmd.Process.Kill())
	_ = cmd.Wait() // it says that it was killed
}

const waitsForItem = `
import sys
from multiprocessing import managers
class M(managers.BaseManager): pass
M.register("jobs")
m = M(address=sys.argv[1], authkey=b"secret")
m.connect()
q = m.jobs()
print("ready", flush=True)
try:
    q.get()
except (EOFError, ConnectionError) as e:
    print("told", flush=True)
`

// TestServerProcessKilled: a server that is killed is told to all who wait for it,
// Go's and Python's.
func TestServerProcessKilled(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("it is for Unix sockets")
	}
	address := filepath.Join(t.TempDir(), "s")
	server, _ := program(t, os.Args[0], []string{"-test.run=^TestServeUntilKilled$"}, []string{serveUntilKilled + "=" + address})
	c := dial(t, address)
	jobs := manager.QueueOf[int](must[*manager.Proxy](t)(c.Create(t.Context(), "jobs")))
	gate := manager.LockOf(must[*manager.Proxy](t)(c.Create(t.Context(), "gate")))
	ok(t, rawHolds(t, address, gate.Proxy().ID()))
	_, lines := program(t, pythons(t)[0], []string{"-c", waitsForItem, address}, nil)
	failed := make(chan error, 2)
	go func() {
		_, err := jobs.Get(t.Context())
		failed <- err
	}()
	go func() { failed <- gate.Acquire(t.Context()) }()
	until(t, "three wait", func() bool {
		return must[tristrand.QueueState](t)(jobs.State(t.Context())).Getting == 2 &&
			must[tristrand.LockState](t)(gate.State(t.Context())).Waiting == 1
	})
	kill(t, server)
	for range 2 {
		is(t, <-failed, manager.ErrConnection)
	}
	if line, err := lines.ReadString('\n'); line != "told\n" {
		t.Errorf("the Python client says %q, %v", line, err)
	}
}

// rawHolds has a session of its own take a lock, until the test ends.
func rawHolds(t *testing.T, address, id string) error {
	t.Helper()
	a, err := net.ResolveUnixAddr("unix", address)
	if err != nil {
		return err
	}
	s := rawDial(t, a)
	s.session("holder")
	if kind, v := s.call(id, "acquire"); kind != "#RETURN" || v != true {
		t.Errorf("acquire: %s %v", kind, v)
	}
	return nil
}

const holds = `
import sys
from multiprocessing.managers import Token, AcquirerProxy, BarrierProxy
lock = AcquirerProxy(Token("Lock", sys.argv[1], sys.argv[2]), "pickle", authkey=b"secret")
barrier = BarrierProxy(Token("Barrier", sys.argv[1], sys.argv[3]), "pickle", authkey=b"secret")
lock.acquire()
print("ready", flush=True)
barrier.wait()
`

// TestClientProcessKilled: a Python process that is killed while it holds a lock and
// waits at a barrier gives the lock on, and breaks the barrier.
func TestClientProcessKilled(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("it is for Unix sockets")
	}
	at := serve(t, &manager.Server{AuthKey: testKey}, filepath.Join(t.TempDir(), "s")).String()
	c := dial(t, at)
	lock := must[*manager.Lock](t)(manager.NewLock(t.Context(), c))
	barrier := must[*manager.Barrier](t)(manager.NewBarrier(t.Context(), c, 2))
	client, _ := program(t, pythons(t)[0], []string{"-c", holds, at, lock.Proxy().ID(), barrier.Proxy().ID()}, nil)
	until(t, "it waits at the barrier", func() bool {
		return must[tristrand.BarrierState](t)(barrier.State(t.Context())).Waiting == 1
	})
	is(t, lock.TryAcquire(t.Context()), tristrand.ErrBusy)
	kill(t, client)
	until(t, "the barrier is broken", func() bool {
		return must[tristrand.BarrierState](t)(barrier.State(t.Context())).Broken
	})
	is(t, lock.Acquire(t.Context()), tristrand.ErrOwnerDied)
	ok(t, lock.Recover(t.Context()))
	ok(t, lock.Release(t.Context()))
}
