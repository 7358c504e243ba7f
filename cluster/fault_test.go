//go:build unix

package cluster_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/cluster"
	"github.com/tristrand/tristrand/strand"
	"github.com/tristrand/tristrand/thread"
)

// The tasks of the faults.
var (
	taskNote = tristrand.Define("cluster.note", func(_ context.Context, in noteIn) (int, error) {
		f, err := os.OpenFile(in.File, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return 0, err
		}
		_, err = fmt.Fprintln(f, in.N)
		time.Sleep(in.Sleep)
		return in.N * 2, errors.Join(err, f.Close())
	})
	taskPoison = tristrand.Define("cluster.poison", func(_ context.Context, code int) (int, error) {
		if code != 0 {
			os.Exit(code)
		}
		return 0, nil
	})
)

type noteIn struct {
	File  string
	N     int
	Sleep time.Duration
}

func addParts() bool {
	parts["server"] = serverPart
	parts["serve"] = servePart
	parts["lock"] = lockPart
	return true
}

var _ = addParts()

// serverPart is a server: DIR LISTEN DURABILITY [SELF PEERS…].
func serverPart(ctx context.Context, args []string) error {
	o := cluster.Options{Dir: args[0], Listen: args[1], Lease: time.Second}
	if args[2] == "power" {
		o.Durability = cluster.Power
	}
	if len(args) > 3 {
		o.Self, o.Peers = args[3], args[4:]
	}
	c, err := cluster.Open(ctx, o)
	if err != nil {
		return err
	}
	fmt.Println(c.URL())
	for s := bufio.NewScanner(os.Stdin); s.Scan(); {
	}
	return c.Close(ctx)
}

