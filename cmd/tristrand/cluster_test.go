//go:build unix

package main

import (
	"bufio"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// A working is a "tristrand worker" that runs.
type working struct {
	cmd *exec.Cmd
	url string
}

// startWorker starts one; ready says when it works.
func startWorker(t *testing.T, args ...string) (ready func() *working) {
	t.Helper()
	cmd := exec.Command("tristrand", append([]string{"worker", "--engine", "thread", "-j", "2"}, args...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line := make(chan string, 1)
	go func() {
		text, _ := bufio.NewReader(out).ReadString('\n')
		line <- text
	}()
	return func() *working {
		t.Helper()
		select {
		case text := <-line:
			url, ok := strings.CutPrefix(strings.TrimSpace(text), "working on ")
			if !ok {
				t.Fatalf("the worker says %q; on stderr: %s", text, stderr.String())
			}
			return &working{cmd, url}
		case <-time.After(time.Minute):
			t.Fatal("the worker says nothing")
			return nil
		}
	}
}

// Three machines' worth of "tristrand worker" are one cluster: commands run on it, also when
// one of them is killed; one that is told to end ends well.
func TestWorkersArePeers(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	routes := []string{freeAddr(t), freeAddr(t), freeAddr(t)}
	var ready []func() *working
	for _, self := range routes {
		ready = append(ready, startWorker(t, "--dir", t.TempDir(), "--listen", "127.0.0.1:0", "--user", "jobs", "--password-file", key,
			"--self", self, "--peers", strings.Join(routes, ",")))
	}
	var peers []*working
	var urls []string
	for _, r := range ready {
		w := r()
		peers, urls = append(peers, w), append(urls, w.url)
	}
	whom := []string{"--nats", strings.Join(urls, ","), "--user", "jobs", "--password-file", key}
	echo := func() {
		t.Helper()
		cmd := exec.Command("tristrand", append(append([]string{"run", "--engine", "cluster", "-k"}, whom...), "--", "echo", "{}", ":::", "a", "b", "c")...)
		out, err := cmd.CombinedOutput()
		if err != nil || string(out) != "a\nb\nc\n" {
			t.Fatalf("run says %q, %v", out, err)
		}
	}
	echo()
	out, err := exec.Command("tristrand", append([]string{"cluster", "status", "--json"}, whom...)...).Output()
	var status struct {
		Info           struct{ Replicas, Shards int }
		Workers, Slots int
	}
	if err := json.Unmarshal(out, &status); err != nil {
		t.Fatalf("status says %q: %v", out, err)
	}
	if err != nil || status.Info.Replicas != 3 || status.Info.Shards != 3 || status.Workers != 3 || status.Slots != 6 {
		t.Errorf("the status is %+v, %v, want 3 copies and shards, and 3 workers with 6 slots", status, err)
	}
	_ = peers[1].cmd.Process.Kill()
	_ = peers[1].cmd.Wait()
	echo()
	if err := peers[2].cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := peers[2].cmd.Wait(); err != nil {
		t.Errorf("a worker that was told to end: %v", err)
	}
}
