//go:build unix

package servers_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tristrand/tristrand/selector"
)

// echoLoop is a server that is one loop: it waits for the listening socket and for
// all clients at once, and answers whoever is ready.
func echoLoop(ctx context.Context, s *selector.Selector, listening int) error {
	if err := s.Register(listening, selector.Read, "listener"); err != nil {
		return err
	}
	buf := make([]byte, 1024)
	for {
		ready, err := s.Select(ctx)
		if err != nil {
			return err
		}
		for _, r := range ready {
			if r.Data == "listener" {
				if fd, _, err := syscall.Accept(r.FD); err == nil {
					_ = s.Register(fd, selector.Read, "client")
				}
				continue
			}
			n, err := syscall.Read(r.FD, buf)
			if n > 0 && err == nil {
				_, err = syscall.Write(r.FD, buf[:n])
			}
			if n <= 0 || err != nil {
				_ = s.Unregister(r.FD)
				_ = syscall.Close(r.FD)
			}
		}
	}
}

// S05: the same loop on select, poll and epoll gives the same answers; what a wait
// costs grows with the idle clients on two of them.
func TestReadiness(t *testing.T) {
	costs := map[selector.Kind][]time.Duration{}
	idle := []int{0, 100, 400}
	for _, kind := range []selector.Kind{selector.Select, selector.Poll, selector.Epoll} {
		for _, n := range idle {
			s, err := selector.New(kind)
			if errors.Is(err, selector.ErrUnsupported) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			costs[kind] = append(costs[kind], echoCost(t, s, n))
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		t.Logf("%-6v with %v idle clients: %v per answer %s", kind, idle, costs[kind], bars(costs[kind]))
	}
}

// echoCost returns how long an answer takes beside clients that say nothing.
func echoCost(t *testing.T, s *selector.Selector, idle int) time.Duration {
	t.Helper()
	fd, port := listen(t)
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- echoLoop(ctx, s, fd) }()
	defer func() {
		cancel()
		if err := <-over; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}()
	addr := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}
	silent := make([]*caller, idle)
	for i := range silent {
		silent[i] = call(t, addr)
	}
	c := call(t, addr)
	var times []time.Duration
	for i := range 51 {
		begin := time.Now()
		c.say(fmt.Sprint("hello ", i))
		c.hear(t, fmt.Sprint("hello ", i))
		times = append(times, time.Since(begin))
	}
	for _, one := range silent {
		_ = one.Close()
	}
	_ = c.Close()
	for s.Len() > 1 { // until the loop has seen them go
		time.Sleep(time.Millisecond)
	}
	slices.Sort(times)
	return times[len(times)/2]
}

// listen opens a socket that the Go runtime knows nothing of.
func listen(t *testing.T) (fd, port int) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(fd, 128)); err != nil {
		t.Fatal(err)
	}
	at, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fd, at.(*syscall.SockaddrInet4).Port
}

// bars draws durations beside each other.
func bars(all []time.Duration) string {
	var b strings.Builder
	for _, d := range all {
		b.WriteString(" " + strings.Repeat("▇", max(1, int(d/(20*time.Microsecond)))))
	}
	return b.String()
}
