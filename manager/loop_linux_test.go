package manager

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tristrand/tristrand/internal/mpwire"
)

// seats returns a seat on a loop of the test's own, and the other end.
func seated(t *testing.T, l *loop, size int) (*seat, net.Conn) {
	t.Helper()
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	peer, err := net.Dial("unix", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close() })
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	st, err := newSeat(l, c, mpwire.NewReader(c, size), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return st, peer
}

func testLoop(t *testing.T) *loop {
	t.Helper()
	l, err := newLoop()
	if err != nil {
		t.Fatal(err)
	}
	if l == nil {
		t.Skip("one processor: sessions wait for themselves")
	}
	t.Cleanup(l.close)
	return l
}

// attended has a seat served until the peer hangs up.
func attended(t *testing.T, st *seat, peer net.Conn) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		defer st.end()
		done <- st.attend()
	}()
	t.Cleanup(func() {
		peer.Close()
		select {
		case err := <-done:
			if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				t.Logf("the seat ended with %v", err)
			}
		case <-time.After(30 * time.Second):
			t.Error("the seat does not end although its peer is gone")
		}
	})
}

func ask(t *testing.T, peer net.Conn, r *mpwire.Reader, request string) string {
	t.Helper()
	if err := peer.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := mpwire.WriteFrame(peer, []byte(request)); err != nil {
		t.Fatal(err)
	}
	b, err := r.Next()
	if err != nil {
		t.Fatalf("no answer to %.20q: %v", request, err)
	}
	return string(b)
}

func echoes(st *seat) func([]byte) (func() error, error) {
	return func(data []byte) (func() error, error) {
		return st.send(mpwire.End(append(mpwire.Begin(nil), data...), 0))
	}
}

// Small requests, those in pieces, many at once and those that do not fit the
// buffer are all answered, in order.
func TestSeatReads(t *testing.T) {
	st, peer := seated(t, testLoop(t), 64)
	st.one = echoes(st)
	attended(t, st, peer)
	r := mpwire.NewReader(peer, 1<<10)
	large := string(make([]byte, 3<<20))
	for _, text := range []string{"one", "", large, "two", string(make([]byte, 60)), string(make([]byte, 61))} {
		if got := ask(t, peer, r, text); got != text {
			t.Fatalf("%d bytes come back as %d", len(text), len(got))
		}
	}
	frame := mpwire.End(append(mpwire.Begin(nil), "in pieces"...), 0)
	for _, b := range frame {
		if _, err := peer.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	for range 9 {
		frame = append(frame, frame[:13]...)
	}
	if _, err := peer.Write(frame[13:]); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if b, err := r.Next(); err != nil || string(b) != "in pieces" {
			t.Fatalf("answer %d is %q, %v", i, b, err)
		}
	}
}

// A peer that does not read its answers holds nobody else up, and gets them when
// it does.
func TestSeatWhosePeerDoesNotRead(t *testing.T) {
	l := testLoop(t)
	slow, slowPeer := seated(t, l, 64)
	slow.one = func([]byte) (func() error, error) {
		return slow.send(mpwire.End(append(mpwire.Begin(nil), make([]byte, 8<<20)...), 0))
	}
	attended(t, slow, slowPeer)
	if err := mpwire.WriteFrame(slowPeer, []byte("much")); err != nil {
		t.Fatal(err)
	}
	st, peer := seated(t, l, 64)
	st.one = echoes(st)
	attended(t, st, peer)
	r := mpwire.NewReader(peer, 64)
	for range 100 {
		ask(t, peer, r, "ping")
	}
	if b, err := mpwire.NewReader(slowPeer, 64).Next(); err != nil || len(b) != 8<<20 {
		t.Errorf("it reads %d bytes, %v", len(b), err)
	}
}

// What is left to the session's goroutine is told when the peer hangs up.
func TestSeatWhosePeerHangsUp(t *testing.T) {
	st, peer := seated(t, testLoop(t), 64)
	told := make(chan error, 1)
	st.one = func([]byte) (func() error, error) {
		return func() error {
			ctx, cancel := context.WithCancelCause(context.Background())
			st.waits(cancel)
			<-ctx.Done()
			told <- context.Cause(ctx)
			st.waits(nil)
			return nil
		}, nil
	}
	attended(t, st, peer)
	if err := mpwire.WriteFrame(peer, []byte("wait")); err != nil {
		t.Fatal(err)
	}
	if err := peer.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-told:
		if !errors.Is(err, errGone) {
			t.Errorf("the wait ended for %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("the call waits for ever for a peer that is gone")
	}
}

// A turn that takes long, which none should, does not hold the others up, and
// there is one loop again afterwards.
func TestLoopGoesOnBesideALongTurn(t *testing.T) {
	l := testLoop(t)
	stuck, stuckPeer := seated(t, l, 64)
	free, entered := make(chan struct{}), make(chan struct{})
	stuck.one = func(data []byte) (func() error, error) {
		close(entered)
		<-free
		return echoes(stuck)(data)
	}
	var nth atomic.Int32
	st, peer := seated(t, l, 64)
	st.one = func(data []byte) (func() error, error) {
		nth.Add(1)
		return echoes(st)(data)
	}
	attended(t, stuck, stuckPeer)
	attended(t, st, peer)
	r := mpwire.NewReader(peer, 64)
	ask(t, peer, r, "ping")
	if err := mpwire.WriteFrame(stuckPeer, []byte("long")); err != nil {
		t.Fatal(err)
	}
	<-entered
	for range 10 {
		ask(t, peer, r, "ping")
	}
	close(free)
	if b, err := mpwire.NewReader(stuckPeer, 64).Next(); err != nil || string(b) != "long" {
		t.Errorf("the long turn ends with %q, %v", b, err)
	}
	for began := time.Now(); l.runners.Load() != 1; ask(t, peer, r, "ping") {
		if time.Since(began) > 30*time.Second {
			t.Fatalf("%d goroutines run the loop", l.runners.Load())
		}
	}
	if nth.Load() < 11 {
		t.Errorf("%d requests were seen", nth.Load())
	}
}