// servePart is a worker: URL SLOTS.
func servePart(ctx context.Context, args []string) error {
	c, err := cluster.Open(ctx, cluster.Options{URLs: strings.Split(args[0], ","), Durability: cluster.Memory})
	if err != nil {
		return err
	}
	n := 2
	_, _ = fmt.Sscan(args[1], &n)
	fmt.Println("ready")
	err = cluster.Serve(ctx, c, &thread.Pool{Workers: n})
	return errors.Join(err, c.Close(ctx))
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func startServer(t *testing.T, args ...string) (*child, string) {
	t.Helper()
	s := spawn(t, "server", args...)
	return s, s.hear()
}

func connect(t *testing.T, url string) *cluster.Cluster {
	t.Helper()
	c, err := cluster.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// Workers are killed at random moments: every job has one result, and those that were lost
// run again.
func TestKilledWorkersLoseNoJob(t *testing.T) {
	t.Parallel()
	ctx := adopt(t)
	rounds, jobs := 20, 200
	c := open(t, cluster.Options{Durability: cluster.Memory, Listen: "127.0.0.1:0", Lease: time.Second})
	var mu sync.Mutex
	workers := map[int]*child{}
	for i := range 2 {
		workers[i] = spawn(t, "serve", c.URL(), "4")
		workers[i].expect("ready")
	}
	p := c.Pool()
	p.Attempts = 1000
	log := filepath.Join(t.TempDir(), "log")
	var fs []*tristrand.Future[int]
	over := make(chan struct{})
	killed := 0
	go func() {
		defer close(over)
		for i := range rounds {
			time.Sleep(rand.N(60 * time.Millisecond))
			mu.Lock()
			workers[i%2].kill()
			killed++
			w := spawn(t, "serve", c.URL(), "4")
			workers[i%2] = w
			mu.Unlock()
			w.expect("ready")
		}
	}()
	for n := range jobs {
		fs = append(fs, taskNote.Submit(ctx, p, noteIn{log, n, rand.N(20 * time.Millisecond)}))
	}
	for n, f := range fs {
		if v, err := f.Result(ctx); v != 2*n || err != nil {
			t.Errorf("job %d gives %d, %v", n, v, err)
		}
	}
	<-over
	if err := p.Close(ctx); err != nil {
		t.Error(err)
	}
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	runs := map[string]int{}
	for l := range strings.FieldsSeq(string(text)) {
		runs[l]++
	}
	if len(runs) != jobs {
		t.Errorf("%d of %d jobs ran", len(runs), jobs)
	}
	t.Logf("%d workers killed; %d jobs ran %d times", killed, jobs, len(strings.Fields(string(text))))
}

// The only server is killed under load and started again: what was acknowledged has a
// result.
func TestKilledServerKeepsJobs(t *testing.T) {
	t.Parallel()
	for _, durability := range []string{"process", "power"} {
		t.Run(durability, func(t *testing.T) {
			t.Parallel()
			ctx := adopt(t)
			dir, addr := t.TempDir(), freeAddr(t)
			server, url := startServer(t, dir, addr, durability)
			w := spawn(t, "serve", url, "4")
			w.expect("ready")
			c := connect(t, url)
			p := c.Pool()
			log := filepath.Join(t.TempDir(), "log")
			var fs []*tristrand.Future[int]
			var submitted atomic.Int64
			done := make(chan struct{})
			strand.Go(context.Background(), strand.Options{Kind: strand.Thread, Name: "submitter"}, func(ctx context.Context) {
				defer close(done)
				for n := range 400 {
					fs = append(fs, taskNote.Submit(ctx, p, noteIn{log, n, time.Millisecond}))
					submitted.Add(1)
				}
			})
			for range 2 {
				before := submitted.Load()
				until(t, "more jobs", func() bool { return submitted.Load() > before+50 || submitted.Load() == 400 })
				server.kill()
				server, _ = startServer(t, dir, addr, durability)
			}
			<-done
			for n, f := range fs {
				if v, err := f.Result(ctx); v != 2*n || err != nil {
					t.Errorf("job %d gives %d, %v", n, v, err)
				}
			}
		})
	}
}

// A job that kills its workers is given up, with its reason, and does not hold up others.
func TestPoisonIsADeadLetter(t *testing.T) {
	t.Parallel()
	ctx := adopt(t)
	c := open(t, cluster.Options{Durability: cluster.Memory, Listen: "127.0.0.1:0", Lease: time.Second})
	stop := make(chan struct{})
	var nurse sync.WaitGroup
	nurse.Go(func() { // starts a worker whenever one has died
		for {
			w := spawn(t, "serve", c.URL(), "1") // so that the poison kills nobody else
			ended := make(chan struct{})
			go func() { _ = w.wait(); close(ended) }()
			select {
			case <-ended:
			case <-stop:
				w.kill()
				return
			}
		}
	})
	p := c.Pool()
	p.Attempts = 2
	bad := taskPoison.Submit(ctx, p, 3)
	good := taskPoison.Submit(ctx, p, 0)
	if _, err := bad.Result(ctx); !errors.Is(err, cluster.ErrDead) {
		t.Errorf("the poison gives %v", err)
	}
	if _, err := good.Result(ctx); err != nil {
		t.Errorf("another job gives %v", err)
	}
	var letters []cluster.DeadLetter
	for d, err := range c.DeadLetters(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		letters = append(letters, d)
	}
	if len(letters) != 1 || letters[0].Task != "cluster.poison" || !strings.Contains(letters[0].Reason, "workers died") {
		t.Fatalf("the dead letters are %+v", letters)
	}
	close(stop)
	nurse.Wait()
	if err := c.RetryDead(ctx, letters[0].ID); err != nil {
		t.Error(err)
	}
	if err := c.DropDead(ctx, letters[0].ID); !errors.Is(err, cluster.ErrNoLetter) {
		t.Errorf("DropDead of one that was retried: %v", err)
	}
}

// lockPart takes a lock when told, and says what it gets: URL NAME.
func lockPart(ctx context.Context, args []string) error {
	c, err := cluster.Connect(ctx, args[0])
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	l := cluster.NewLock(c, args[1])
	v := cluster.NewValue[string](c, args[1])
	for s := bufio.NewScanner(os.Stdin); s.Scan(); {
		var err error
		switch s.Text() {
		case "acquire":
			err = l.Acquire(ctx)
		case "recover":
			err = l.Recover(ctx)
		case "release":
			err = l.Release(ctx)
		case "write":
			err = v.StoreGuarded(ctx, l, fmt.Sprint(os.Getpid()))
		}
		switch {
		case err == nil:
			fmt.Println("ok")
		case errors.Is(err, tristrand.ErrOwnerDied):
			fmt.Println("owner died")
		case errors.Is(err, tristrand.ErrNotHeld), errors.Is(err, tristrand.ErrLost):
			fmt.Println("not held")
		default:
			fmt.Println(err)
		}
	}
	return nil
}

// A holder that is stopped loses the lock after the lease, and cannot write under it when
// it goes on.
func TestStoppedHolderIsFenced(t *testing.T) {
	t.Parallel()
	ctx := adopt(t)
	c := open(t, cluster.Options{Durability: cluster.Memory, Listen: "127.0.0.1:0", Lease: time.Second})
	a, b := spawn(t, "lock", c.URL(), "l"), spawn(t, "lock", c.URL(), "l")
	a.say("acquire")
	a.expect("ok")
	a.say("write")
	a.expect("ok")
	a.signal(syscall.SIGSTOP)
	b.say("acquire")
	b.expect("owner died")
	b.say("recover")
	b.expect("ok")
	b.say("write")
	b.expect("ok")
	a.signal(syscall.SIGCONT)
	a.say("write")
	a.expect("not held")
	a.say("release")
	a.expect("not held")
	b.say("write")
	b.expect("ok")
	if got, err := cluster.NewValue[string](c, "l").Load(ctx); err != nil || got != fmt.Sprint(b.Process.Pid) {
		t.Errorf("the value is %q, %v, want that of the second holder", got, err)
	}
	b.kill()
	l := cluster.NewLock(c, "l")
	if err := l.Acquire(ctx); !errors.Is(err, tristrand.ErrOwnerDied) {
		t.Errorf("Acquire of a lock whose holder was killed: %v", err)
	}
	if err := l.Recover(ctx); err != nil {
		t.Fatal(err)
	}
	if err := l.Release(ctx); err != nil {
		t.Error(err)
	}
}

// What goes wrong at the start says so.
func TestStartErrorsSayWhy(t *testing.T) {
	t.Parallel()
	ctx := adopt(t)
	dir := t.TempDir()
	c := open(t, cluster.Options{Dir: dir, Listen: "127.0.0.1:0", User: "u", Password: "secret"})
	addr := strings.TrimPrefix(c.URL(), "nats://")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, want string
		o          cluster.Options
	}{
		{"a store that is in use", "in use by this process", cluster.Options{Dir: dir}},
		{"a port that is taken", "address already in use", cluster.Options{Dir: t.TempDir(), Listen: addr, User: "u", Password: "p"}},
		{"a directory that is a file", file, cluster.Options{Dir: file}},
		{"an open address without credentials", "Password", cluster.Options{Dir: t.TempDir(), Listen: "0.0.0.0:0"}},
		{"wrong credentials", "uthorization", cluster.Options{URLs: []string{c.URL()}, User: "u", Password: "wrong"}},
		{"no credentials", "uthorization", cluster.Options{URLs: []string{c.URL()}}},
		{"nobody there", "no servers", cluster.Options{URLs: []string{"nats://127.0.0.1:1"}}},
		{"more than the server gives", "Power", cluster.Options{URLs: []string{c.URL()}, User: "u", Password: "secret", Durability: cluster.Power}},
		{"two peers", "3 or 5", cluster.Options{Self: "a:1", Peers: []string{"a:1", "b:1"}}},
		{"a bad namespace", "namespace", cluster.Options{Namespace: "a.b"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.o.StartTimeout = 5 * time.Second
			x, err := cluster.Open(ctx, tt.o)
			if err == nil {
				_ = x.Close(ctx)
				t.Fatal("Open succeeds")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the error is %q, want one with %q", err, tt.want)
			}
		})
	}
}
