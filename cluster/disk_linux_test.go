package cluster_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/cluster"
)

// diskBytes is the size of the disk that gets full.
const diskBytes = 32 << 20

var _ = func() bool { parts["small"] = smallPart; return true }()

// taskLen takes what fills a disk.
var taskLen = tristrand.Define("cluster.len", func(_ context.Context, b []byte) (int, error) { return len(b), nil })

// smallPart is a server on a disk of its own that "fill" fills and "empty" empties: DIR. It is
// in a namespace where it may mount.
func smallPart(ctx context.Context, args []string) error {
	if err := syscall.Mount("none", args[0], "tmpfs", 0, fmt.Sprint("size=", diskBytes)); err != nil {
		fmt.Println("no disk:", err)
		return nil
	}
	c, err := cluster.Open(ctx, cluster.Options{Dir: filepath.Join(args[0], "store"), Listen: "127.0.0.1:0", Lease: time.Second})
	if err != nil {
		return err
	}
	fmt.Println(c.URL())
	ballast := filepath.Join(args[0], "ballast")
	for s := bufio.NewScanner(os.Stdin); s.Scan(); {
		switch s.Text() {
		case "fill":
			f, err := os.Create(ballast)
			for chunk := make([]byte, 4096); err == nil; {
				_, err = f.Write(chunk)
			}
			if !errors.Is(err, syscall.ENOSPC) {
				return err
			}
			f.Close()
		case "empty":
			if err := os.Remove(ballast); err != nil {
				return err
			}
		}
		fmt.Println("ok")
	}
	return c.Close(ctx)
}

// smallServer starts such a server.
func smallServer(t *testing.T) (*child, string) {
	t.Helper()
	attr := &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	s, err := spawnAs(t, nil, attr, "small", t.TempDir())
	if err != nil {
		t.Skipf("no namespace of its own: %v", err)
	}
	url := s.hear()
	if len(url) > 8 && url[:8] == "no disk:" {
		t.Skip(url)
	}
	return s, url
}

// While the disk is full a Submit waits, and what was accepted before is kept; when there is
// room again all goes on.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	ctx := adopt(t)
	server, url := smallServer(t)
	c := connect(t, url)
	p := c.Pool()
	log := filepath.Join(t.TempDir(), "log")
	var fs []*tristrand.Future[int]
	submit := func(n int, sleep time.Duration) {
		for range n {
			fs = append(fs, taskNote.Submit(ctx, p, noteIn{log, len(fs), sleep}))
		}
	}
	submit(1, 0)
	w := spawn(t, "serve", url, "4")
	w.expect("ready")
	if _, err := fs[0].Result(ctx); err != nil {
		t.Fatal(err)
	}
	submit(100, 20*time.Millisecond) // some of their results come when the disk is full
	server.say("fill")
	server.expect("ok")
	counter := cluster.NewCounter(c, "n")
	late := make(chan *tristrand.Future[int])
	const waiting, size = 8, 64 << 10
	for range waiting {
		go func() { late <- taskLen.Submit(ctx, p, make([]byte, size)) }()
	}
	got := 0
	take := func(f *tristrand.Future[int]) {
		got++
		if v, err := f.Result(ctx); v != size || err != nil {
			t.Errorf("a job that was submitted to a full disk gives %d, %v", v, err)
		}
	}
	full := time.After(time.Second)
	for waits := true; waits && got < waiting; {
		select {
		case f := <-late: // there was room for it
			take(f)
		case <-full:
			waits = false
		}
	}
	if got > waiting/2 {
		t.Errorf("%d of %d jobs were accepted while the disk was full", got, waiting)
	}
	server.say("empty")
	server.expect("ok")
	for got < waiting {
		take(<-late)
	}
	for n, f := range fs {
		if v, err := f.Result(ctx); v != 2*n || err != nil {
			t.Errorf("job %d gives %d, %v", n, v, err)
		}
	}
	if _, err := counter.Add(ctx, 1); err != nil {
		t.Errorf("a counter after the disk was full: %v", err)
	}
	l := cluster.NewLock(c, "l")
	if err := errors.Join(l.Acquire(ctx), l.Release(ctx)); err != nil {
		t.Errorf("a lock after the disk was full: %v", err)
	}
}
