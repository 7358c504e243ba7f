//go:build unix

package cluster_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tristrand/tristrand/cluster"
	_ "github.com/tristrand/tristrand/cluster/embed"
	"github.com/tristrand/tristrand/process"
	"github.com/tristrand/tristrand/strand"
	"github.com/tristrand/tristrand/thread"
)

// partEnv names the environment variable that makes the test binary play a part of a test
// in a process of its own.
const partEnv = "TRISTRAND_CLUSTER_TEST_PART"

// parts are what a process of the test binary can be.
var parts = map[string]func(ctx context.Context, args []string) error{
	"worker": workerPart, "orphans": orphansPart,
}

func TestMain(m *testing.M) {
	if os.Getenv(partEnv) == "" {
		_ = taskAway()
	}
	process.Init()
	if part := os.Getenv(partEnv); part != "" {
		var err error
		done := make(chan struct{})
		strand.Go(untilOrphaned(), strand.Options{Kind: strand.Main, Name: part}, func(ctx context.Context) {
			defer close(done)
			err = parts[part](ctx, os.Args[1:])
		})
		<-done
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// Most of the time tests wait, for leases and elections, so more of them than there are
	// processors run at once, unless the command line says otherwise.
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// untilOrphaned returns a context that ends when the test that has started this process is
// gone, which ends its stdin: it may have had no time to end its children. A part that does
// not end then is ended.
func untilOrphaned() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	from := os.Stdin
	r, w, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	os.Stdin = r
	go func() {
		_, _ = io.Copy(w, from)
		cancel()
		w.Close()
		time.Sleep(5 * time.Second)
		os.Exit(3)
	}()
	return ctx
}

// orphansPart starts a worker: URL. Both write to the same stdout.
func orphansPart(ctx context.Context, args []string) error {
	cmd := exec.Command(os.Args[0], args[0], "1")
	cmd.Env = append(os.Environ(), partEnv+"=serve")
	cmd.Stdout = os.Stdout
	if _, err := cmd.StdinPipe(); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	<-ctx.Done()
	return cmd.Wait()
}

// A process of a test that is killed leaves none behind.
func TestNoPartOutlivesItsTest(t *testing.T) {
	t.Parallel()
	c := open(t, cluster.Options{Durability: cluster.Memory, Listen: "127.0.0.1:0"})
	parent := spawn(t, "orphans", c.URL())
	parent.expect("ready") // says the worker
	_ = parent.Process.Kill()
	late := time.After(patience)
	for {
		select {
		case _, ok := <-parent.lines:
			if !ok {
				return
			}
		case <-late:
			t.Fatal("the worker lives on when who has started it is killed")
		}
	}
}

// A child is a process of the test binary. What it writes to stdout are lines to wait for.
type child struct {
	*exec.Cmd
	t     testing.TB
	in    io.WriteCloser
	lines chan string
	err   *lockedBuffer
	once  sync.Once
	ended chan struct{}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// spawn starts a part. It is killed at the end of the test.
func spawn(t testing.TB, part string, args ...string) *child {
	t.Helper()
	c, err := spawnAs(t, nil, nil, part, args...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// spawnAs starts a part with more in its environment and as a process of a certain kind.
func spawnAs(t testing.TB, env []string, attr *syscall.SysProcAttr, part string, args ...string) (*child, error) {
	t.Helper()
	room := 10000 // lines, beyond which it is held up
	if part == "history" {
		room = 1 << 18
	}
	c := &child{Cmd: exec.Command(os.Args[0], args...), t: t, lines: make(chan string, room), err: &lockedBuffer{}, ended: make(chan struct{})}
	c.Env = append(append(os.Environ(), partEnv+"="+part, "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE")), env...)
	c.SysProcAttr = attr
	c.Stderr = c.err
	var err error
	if c.in, err = c.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(c.lines)
		s := bufio.NewScanner(out)
		s.Buffer(nil, 1<<20)
		for s.Scan() {
			c.lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGCONT)
		c.kill()
		if t.Failed() && c.err.String() != "" {
			t.Logf("%s %v said: %s", part, args, c.err)
		}
	})
	return c, nil
}

// kill kills it in its tracks, and waits.
func (c *child) kill() {
	_ = c.Process.Kill()
	c.once.Do(func() {
		_ = c.Wait()
		close(c.ended)
	})
}

// wait waits for its own end.
func (c *child) wait() error {
	var err error
	c.once.Do(func() {
		err = c.Wait()
		close(c.ended)
	})
	return err
}

func (c *child) signal(s os.Signal) {
	c.t.Helper()
	if err := c.Process.Signal(s); err != nil {
		c.t.Fatalf("signal %v: %v", s, err)
	}
}

func (c *child) say(format string, args ...any) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c.in, format+"\n", args...); err != nil {
		c.t.Fatalf("the child does not listen: %v; it said: %s", err, c.err)
	}
}

const patience = time.Minute

// hear returns its next line.
func (c *child) hear() string {
	c.t.Helper()
	select {
	case line, ok := <-c.lines:
		if !ok {
			c.t.Fatalf("the child has ended; it said: %s", c.err)
		}
		return line
	case <-time.After(patience):
		c.t.Fatalf("the child says nothing; on stderr: %s", c.err)
		return ""
	}
}

func (c *child) expect(want string) {
	c.t.Helper()
	if got := c.hear(); got != want {
		c.t.Fatalf("the child said %q, want %q; on stderr: %s", got, want, c.err)
	}
}

// workerPart serves queues as it is told: "serve QUEUE WORKERS", "end QUEUE".
func workerPart(ctx context.Context, args []string) error {
	c, err := cluster.Connect(ctx, args[0])
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	ends := map[string]func(){}
	var all sync.WaitGroup
	for s := bufio.NewScanner(os.Stdin); s.Scan(); {
		var verb, queue string
		workers := 1
		_, _ = fmt.Sscan(s.Text(), &verb, &queue, &workers)
		switch verb {
		case "serve":
			inner, cancel := context.WithCancel(ctx)
			ended := make(chan struct{})
			all.Add(1)
			strand.Go(inner, strand.Options{Kind: strand.Thread, Name: "serve " + queue}, func(ctx context.Context) {
				defer all.Done()
				defer close(ended)
				engine := &thread.Pool{Workers: workers}
				defer engine.Close(context.WithoutCancel(ctx))
				w := &cluster.Worker{Queues: []string{queue}, NoSignals: true, Grace: time.Second}
				if err := w.Serve(ctx, c, engine); err != nil {
					fmt.Fprintln(os.Stderr, "Serve:", err)
				}
			})
			ends[queue] = func() { cancel(); <-ended }
		case "end":
			if end := ends[queue]; end != nil {
				end()
			}
		}
		fmt.Println("ok")
	}
	for _, end := range ends {
		end()
	}
	all.Wait()
	return nil
}

// open opens a cluster that is closed at the end of the test.
func open(t testing.TB, o cluster.Options) *cluster.Cluster {
	t.Helper()
	c, err := cluster.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c
}

// until polls for what must come about.
func until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for began := time.Now(); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Since(began) > patience {
			t.Fatalf("%s has not come about", what)
		}
	}
}

// adopt makes the test a strand.
func adopt(t testing.TB) context.Context {
	ctx, end := strand.Adopt(context.Background(), "test")
	t.Cleanup(end)
	return ctx
}
