//go:build unix

package cluster_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/cluster"
	_ "github.com/tristrand/tristrand/cluster/embed" // a server in the program
	"github.com/tristrand/tristrand/strand"
	"github.com/tristrand/tristrand/thread"
)

// whereOf tells which process ran it. Fetch reads a page.
var (
	whereOf = tristrand.Define("examples.cluster.where", func(ctx context.Context, _ int) (int, error) {
		return os.Getpid(), strand.Sleep(ctx, 20*time.Millisecond)
	})
	fetch = tristrand.Define("examples.cluster.fetch", func(ctx context.Context, url string) (int64, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return 0, err
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, err
		}
		defer res.Body.Close()
		return io.Copy(io.Discard, res.Body)
	})
)

// The other program: it connects to the address that it is given, and does one thing.
func other(ctx context.Context, what, url string) error {
	c, err := cluster.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	switch what {
	case "work":
		fmt.Println("ready")
		return cluster.Serve(ctx, c, &thread.Pool{Workers: 1})
	case "count": // under a lock, so that nothing is lost
		lock, n := cluster.NewLock(c, "n"), cluster.NewValue[int](c, "n")
		for range 20 {
			if err := tristrand.With(ctx, lock, func(ctx context.Context) error { return add(ctx, lock, n) }); err != nil {
				return err
			}
		}
	case "produce":
		q := cluster.NewQueue[string](c, "bread", 2)
		for i := range 5 {
			if err := q.Put(ctx, fmt.Sprint("loaf ", i)); err != nil {
				return err
			}
		}
		return q.Shutdown(ctx, tristrand.Drain)
	}
	return nil
}

func add(ctx context.Context, lock *cluster.Lock, n *cluster.Value[int]) error {
	v, err := n.Load(ctx)
	if err != nil {
		return err
	}
	return n.StoreGuarded(ctx, lock, v+1)
}

func TestMain(m *testing.M) {
	what := os.Getenv("EXAMPLE")
	if what == "" {
		os.Exit(m.Run())
	}
	err := thread.Main(func(ctx context.Context) error { return other(ctx, what, os.Args[1]) })
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// run starts the other program, and returns what waits for its end.
func run(t *testing.T, what, url string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], url)
	cmd.Env, cmd.Stderr = append(os.Environ(), "EXAMPLE="+what), os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if what == "work" {
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
			t.Fatalf("the worker says %q, %v", line, err)
		}
	}
	return cmd
}

func start(t *testing.T) (context.Context, *cluster.Cluster) {
	t.Helper()
	ctx, end := strand.Adopt(context.Background(), "main")
	c, err := cluster.Open(ctx, cluster.Options{Durability: cluster.Memory, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(ctx); end() })
	return ctx, c
}

// One task runs on two worker processes.
func TestTaskOnTwoWorkers(t *testing.T) {
	ctx, c := start(t)
	a, b := run(t, "work", c.URL()), run(t, "work", c.URL())
	pids := map[int]int{}
	for pid, err := range whereOf.Map(ctx, c.Pool(), slices.Values(make([]int, 20)), tristrand.Chunk(1)) {
		if err != nil {
			t.Fatal(err)
		}
		pids[pid]++
	}
	if len(pids) != 2 || pids[a.Process.Pid] == 0 || pids[b.Process.Pid] == 0 {
		t.Errorf("the jobs ran in %v", pids)
	}
}

// Two programs count under one lock.
func TestLockBetweenPrograms(t *testing.T) {
	ctx, c := start(t)
	one := run(t, "count", c.URL())
	if err := other(ctx, "count", c.URL()); err != nil {
		t.Fatal(err)
	}
	if err := one.Wait(); err != nil {
		t.Fatal(err)
	}
	if n, err := cluster.NewValue[int](c, "n").Load(ctx); n != 40 || err != nil {
		t.Errorf("they have counted to %d, %v", n, err)
	}
}

// One program puts into a queue, another gets.
func TestQueueBetweenPrograms(t *testing.T) {
	ctx, c := start(t)
	run(t, "produce", c.URL())
	var got []string
	for loaf, err := range cluster.NewQueue[string](c, "bread", 2).All(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, loaf)
	}
	if strings.Join(got, ", ") != "loaf 0, loaf 1, loaf 2, loaf 3, loaf 4" {
		t.Errorf("it got %v", got)
	}
}

// C10: pages are fetched by the workers of a cluster.
func TestCrawler(t *testing.T) {
	ctx, c := start(t)
	pages := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", len(r.URL.Path)*100))
	}))
	defer pages.Close()
	run(t, "work", c.URL())
	run(t, "work", c.URL())
	urls := []string{pages.URL + "/a", pages.URL + "/bb", pages.URL + "/ccc"}
	var sizes []int64
	for n, err := range fetch.Map(ctx, c.Pool(), slices.Values(urls)) {
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, n)
	}
	if !slices.Equal(sizes, []int64{200, 300, 400}) {
		t.Errorf("the pages have %v bytes", sizes)
	}
}
