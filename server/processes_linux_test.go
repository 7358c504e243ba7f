package server_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/process"
	"github.com/tristrand/tristrand/server"
)

// worker does what its client says, in whatever process it is.
var worker = server.Handle("test.worker", func(ctx context.Context, c *server.Conn) error {
	for line, err := range c.Lines() {
		if err != nil {
			return err
		}
		word, rest, _ := strings.Cut(line, " ")
		answer := strings.ToUpper(line)
		switch word {
		case "pid":
			answer = strconv.Itoa(os.Getpid())
		case "who":
			answer = c.RemoteAddr().String()
		case "crash":
			os.Exit(3)
		case "kill":
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		case "panic":
			panic(rest)
		case "error":
			return errors.New(rest)
		case "goexit":
			runtime.Goexit()
		case "hang":
			for { //nolint:staticcheck // it never ends, on purpose
			}
		case "wait":
			<-ctx.Done()
			answer = fmt.Sprint(context.Cause(ctx))
		case "files":
			var limit syscall.Rlimit
			_ = syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit)
			limit.Cur, _ = strconv.ParseUint(rest, 10, 64)
			_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
			answer = "limited"
		}
		if err := c.WriteLine(answer); err != nil {
			return err
		}
	}
	return nil
})

// warmUp starts the first worker process of this one, with which come goroutines
// that start processes and never end.
var warmUp = sync.OnceFunc(func() {
	ctx, cancel := context.WithCancel(context.Background())
	s := &server.Server{Addr: "127.0.0.1:0", Handler: worker, Model: server.Processes{Workers: 1}}
	time.AfterFunc(time.Millisecond, cancel)
	_ = s.Serve(ctx)
})

// children counts the processes that this one has started and not waited for.
func children() int {
	n := 0
	dirs, _ := os.ReadDir("/proc/self/task")
	for _, d := range dirs {
		b, _ := os.ReadFile("/proc/self/task/" + d.Name() + "/children")
		n += len(strings.Fields(string(b)))
	}
	return n
}

func TestProcessesServe(t *testing.T) {
	for name, m := range map[string]server.Processes{
		"warm": {Workers: 2}, "one at a time": {Workers: 2, PerWorker: 1}, "fresh": {Workers: 2, PerConnection: true}, "replaced": {Workers: 2, MaxServed: 3},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, &server.Server{Handler: worker, Model: m})
			pids := map[string]int{}
			var mu sync.Mutex
			var wg sync.WaitGroup
			for i := range 4 {
				wg.Go(func() {
					for j := range 5 {
						c := s.client(t)
						if got, err := c.ask(fmt.Sprintf("hello %d %d", i, j)); got != fmt.Sprintf("HELLO %d %d", i, j) {
							t.Errorf("got %q, %v", got, err)
						}
						pid, err := c.ask("pid")
						if err != nil {
							t.Error(err)
						}
						if who, err := c.ask("who"); who != c.LocalAddr().String() {
							t.Errorf("got %q, %v", who, err)
						}
						mu.Lock()
						pids[pid]++
						mu.Unlock()
						_ = c.Close()
					}
				})
			}
			wg.Wait()
			if pids[strconv.Itoa(os.Getpid())] != 0 {
				t.Error("a handler ran in this process")
			}
			switch n := len(pids); {
			case m.PerConnection && n != 20, m.MaxServed > 0 && n < 6, !m.PerConnection && m.MaxServed == 0 && n != 2:
				t.Errorf("pids %v", pids)
			}
			eventually(t, func() (string, bool) { return fmt.Sprintf("%+v", s.Stats()), s.Stats().Finished == 20 })
		})
	}
}

