package server_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tristrand/tristrand/server"
)

// serveOne serves one connection by fn and returns the client's end and what fn
// returned.
func serveOne(t *testing.T, s *server.Server, fn func(ctx context.Context, c *server.Conn) error) (net.Conn, <-chan error) {
	t.Helper()
	result := make(chan error, 16)
	s.Handler = server.HandlerFunc(func(ctx context.Context, c *server.Conn) error {
		err := fn(ctx, c)
		result <- err
		return err
	})
	s.OnError = func(context.Context, net.Addr, error) {}
	return start(t, s).dial(t), result
}

func outcome(t *testing.T, result <-chan error) error {
	t.Helper()
	select {
	case err := <-result:
		return err
	case <-time.After(patience):
		t.Fatal("the handler did not return")
		return nil
	}
}

func TestLines(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	var got []string
	c, result := serveOne(t, &server.Server{MaxLineBytes: 10_000}, func(_ context.Context, c *server.Conn) error {
		for line, err := range c.Lines() {
			if err != nil {
				return err
			}
			got = append(got, line)
		}
		return nil
	})
	for _, piece := range []string{"on", "e\r", "\ntwo\n\n", long + "\n", "a\rb\nlast"} {
		_, _ = io.WriteString(c, piece)
	}
	_ = c.(*net.TCPConn).CloseWrite()
	if err := outcome(t, result); err != nil {
		t.Fatal(err)
	}
	if want := []string{"one", "two", "", long, "a\rb", "last"}; strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("got %.60q", got)
	}
}

func TestLineTooLong(t *testing.T) {
	c, result := serveOne(t, &server.Server{MaxLineBytes: 100}, func(_ context.Context, c *server.Conn) error {
		_, err := c.ReadLine()
		return err
	})
	_, _ = io.WriteString(c, strings.Repeat("x", 101))
	if err := outcome(t, result); !errors.Is(err, server.ErrLineTooLong) {
		t.Error(err)
	}
}

func TestRecords(t *testing.T) {
	c, result := serveOne(t, &server.Server{MaxRecordBytes: 300_000}, func(_ context.Context, c *server.Conn) error {
		for {
			record, err := c.ReadRecord()
			if err != nil {
				return err
			}
			if err := c.WriteRecord(record); err != nil {
				return err
			}
		}
	})
	for _, size := range []int{0, 1, 5000, 40_000, 300_000} {
		record := append(binary.BigEndian.AppendUint32(nil, uint32(size)), make([]byte, size)...)
		for i := 4; i < len(record); i += 97 {
			record[i] = byte(i)
		}
		go func() { _, _ = c.Write(record) }()
		back := make([]byte, len(record))
		if _, err := io.ReadFull(c, back); err != nil || string(back) != string(record) {
			t.Fatalf("record of %d bytes: %v", size, err)
		}
	}
	_, _ = c.Write(binary.BigEndian.AppendUint32(nil, 300_001))
	if err := outcome(t, result); !errors.Is(err, server.ErrRecordTooLong) {
		t.Error(err)
	}
}

func TestRecordCutOff(t *testing.T) {
	for _, piece := range []string{"\x00\x00", "\x00\x00\x00\x05abc", "\x00\xff\xff\xffabc"} {
		c, result := serveOne(t, &server.Server{}, func(_ context.Context, c *server.Conn) error {
			_, err := c.ReadRecord()
			return err
		})
		_, _ = io.WriteString(c, piece)
		_ = c.Close()
		if err := outcome(t, result); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q: %v", piece, err)
		}
	}
}

func TestPeekReadAndLinesMix(t *testing.T) {
	c, result := serveOne(t, &server.Server{}, func(_ context.Context, c *server.Conn) error {
		head, err := c.Peek(3)
		if string(head) != "abc" || err != nil {
			t.Errorf("Peek: %q, %v", head, err)
		}
		one := make([]byte, 1)
		_, _ = io.ReadFull(c, one)
		line, _ := c.ReadLine()
		rest, err := io.ReadAll(c)
		if string(one) != "a" || line != "bcd" || string(rest) != "rest" || err != nil {
			t.Errorf("got %q %q %q, %v", one, line, rest, err)
		}
		return nil
	})
	_, _ = io.WriteString(c, "ab")
	time.Sleep(time.Millisecond)
	_, _ = io.WriteString(c, "cd\nrest")
	_ = c.(*net.TCPConn).CloseWrite()
	_ = outcome(t, result)
}

