//go:build unix

package server_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/tristrand/tristrand/server"
)

// Clients that others have written. Those that are not installed are left out.
func TestRealClients(t *testing.T) {
	cert, key, _ := certificate(t, t.TempDir(), "x")
	plain := start(t, &server.Server{Handler: upper})
	secure := start(t, &server.Server{Handler: upper, CertFile: cert, KeyFile: key, OnError: quiet})
	coroutines := start(t, &server.Server{Handler: upper, Model: server.Coroutines{}})
	port := func(s *running) string { return strconv.Itoa(s.addr.(*net.TCPAddr).Port) }
	const python = `import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 30)
s.sendall(b"hello\n"); s.shutdown(socket.SHUT_WR)
data = b""
while True:
    piece = s.recv(100)
    if not piece: break
    data += piece
sys.stdout.write(data.decode())`
	for name, words := range map[string][]string{
		"nc":                {"nc", "-N", "127.0.0.1", port(plain)},
		"nc to a coroutine": {"nc", "-N", "127.0.0.1", port(coroutines)},
		"socat":             {"socat", "-t30", "-", "TCP:127.0.0.1:" + port(plain)},
		"socat with TLS":    {"socat", "-t30", "-", "OPENSSL:127.0.0.1:" + port(secure) + ",verify=0"},
		"openssl s_client":  {"openssl", "s_client", "-quiet", "-no_ign_eof", "-connect", "127.0.0.1:" + port(secure)},
		"python":            {"python3", "-c", python, port(plain)},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath(words[0]); err != nil {
				t.Skip(words[0] + " is not installed")
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			cmd := exec.CommandContext(ctx, words[0], words[1:]...)
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(in, "hello\n")
			lines := bufio.NewReader(out)
			var got string
			if strings.HasPrefix(name, "openssl") { // it leaves at the end of its input
				got, _ = lines.ReadString('\n')
			}
			_ = in.Close()
			rest, _ := io.ReadAll(lines)
			if err := cmd.Wait(); got+string(rest) != "HELLO\n" {
				t.Errorf("got %q, %v", got+string(rest), err)
			}
		})
	}
}

// page answers HTTP requests, of which it sees the empty line at their end.
var page = server.Handle("test.page", func(_ context.Context, c *server.Conn) error {
	for line, err := range c.Lines() {
		if err != nil {
			return err
		}
		if line != "" {
			continue
		}
		if _, err := c.WriteString("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n"); err != nil {
			return err
		}
	}
	return nil
})

// wrk keeps 50 connections busy, all of whose requests are answered; then the server
// stops.
func TestLoadByWrk(t *testing.T) {
	path, err := exec.LookPath("wrk")
	if err != nil {
		t.Skip("wrk is not installed")
	}
	for name, model := range models() {
		t.Run(name, func(t *testing.T) {
			s := start(t, &server.Server{Handler: page, Model: model, OnError: func(_ context.Context, _ net.Addr, err error) { t.Error(err) }})
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			out, err := exec.CommandContext(ctx, path, "-t1", "-c50", "-d1s", "--timeout", "30s", "http://"+s.addr.String()+"/").CombinedOutput()
			text := string(out)
			if err != nil || !strings.Contains(text, "Requests/sec") || strings.Contains(text, "Socket errors") || strings.Contains(text, "Non-2xx") {
				t.Errorf("%v\n%s", err, text)
			}
			if st := s.Stats(); st.Accepted == 0 || st.Failed != 0 {
				t.Errorf("%+v", st)
			}
		})
	}
}

// torrent answers "much" with more than anybody reads, and waits otherwise.
var torrent = server.Handle("test.torrent", func(_ context.Context, c *server.Conn) error {
	line, err := c.ReadLine()
	if err != nil {
		return err
	}
	if line == "much" {
		for {
			if _, err := c.Write(make([]byte, 1<<16)); err != nil {
				return err
			}
		}
	}
	_, err = c.ReadLine()
	return err
})

// A reset in each state: before the handler reads, while it waits, while it writes.
func TestResets(t *testing.T) {
	for name, model := range models() {
		t.Run(name, func(t *testing.T) {
			s := start(t, &server.Server{Model: model, Handler: torrent, OnError: func(_ context.Context, _ net.Addr, err error) { t.Error(err) }})
			for _, say := range []string{"", "half", "one\n", "one\nhalf", "much\n"} {
				for range 5 {
					c := s.dial(t)
					_, _ = io.WriteString(c, say)
					if say == "much\n" { // until it writes
						_, _ = io.ReadFull(c, make([]byte, 1<<16))
					}
					_ = c.(*net.TCPConn).SetLinger(0)
					_ = c.Close()
				}
			}
			eventually(t, func() (string, bool) { return "", s.Stats().Active == 0 })
		})
	}
}
