//go:build unix

package selector_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tristrand/tristrand/selector"
)

const patience = 30 * time.Second

// each runs a test for each kind that the system has.
func each(t *testing.T, test func(t *testing.T, s *selector.Selector)) {
	for _, kind := range []selector.Kind{selector.Select, selector.Poll, selector.Epoll} {
		t.Run(kind.String(), func(t *testing.T) {
			s, err := selector.New(kind)
			if errors.Is(err, selector.ErrUnsupported) && runtime.GOOS != "linux" {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			test(t, s)
		})
	}
}

func pair(t *testing.T) (a, b int) {
	t.Helper()
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(p[0]); _ = unix.Close(p[1]) })
	return p[0], p[1]
}

func TestSameAnswers(t *testing.T) {
	each(t, func(t *testing.T, s *selector.Selector) {
		a, b := pair(t)
		if err := s.Register(a, selector.Read, "a"); err != nil {
			t.Fatal(err)
		}
		if ready, err := s.TrySelect(); len(ready) != 0 || err != nil {
			t.Fatalf("ready %v, %v", ready, err)
		}
		_, _ = unix.Write(b, []byte("x"))
		for range 2 { // it is ready as long as nobody has read
			ready, err := s.Select(t.Context())
			if err != nil || len(ready) != 1 || ready[0] != (selector.Ready{FD: a, Events: selector.Read, Data: "a"}) {
				t.Fatalf("ready %v, %v", ready, err)
			}
		}
		if err := s.Modify(a, selector.Read|selector.Write, 2); err != nil {
			t.Fatal(err)
		}
		if ready, err := s.Select(t.Context()); err != nil || len(ready) != 1 || ready[0].Events != selector.Read|selector.Write || ready[0].Data != 2 {
			t.Fatalf("ready %v, %v", ready, err)
		}
		_, _ = unix.Read(a, make([]byte, 1))
		if ready, err := s.Select(t.Context()); err != nil || len(ready) != 1 || ready[0].Events != selector.Write {
			t.Fatalf("ready %v, %v", ready, err)
		}
		if events, data, ok := s.Lookup(a); !ok || data != 2 || events != selector.Read|selector.Write || s.Len() != 1 {
			t.Errorf("Lookup: %v %v %v", events, data, ok)
		}
		if err := s.Modify(a, selector.Read, nil); err != nil {
			t.Fatal(err)
		}
		_ = unix.Shutdown(b, unix.SHUT_RDWR) // a hang-up counts as ready
		if ready, err := s.Select(t.Context()); err != nil || len(ready) != 1 || ready[0].Events != selector.Read {
			t.Fatalf("ready %v, %v", ready, err)
		}
		if err := s.Unregister(a); err != nil {
			t.Fatal(err)
		}
		if ready, err := s.TrySelect(); len(ready) != 0 || err != nil {
			t.Fatalf("ready %v, %v", ready, err)
		}
	})
}

func TestWaitsEnd(t *testing.T) {
	each(t, func(t *testing.T, s *selector.Selector) {
		a, b := pair(t)
		if err := s.Register(a, selector.Read, nil); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if _, err := s.Select(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("its time is up: %v", err)
		}
		results := make(chan error, 1)
		wait := func(f func()) error {
			t.Helper()
			go func() {
				_, err := s.Select(context.Background())
				results <- err
			}()
			time.Sleep(2 * time.Millisecond) // mostly it waits by now; either order is right
			f()
			select {
			case err := <-results:
				return err
			case <-time.After(patience):
				t.Fatal("it still waits")
				return nil
			}
		}
		if err := wait(s.Wake); err != nil {
			t.Errorf("Wake: %v", err)
		}
		c, d := pair(t)
		_, _ = unix.Write(d, []byte("x"))
		if err := wait(func() { _ = s.Register(c, selector.Read, nil) }); err != nil {
			t.Errorf("one that is registered while it waits: %v", err)
		}
		_, _ = unix.Read(c, make([]byte, 1))
		_, _ = b, d
		if err := wait(func() { _ = s.Close() }); !errors.Is(err, selector.ErrClosed) {
			t.Errorf("Close: %v", err)
		}
	})
}

func TestMisuse(t *testing.T) {
	each(t, func(t *testing.T, s *selector.Selector) {
		a, _ := pair(t)
		if err := s.Register(a, 0, nil); err == nil {
			t.Error("no events")
		}
		if err := s.Register(-1, selector.Read, nil); err == nil {
			t.Error("no descriptor")
		}
		if err := s.Register(900, selector.Read, nil); !errors.Is(err, unix.EBADF) {
			t.Errorf("a closed one: %v", err)
		}
		if err := s.Modify(a, selector.Read, nil); !errors.Is(err, selector.ErrNotRegistered) {
			t.Error(err)
		}
		if err := s.Unregister(a); !errors.Is(err, selector.ErrNotRegistered) {
			t.Error(err)
		}
		_ = s.Register(a, selector.Read, nil)
		if err := s.Register(a, selector.Read, nil); !errors.Is(err, selector.ErrRegistered) {
			t.Error(err)
		}
		if err := s.Register(5000, selector.Read, nil); s.Kind() == selector.Select && !errors.Is(err, selector.ErrTooLarge) {
			t.Error(err)
		}
		// One that is closed while it is registered does not make Select fail.
		c, err := unix.Dup(a)
		if err != nil {
			t.Fatal(err)
		}
		_ = s.Register(c, selector.Read, nil)
		_ = unix.Close(c)
		if _, err := s.TrySelect(); err != nil {
			t.Error(err)
		}
		_ = s.Close()
		if err := s.Register(a, selector.Read, nil); !errors.Is(err, selector.ErrClosed) {
			t.Error(err)
		}
		if _, err := s.Select(t.Context()); !errors.Is(err, selector.ErrClosed) {
			t.Error(err)
		}
	})
}

func TestNothingLeaks(t *testing.T) {
	before := countFiles(t)
	for range 50 {
		for _, kind := range []selector.Kind{selector.Default, selector.Select, selector.Poll, selector.Epoll} {
			if s, err := selector.New(kind); err == nil {
				_ = s.Close()
			}
		}
	}
	if after := countFiles(t); after > before {
		t.Errorf("%d descriptors, then %d", before, after)
	}
}

func countFiles(*testing.T) int {
	files, _ := os.ReadDir("/dev/fd")
	return len(files)
}
