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
	fill := func() {
		for {
			f, err := os.Open(os.DevNull)
			if err != nil {
				if !errors.Is(err, syscall.EMFILE) {
					t.Fatal(err)
				}
				return
			}
			hold = append(hold, f)
		}
	}
	var clients []net.Conn
	eventually(t, func() (string, bool) {
		fill()
		st := s.Stats()
		if st.Active > len(clients) { // all are served: one more, with the last descriptor
			_ = hold[len(hold)-1].Close()
			hold = hold[:len(hold)-1]
			clients = append(clients, s.dial(t))
		}
		return fmt.Sprintf("%+v", st), st.AcceptErrors >= 3
	})
	mu.Lock()
	if len(reports) == 0 || len(reports) >= 3 || !errors.Is(reports[0], syscall.EMFILE) {
		t.Errorf("reported %v, want EMFILE, and not each time", reports)
	}
	mu.Unlock()
	release()
	for _, c := range clients {
		if err := greeted(c, patience); err != nil {
			t.Errorf("it did not recover: %v", err)
		}
	}
}