func TestProcessesTrouble(t *testing.T) {
	for _, fresh := range []bool{false, true} {
		t.Run(fmt.Sprintf("fresh=%v", fresh), func(t *testing.T) {
			reports := make(chan error, 100)
			s := start(t, &server.Server{Handler: worker, Model: server.Processes{Workers: 2, PerConnection: fresh}, OnError: func(_ context.Context, _ net.Addr, err error) { reports <- err }})
			other := s.client(t)
			if _, err := other.ask("pid"); err != nil {
				t.Fatal(err)
			}
			for word, check := range map[string]func(error) bool{
				"panic on purpose": func(err error) bool {
					var p *tristrand.PanicError
					return errors.As(err, &p) && p.Value == "on purpose"
				},
				"error on purpose": func(err error) bool { return err.Error() == "on purpose" },
				"goexit":           func(err error) bool { return strings.Contains(err.Error(), "Goexit") },
				"crash":            func(err error) bool { var x *process.ExitError; return errors.As(err, &x) && x.Code == 3 },
				"kill": func(err error) bool {
					var x *process.ExitError
					return errors.As(err, &x) && x.Signal == syscall.SIGKILL
				},
			} {
				c := s.client(t)
				if got, err := c.ask(word); err == nil {
					t.Errorf("%s: answered %q", word, got)
				}
				for {
					err := <-reports
					if check(err) {
						break
					}
					if fresh {
						t.Errorf("%s: reported %v", word, err)
						break
					}
				}
			}
			if fresh { // what the others did was theirs alone
				if got, err := other.ask("hello"); got != "HELLO" {
					t.Errorf("got %q, %v", got, err)
				}
			}
			if got, err := s.client(t).ask("again"); got != "AGAIN" {
				t.Errorf("got %q, %v", got, err)
			}
			eventually(t, func() (string, bool) { // a crash takes what a warm worker has not told with it
				st := s.Stats()
				return fmt.Sprintf("%+v", st), st.Crashed >= 2 && (st.Panicked == 2 || !fresh)
			})
		})
	}
}

// A handler that never ends, in a process, is ended.
func TestProcessesAreCut(t *testing.T) {
	s := start(t, &server.Server{Handler: worker, Grace: 100 * time.Millisecond, Model: server.Processes{Workers: 1}})
	c := s.client(t)
	_, _ = io.WriteString(c, "hang\n")
	polite := s.client(t)
	_, _ = io.WriteString(polite, "wait\n")
	eventually(t, func() (string, bool) { return "", s.Stats().Active == 2 })
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	err := s.Shutdown(ctx)
	var cut *server.ShutdownError
	if !errors.As(err, &cut) || len(cut.Cut) == 0 || cut.Running != 0 || cut.Cut[0].PID == 0 {
		t.Errorf("got %v", err)
	}
	_ = s.end(t)
	if n := children(); n > 1 { // the guardian stays for a second
		t.Errorf("%d processes are left", n)
	}
}

// allStopped reports whether a signal holds every thread of a process up.
func allStopped(pid int) bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, file := range threads {
		stat, err := os.ReadFile(file)
		if _, after, ok := strings.Cut(string(stat), ") "); err != nil || !ok || after[0] != 'T' {
			return false
		}
	}
	return len(threads) > 0
}

// Connections that were sent to a worker which is killed before it takes them go to
// another one.
func TestProcessesKilledInFlight(t *testing.T) {
	s := start(t, &server.Server{Handler: worker, OnError: quiet, Model: server.Processes{Workers: 2}})
	first := s.client(t)
	pid, err := first.ask("pid")
	if err != nil {
		t.Fatal(err)
	}
	n, _ := strconv.Atoi(pid)
	_ = syscall.Kill(n, syscall.SIGSTOP)
	eventually(t, func() (string, bool) { return "", allStopped(n) }) // it takes nothing any more
	var late []*client
	for range 10 {
		late = append(late, s.client(t))
	}
	eventually(t, func() (string, bool) { return fmt.Sprintf("%+v", s.Stats()), s.Stats().Accepted == 11 })
	_ = syscall.Kill(n, syscall.SIGKILL)
	for i, c := range late {
		if got, err := c.ask("hello"); got != "HELLO" {
			t.Errorf("connection %d: %q, %v", i, got, err)
		}
	}
	if st := s.Stats(); st.Crashed != 1 {
		t.Errorf("%+v", st)
	}
}

