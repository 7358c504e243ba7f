//go:build unix

package cluster_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/cluster"
)

// rawly returns a connection to the cluster's server without the package.
func rawly(t *testing.T, url string) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return nc, js
}

func runsIn(t *testing.T, log string) []string {
	t.Helper()
	text, err := os.ReadFile(log)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.Fields(string(text))
}

// A job that is stored again when the server has forgotten that it has it, as by a resend
// that was long under way, has one result, and its submitter lets it run once.
func TestResendAfterTheDedupeWindow(t *testing.T) {
	t.Parallel()
	ctx := adopt(t)
	c := open(t, cluster.Options{Durability: cluster.Memory, Listen: "127.0.0.1:0", Lease: time.Second})
	_, js := rawly(t, c.URL())
	p := c.Pool()
	if err := p.Start(ctx); err != nil {
		t.Fatal(err)
	}
	tasks, err := js.Stream(ctx, "TRI_default_T0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := tasks.CachedInfo().Config
	cfg.Duplicates = 100 * time.Millisecond
	if _, err := js.UpdateStream(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(t.TempDir(), "log")
	var fs []*tristrand.Future[int]
	for n := range 5 {
		fs = append(fs, taskNote.Submit(ctx, p, noteIn{log, n, 0}))
	}
	time.Sleep(300 * time.Millisecond) // the window
	var late []*nats.Msg
	for seq := uint64(1); seq <= 5; seq++ {
		m, err := tasks.GetMsg(ctx, seq)
		if err != nil {
			t.Fatal(err)
		}
		again := &nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data}
		late = append(late, again)
		ack, err := js.PublishMsg(ctx, again)
		if err != nil || ack.Duplicate {
			t.Fatalf("the resend was not stored: %+v, %v", ack, err)
		}
	}
	w := spawn(t, "serve", c.URL(), "4")
	w.expect("ready")
	for n, f := range fs {
		if v, err := f.Result(ctx); v != 2*n || err != nil {
			t.Errorf("job %d gives %d, %v", n, v, err)
		}
	}
	time.Sleep(200 * time.Millisecond)
	for _, m := range late { // once more, when they are done
		if _, err := js.PublishMsg(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "an empty queue", func() bool { st, err := c.Status(ctx); return err == nil && st.Jobs == 0 })
	if runs := runsIn(t, log); len(runs) != 5 {
		t.Errorf("the jobs ran %d times, want 5: %v", len(runs), runs)
	}
	results, err := js.Stream(ctx, "TRI_default_R")
	if err != nil {
		t.Fatal(err)
	}
	if n := results.CachedInfo().State.Msgs; n != 5 {
		t.Errorf("there are %d results, want 5", n)
	}
}

// A submission that is made twice at once, by two processes, runs once for both.
func TestDuplicatedSubmissions(t *testing.T) {
	t.Parallel()
	ctx := adopt(t)
	c := open(t, cluster.Options{Durability: cluster.Memory, Listen: "127.0.0.1:0", Lease: time.Second})
	w := spawn(t, "serve", c.URL(), "4")
	w.expect("ready")
	log := filepath.Join(t.TempDir(), "log")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			p := connect(t, c.URL()).Pool()
			for n := range 20 {
				v, err := taskNote.Submit(ctx, p, noteIn{log, n, time.Millisecond}, cluster.ID(fmt.Sprint("order ", n))).Result(ctx)
				if v != 2*n || err != nil {
					t.Errorf("job %d gives %d, %v", n, v, err)
				}
			}
		})
	}
	wg.Wait()
	if runs := runsIn(t, log); len(runs) != 20 {
		t.Errorf("20 jobs ran %d times", len(runs))
	}
}

