//go:build unix

package server_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"

	"github.com/tristrand/tristrand/server"
)

// All descriptors are really used up: Accept fails, the server waits, and goes on
// when there are some.
func TestOutOfDescriptors(t *testing.T) {
	var mu sync.Mutex
	var reports []error
	s := start(t, &server.Server{Handler: hello, OnError: func(_ context.Context, _ net.Addr, err error) {
		mu.Lock()
		defer mu.Unlock()
		reports = append(reports, err)
	}})
	if err := greeted(s.dial(t), patience); err != nil {
		t.Fatal(err)
	}
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	low := old
	low.Cur = uint64(resources(t).files) + 20
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	restore := sync.OnceFunc(func() { _ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old) })
	defer restore()

	var hold []*os.File
	release := func() {
		for _, f := range hold {
			_ = f.Close()
		}
		hold = nil
	}
	defer release()
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			if !errors.Is(err, syscall.EMFILE) {
				t.Fatal(err)
			}
			break
		}
		hold = append(hold, f)
	}
	_ = hold[0].Close() // one for the client; none is left for the server
	hold = hold[1:]
	c := s.dial(t)
	eventually(t, func() (string, bool) { return fmt.Sprintf("%+v", s.Stats()), s.Stats().AcceptErrors >= 3 })
	mu.Lock()
	if len(reports) != 1 || !errors.Is(reports[0], syscall.EMFILE) {
		t.Errorf("reported %v, want EMFILE once", reports)
	}
	mu.Unlock()
	release()
	if err := greeted(c, patience); err != nil {
		t.Errorf("it did not recover: %v", err)
	}
}