// A worker without descriptors loses those that are sent to it, and says so.
func TestProcessesOutOfDescriptors(t *testing.T) {
	s := start(t, &server.Server{Handler: worker, OnError: quiet, Model: server.Processes{Workers: 2}})
	poor := s.client(t)
	if got, err := poor.ask("files 1"); got != "limited" {
		t.Fatalf("got %q, %v", got, err)
	}
	for i := range 10 {
		c := s.client(t)
		if got, err := c.ask("hello"); got != "HELLO" {
			t.Errorf("connection %d: %q, %v", i, got, err)
		}
		_ = c.Close()
	}
	if got, err := poor.ask("still here"); got != "STILL HERE" {
		t.Errorf("got %q, %v", got, err)
	}
}

// While no worker has descriptors, who comes waits, and nobody is lost.
func TestProcessesWaitForDescriptors(t *testing.T) {
	reports := make(chan error, 100)
	s := start(t, &server.Server{Handler: worker, Model: server.Processes{Workers: 1}, OnError: func(_ context.Context, _ net.Addr, err error) { reports <- err }})
	poor := s.client(t)
	if got, err := poor.ask("files 1"); got != "limited" {
		t.Fatalf("got %q, %v", got, err)
	}
	var late []*client
	for range 100 {
		c := s.client(t)
		_, _ = io.WriteString(c, "hello\n")
		late = append(late, c)
	}
	if err := <-reports; !strings.Contains(err.Error(), "ulimit -n") {
		t.Errorf("reported %v", err)
	}
	if err := greeted(late[0], 50*time.Millisecond); err == nil {
		t.Error("a worker without descriptors has served one")
	}
	if got, err := poor.ask("files 1000"); got != "limited" {
		t.Fatalf("got %q, %v", got, err)
	}
	for i, c := range late {
		_ = c.SetDeadline(time.Now().Add(patience))
		if got, err := c.in.ReadString('\n'); got != "HELLO\n" {
			t.Fatalf("connection %d: %q, %v", i, got, err)
		}
	}
	if st := s.Stats(); st.Failed != 0 || len(reports) != 0 {
		t.Errorf("%+v, and %d more reports", st, len(reports))
	}
}

// What a client has sent before it was handed over is the worker's to read, in TLS
// and behind a PROXY header too.
func TestProcessesWithTLSAndProxy(t *testing.T) {
	cert, key, pool := certificate(t, t.TempDir(), "x")
	s := start(t, &server.Server{
		Proxy: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, CertFile: cert, KeyFile: key, Handler: worker, OnError: quiet,
		Model: server.Processes{Workers: 2},
	})
	for range 4 {
		c := s.dial(t)
		tc := tls.Client(&prefixed{Conn: c, head: "PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\r\n"}, &tls.Config{RootCAs: pool, ServerName: "localhost"})
		fmt.Fprintln(tc, "who")
		if got, err := bufio.NewReader(tc).ReadString('\n'); got != "192.0.2.1:1234\n" {
			t.Errorf("got %q, %v", got, err)
		}
	}
	bad := s.dial(t)
	_, _ = io.WriteString(bad, "PROXY nonsense\r\n")
	if got, err := io.ReadAll(bad); len(got) != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %q, %v", got, err)
	}
	eventually(t, func() (string, bool) { return fmt.Sprintf("%+v", s.Stats()), s.Stats().Refused == 1 })
}