// Results that the server could not deliver, because the submitter was slow, are read again.
func TestSlowSubmitterGetsAllResults(t *testing.T) {
	t.Parallel()
	ctx := adopt(t)
	c := open(t, cluster.Options{Durability: cluster.Memory, Listen: "127.0.0.1:0", Lease: time.Second})
	w := spawn(t, "serve", c.URL(), "8")
	p := c.Pool()
	if err := p.Start(ctx); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(t.TempDir(), "log")
	var fs []*tristrand.Future[int]
	for n := range 200 {
		fs = append(fs, taskNote.Submit(ctx, p, noteIn{log, n, 0}))
	}
	if err := cluster.Narrow(p, 5); err != nil {
		t.Fatal(err)
	}
	w.expect("ready")
	for range 5 { // messages come, and are not taken
		release := cluster.Hold(p)
		time.Sleep(100 * time.Millisecond)
		release()
		time.Sleep(20 * time.Millisecond)
	}
	for n, f := range fs {
		if v, err := f.Result(ctx); v != 2*n || err != nil {
			t.Errorf("job %d gives %d, %v", n, v, err)
		}
	}
}

// versioned is a task whose input is another in another version of the program.
var versioned = func() func(ctx context.Context, p *cluster.Pool) (string, error) {
	if os.Getenv("TRISTRAND_TEST_VERSION") == "2" {
		task := tristrand.Define("cluster.versioned", func(_ context.Context, in struct{ Name, Place string }) (string, error) {
			return "2: " + in.Name + in.Place, nil
		})
		return func(ctx context.Context, p *cluster.Pool) (string, error) {
			return task.Submit(ctx, p, struct{ Name, Place string }{"a", "b"}).Result(ctx)
		}
	}
	task := tristrand.Define("cluster.versioned", func(_ context.Context, in int) (string, error) { return fmt.Sprint("1: ", in), nil })
	return func(ctx context.Context, p *cluster.Pool) (string, error) { return task.Submit(ctx, p, 7).Result(ctx) }
}()

var _ = func() bool {
	parts["submit-version"] = func(ctx context.Context, args []string) error {
		c, err := cluster.Connect(ctx, args[0])
		if err != nil {
			return err
		}
		v, err := versioned(ctx, c.Pool())
		if errors.Is(err, cluster.ErrUnfit) {
			v, err = "unfit", nil
		}
		line, _ := json.Marshal(v)
		fmt.Println(string(line))
		return errors.Join(err, c.Close(ctx))
	}
	return true
}()

// Where programs of two versions work, a job goes to a worker that can run it; where there
// is none, it fails and is a dead letter, and nothing else is held up.
func TestTwoVersionsOfATask(t *testing.T) {
	t.Parallel()
	ctx := adopt(t)
	c := open(t, cluster.Options{Durability: cluster.Memory, Listen: "127.0.0.1:0", Lease: time.Second})
	second := []string{"TRISTRAND_TEST_VERSION=2"}
	newer, err := spawnAs(t, second, nil, "submit-version", c.URL())
	if err != nil {
		t.Fatal(err)
	}
	w := spawn(t, "serve", c.URL(), "2")
	w.expect("ready")
	if v, err := versioned(ctx, c.Pool()); v != "1: 7" || err != nil {
		t.Errorf("a job of the worker's version gives %q, %v", v, err)
	}
	newer.expect(`"unfit"`)
	letters := 0
	for d, err := range c.DeadLetters(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if letters++; d.Task != "cluster.versioned" || !strings.Contains(d.Reason, "another version") {
			t.Errorf("the dead letter is %+v", d)
		}
	}
	if letters != 1 {
		t.Errorf("there are %d dead letters, want 1", letters)
	}
	w2, err := spawnAs(t, second, nil, "serve", c.URL(), "2")
	if err != nil {
		t.Fatal(err)
	}
	w2.expect("ready")
	for range 5 {
		newer, err := spawnAs(t, second, nil, "submit-version", c.URL())
		if err != nil {
			t.Fatal(err)
		}
		newer.expect(`"2: ab"`)
		if v, err := versioned(ctx, c.Pool()); v != "1: 7" || err != nil {
			t.Errorf("a job of the first version gives %q, %v", v, err)
		}
	}
}