func TestTimeouts(t *testing.T) {
	const short = 50 * time.Millisecond
	line := func(_ context.Context, c *server.Conn) error { _, err := c.ReadLine(); return err }
	plain := func(_ context.Context, c *server.Conn) error { _, err := c.Read(make([]byte, 10)); return err }
	writes := func(_ context.Context, c *server.Conn) error {
		for {
			if _, err := c.Write(make([]byte, 1<<20)); err != nil {
				return err
			}
		}
	}
	drip := func(c net.Conn) { // one byte at a time, never a line
		for {
			if _, err := c.Write([]byte("x")); err != nil {
				return
			}
			time.Sleep(short / 10)
		}
	}
	for name, tt := range map[string]*struct {
		s      server.Server
		handle func(context.Context, *server.Conn) error
		client func(net.Conn)
		want   error
	}{
		"silent, a line":   {server.Server{IdleTimeout: short}, line, nil, server.ErrIdleTimeout},
		"silent, plain":    {server.Server{IdleTimeout: short}, plain, nil, server.ErrIdleTimeout},
		"silent, ReadTime": {server.Server{ReadTimeout: short}, line, nil, server.ErrReadTimeout},
		"a byte at a time": {server.Server{ReadTimeout: 4 * short, IdleTimeout: time.Hour}, line, drip, server.ErrReadTimeout},
		"it never reads":   {server.Server{WriteTimeout: short}, writes, nil, server.ErrWriteTimeout},
		"its own deadline": {server.Server{IdleTimeout: time.Hour}, func(ctx context.Context, c *server.Conn) error {
			_ = c.SetDeadline(time.Now().Add(short))
			return line(ctx, c)
		}, nil, os.ErrDeadlineExceeded},
		"deadline cleared": {server.Server{IdleTimeout: short}, func(ctx context.Context, c *server.Conn) error {
			_ = c.SetDeadline(time.Now().Add(time.Hour))
			_ = c.SetDeadline(time.Time{})
			return line(ctx, c)
		}, nil, server.ErrIdleTimeout},
		"cleared when armed": {server.Server{IdleTimeout: short}, func(ctx context.Context, c *server.Conn) error {
			_, _ = c.ReadLine()
			_ = c.SetReadDeadline(time.Time{})
			return line(ctx, c)
		}, nil, server.ErrIdleTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			c, result := serveOne(t, &tt.s, tt.handle)
			if tt.client != nil {
				go tt.client(c)
			}
			err := outcome(t, result)
			if !errors.Is(err, tt.want) || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

// A client that only listens is not idle.
func TestSendingIsLife(t *testing.T) {
	const idle = time.Second
	c, result := serveOne(t, &server.Server{IdleTimeout: idle}, func(_ context.Context, c *server.Conn) error {
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			for end := time.Now().Add(idle + idle/2); time.Now().Before(end); time.Sleep(idle / 20) {
				_, _ = c.Write([]byte("x"))
			}
			_, _ = c.Write([]byte("\n"))
		}()
		_, err := c.ReadLine()
		<-sent
		return err
	})
	if _, err := bufio.NewReader(c).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(c, "alive\n")
	if err := outcome(t, result); err != nil {
		t.Error(err)
	}
}

// What the handler did not read must not destroy what it wrote.
func TestReplyBeforeTheRestIsRead(t *testing.T) {
	c, _ := serveOne(t, &server.Server{}, func(_ context.Context, c *server.Conn) error {
		_, _ = c.Read(make([]byte, 1))
		_, err := c.Write([]byte("goodbye"))
		return err
	})
	_, _ = c.Write(make([]byte, 200_000))
	if got, err := io.ReadAll(c); string(got) != "goodbye" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestFileIsSentWhole(t *testing.T) {
	name := t.TempDir() + "/f"
	want := strings.Repeat("0123456789abcdef", 200_000)
	if err := os.WriteFile(name, []byte(want), 0o600); err != nil {
		t.Fatal(err)
	}
	c, result := serveOne(t, &server.Server{WriteTimeout: patience}, func(_ context.Context, c *server.Conn) error {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		if _, err := io.CopyN(c, f, 10); err != nil {
			return err
		}
		_, err = io.Copy(c, f)
		return err
	})
	if got, err := io.ReadAll(c); string(got) != want || err != nil {
		t.Errorf("got %d bytes of %d, %v", len(got), len(want), err)
	}
	if err := outcome(t, result); err != nil {
		t.Error(err)
	}
}