// While no worker can start, clients wait, and starts are tried again with pauses.
func TestProcessesThatCannotStart(t *testing.T) {
	dir := t.TempDir()
	cert, key, pool := certificate(t, dir, "x")
	good, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	var failed atomic.Int32
	s := start(t, &server.Server{
		CertFile: cert, KeyFile: key, Handler: worker, Model: server.Processes{Workers: 1},
		OnError: func(context.Context, net.Addr, error) { failed.Add(1) },
	})
	conf := &tls.Config{RootCAs: pool, ServerName: "localhost"}
	killer := tls.Client(s.dial(t), conf)
	fmt.Fprintln(killer, "hello")
	if got, err := bufio.NewReader(killer).ReadString('\n'); got != "HELLO\n" {
		t.Fatalf("got %q, %v", got, err)
	}
	if err := os.WriteFile(cert, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	fmt.Fprintln(killer, "kill")
	waiting := s.dial(t)
	for failed.Load() < 5 {
		time.Sleep(time.Millisecond)
	}
	if most := 2 + int32(time.Since(began)/(100*time.Millisecond)); failed.Load() > most {
		t.Errorf("%d failures in %v", failed.Load(), time.Since(began))
	}
	if err := os.WriteFile(cert, good, 0o600); err != nil {
		t.Fatal(err)
	}
	c := tls.Client(waiting, conf)
	fmt.Fprintln(c, "hello")
	if got, err := bufio.NewReader(c).ReadString('\n'); got != "HELLO\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

// The clients that PROXY headers name are counted for all workers together, and are
// those that Conns tells of.
func TestProcessesLimitPerAddressBehindABalancer(t *testing.T) {
	for name, m := range map[string]server.Processes{"warm": {Workers: 3}, "fresh": {Workers: 3, PerConnection: true}} {
		t.Run(name, func(t *testing.T) {
			s := start(t, &server.Server{
				Proxy: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, MaxPerAddr: 2, Handler: worker, OnError: quiet, Model: m,
			})
			hello := func(from string) (*client, error) {
				c := s.client(t)
				_, _ = io.WriteString(c, "PROXY TCP4 "+from+" 192.0.2.200 1234 80\r\n")
				_, err := c.ask("hello")
				return c, err
			}
			var in []*client
			for _, from := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.2", "192.0.2.3"} {
				c, err := hello(from)
				if err != nil {
					t.Fatal(from, err)
				}
				in = append(in, c)
			}
			for range 4 { // whichever worker it comes to
				if _, err := hello("192.0.2.1"); err == nil {
					t.Error("a third one of the same client was served")
				}
			}
			eventually(t, func() (string, bool) {
				seen := map[string]int{}
				for v := range s.Conns() {
					seen[v.Remote]++
				}
				return fmt.Sprint(seen), seen["192.0.2.1:1234"] == 2 && seen["192.0.2.2:1234"] == 2 && seen["192.0.2.3:1234"] == 1
			})
			_, _ = io.WriteString(in[0], "crash\n") // the place of one that crashes is free, too
			eventually(t, func() (string, bool) {
				_, err := hello("192.0.2.1")
				return fmt.Sprint(err), err == nil
			})
		})
	}
}

func TestProcessesDatagrams(t *testing.T) {
	s := start(t, &server.Server{Addr: "udp:127.0.0.1:0", Handler: worker, Model: server.Processes{Workers: 2}})
	c := s.client(t)
	for i := range 20 {
		if got, err := c.ask(fmt.Sprint("hello ", i)); got != fmt.Sprint("HELLO ", i) {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	if pid, _ := c.ask("pid"); pid == strconv.Itoa(os.Getpid()) {
		t.Error("it ran in this process")
	}
}

func TestProcessesShutdownLosesNobody(t *testing.T) {
	s := start(t, &server.Server{Handler: worker, Model: server.Processes{Workers: 2}})
	var mu sync.Mutex
	answered := 0
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				raw, err := net.Dial("tcp", s.addr.String())
				if err != nil {
					return
				}
				c := &client{raw, bufio.NewReader(raw)}
				if got, err := c.ask("hello"); got == "HELLO" {
					mu.Lock()
					answered++
					mu.Unlock()
				} else {
					t.Logf("lost: %q, %v", got, err)
				}
				_ = c.Close()
			}
		})
	}
	eventually(t, func() (string, bool) { mu.Lock(); defer mu.Unlock(); return "", answered > 200 })
	if err := s.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if n := s.Stats().Accepted; uint64(answered) != n {
		t.Errorf("%d accepted, %d answered", n, answered)
	}
}

func TestProcessesWrongUse(t *testing.T) {
	before := resources(t)
	cert, key, _ := certificate(t, t.TempDir(), "x")
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*server.Server{
		"a closure":    {Addr: "127.0.0.1:0", Handler: echo, Model: server.Processes{}},
		"a TLS config": {Addr: "127.0.0.1:0", Handler: worker, TLS: &tls.Config{Certificates: []tls.Certificate{pair}}, Model: server.Processes{}},
	} {
		if err := s.Serve(t.Context()); !errors.Is(err, tristrand.ErrNotPortable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	before.same(t)
}
