//go:build unix

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A served is a "tristrand serve" that runs.
type served struct {
	cmd  *exec.Cmd
	addr string
	log  chan string // lines that came after it listened
}

var listening = regexp.MustCompile(`msg=listening address=(\S+)`)

func serving(t *testing.T, args ...string) *served {
	t.Helper()
	return awaitListening(t, exec.Command("tristrand", append([]string{"serve"}, args...)...))
}

// awaitListening starts a server with files from 3 on, and waits until it listens.
func awaitListening(t *testing.T, cmd *exec.Cmd, files ...*os.File) *served {
	t.Helper()
	s := &served{cmd: cmd, log: make(chan string, 1000)}
	cmd.ExtraFiles = files
	out, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.cmd.Process.Kill() })
	in := bufio.NewScanner(out)
	for s.addr == "" && in.Scan() {
		if m := listening.FindStringSubmatch(in.Text()); m != nil {
			s.addr = m[1]
		}
	}
	if s.addr == "" {
		t.Fatalf("it does not listen: %v", s.cmd.Wait())
	}
	go func() {
		defer close(s.log)
		for in.Scan() {
			s.log <- in.Text()
		}
	}()
	return s
}

// stop sends SIGTERM and returns the exit code and the log.
func (s *served) stop(t *testing.T) (int, string) {
	t.Helper()
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	var log strings.Builder
	late := time.AfterFunc(time.Minute, func() { _ = s.cmd.Process.Kill() })
	defer late.Stop()
	for line := range s.log {
		log.WriteString(line + "\n")
	}
	_ = s.cmd.Wait()
	return s.cmd.ProcessState.ExitCode(), log.String()
}

// say sends text, ends the sending side, and returns the answer.
func (s *served) say(t *testing.T, text string) string {
	t.Helper()
	network := "tcp"
	if strings.HasPrefix(s.addr, "/") {
		network = "unix"
	}
	c, err := net.Dial(network, s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	go func() { // the answer may begin before all is said
		_, _ = io.WriteString(c, text)
		_ = c.(interface{ CloseWrite() error }).CloseWrite()
	}()
	answer, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("%q: %v", text, err)
	}
	return string(answer)
}

func TestServeProgram(t *testing.T) {
	s := serving(t, "127.0.0.1:0", "--", "sh", "-c", `read line; echo "$PROTO $TCPREMOTEIP $line"; [ "$line" != bad ]`)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if got, want := s.say(t, fmt.Sprintf("%d\n", i)), fmt.Sprintf("TCP 127.0.0.1 %d\n", i); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	wg.Wait()
	s.say(t, "bad\n")
	code, log := s.stop(t)
	if code != 0 || !strings.Contains(log, "exit status 1") || !strings.Contains(log, "accepted=21") {
		t.Errorf("exit code %d, log:\n%s", code, log)
	}
}

// What a client has sent and the program has not read does not destroy what the
// program has written.
func TestServeProgramThatReadsNothing(t *testing.T) {
	s := serving(t, "127.0.0.1:0", "--", "echo", "goodbye")
	for range 5 {
		if got := s.say(t, strings.Repeat("x", 50_000)); got != "goodbye\n" {
			t.Errorf("got %q", got)
		}
	}
	s.stop(t)
}

// With a time-out the bytes are passed on; the result is the same.
func TestServeProgramThroughAPump(t *testing.T) {
	s := serving(t, "--idle", "0.3", "unix:"+filepath.Join(t.TempDir(), "s"), "--", "cat")
	text := strings.Repeat("0123456789abcdef\n", 50_000)
	if got := s.say(t, text); got != text {
		t.Errorf("got %d bytes of %d", len(got), len(text))
	}
	c, err := net.Dial("unix", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := c.Read(make([]byte, 1)); err != io.EOF { //nolint:errorlint // the end itself
		t.Errorf("a silent client: %v", err)
	}
	if code, log := s.stop(t); code != 0 || !strings.Contains(log, "timed_out=1") {
		t.Errorf("exit code %d, log:\n%s", code, log)
	}
}

// A program that goes on at SIGTERM is killed, with all that it has started.
func TestServeEndsPrograms(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	s := serving(t, "--drain", "0.1", "--grace", "0.3", "127.0.0.1:0", "--", "sh", "-c", `trap "" TERM; sleep 100 & echo $! $$ >> `+pids+`; echo ready; wait; sleep 100`)
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := bufio.NewReader(c).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	_, log := s.stop(t)
	b, err := os.ReadFile(pids)
	if err != nil {
		t.Fatal(err)
	}
	for pid := range strings.FieldsSeq(string(b)) {
		awaitGone(t, pid)
	}
	if !strings.Contains(log, "msg=stopped") {
		t.Errorf("log:\n%s", log)
	}
}

// SIGTERM under load loses nobody who was accepted.
func TestServeStopsUnderLoad(t *testing.T) {
	s := serving(t, "--handler", "upper", "127.0.0.1:0")
	var answered, lost int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				c, err := net.Dial("tcp", s.addr)
				if err != nil {
					return
				}
				_ = c.SetDeadline(time.Now().Add(time.Minute))
				_, _ = io.WriteString(c, "hello\n")
				got, _ := bufio.NewReader(c).ReadString('\n')
				_ = c.Close()
				mu.Lock()
				if got == "HELLO\n" {
					answered++
				} else {
					lost++
				}
				mu.Unlock()
			}
		})
	}
	for {
		mu.Lock()
		n := answered
		mu.Unlock()
		if n > 200 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	code, log := s.stop(t)
	wg.Wait()
	m := regexp.MustCompile(`accepted=(\d+)`).FindStringSubmatch(log)
	if m == nil || code != 0 || m[1] != fmt.Sprint(answered) {
		t.Errorf("exit code %d, %d answered, %d lost; log:\n%s", code, answered, lost, log)
	}
}

// A built-in handler in worker processes: one that is killed costs its own
// connections, and nothing is left at the end.
func TestServeInProcesses(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs Linux")
	}
	for _, args := range [][]string{{"-j", "2"}, {"-j", "1", "--per-connection"}} {
		s := serving(t, append(args, "--model", "process", "--handler", "menu", "127.0.0.1:0")...)
		for range 5 {
			if got := s.say(t, "0\nwhat\nexit\n"); !strings.Contains(got, "recorded.\nAgain, please.\nGoodbye.\n") {
				t.Errorf("got %q", got)
			}
		}
		if code, log := s.stop(t); code != 0 || !strings.Contains(log, "accepted=5") {
			t.Errorf("exit code %d, log:\n%s", code, log)
		}
	}
}

// A client that sends a byte now and then, and never a whole line or request, is let
// go.
func TestServeLetsSlowClientsGo(t *testing.T) {
	for _, args := range [][]string{{"--handler", "upper", "127.0.0.1:0"}, {"--handler", "http-file", "127.0.0.1:0", t.TempDir()}} {
		s := serving(t, append([]string{"--read-timeout", "0.3", "--idle", "1h"}, args...)...)
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		gone := make(chan error, 1)
		go func() {
			_ = c.SetReadDeadline(time.Now().Add(time.Minute))
			_, err := io.ReadAll(c)
			gone <- err
		}()
		for len(gone) == 0 {
			if _, err := c.Write([]byte("G")); err != nil {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		if err := <-gone; errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v: it is still connected", args)
		}
		_ = c.Close()
		if code, log := s.stop(t); code != 0 {
			t.Errorf("exit code %d, log:\n%s", code, log)
		}
	}
}

// A socket that was passed on, as systemd does it, or as a descriptor: it stays open
// for the next server.
func TestServeInheritedSockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	for _, network := range []string{"tcp", "unix"} {
		addr := "127.0.0.1:0"
		if network == "unix" {
			addr = path
		}
		l, err := net.Listen(network, addr)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		f, err := l.(interface{ File() (*os.File, error) }).File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for _, how := range []string{
			`LISTEN_FDS=1 LISTEN_PID=$$ exec tristrand serve inherited -- sh -c 'cat; echo "$LISTEN_FDS"'`,
			`LISTEN_FDS=1 LISTEN_PID=$$ LISTEN_FDNAMES=web exec tristrand serve --handler echo inherited:web`,
			`exec tristrand serve --model coro --handler echo fd:3`,
			`exec tristrand serve --handler echo fd:0 <&3`,
		} {
			s := awaitListening(t, exec.Command("sh", "-c", how), f)
			if got := strings.TrimSpace(s.say(t, "hello\n")); got != "hello" {
				t.Errorf("%s: %s: got %q", network, how, got)
			}
			if code, log := s.stop(t); code != 0 || !strings.Contains(log, "accepted=1") {
				t.Errorf("%s: exit code %d, log:\n%s", how, code, log)
			}
		}
	}
	for _, how := range []string{"exec tristrand serve --handler echo inherited", "LISTEN_FDS=1 LISTEN_PID=1 exec tristrand serve --handler echo inherited", "LISTEN_FDS=x LISTEN_PID=$$ exec tristrand serve --handler echo inherited", "exec tristrand serve --handler echo fd:77"} {
		if out, err := exec.Command("sh", "-c", how).CombinedOutput(); err == nil || !strings.Contains(string(out), "tristrand serve: server: ") {
			t.Errorf("%s: %v, %s", how, err, out)
		}
	}
}

// What blocks does not keep a hub from its other clients.
func TestServeOnCoroutines(t *testing.T) {
	s := serving(t, "--model", "coro", "127.0.0.1:0", "--", "cat")
	silent, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if got := s.say(t, "hello\n"); got != "hello\n" {
			t.Errorf("got %q", got)
		}
	}
	_ = silent.Close()
	if code, log := s.stop(t); code != 0 || strings.Contains(log, "handing over") {
		t.Errorf("exit code %d, log:\n%s", code, log)
	}
}

func TestServeFilesToCurl(t *testing.T) {
	for _, model := range []string{"thread", "coro"} {
		t.Run(model, func(t *testing.T) { serveFilesToCurl(t, model) })
	}
}

func serveFilesToCurl(t *testing.T, model string) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "page"), []byte("a page"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc", filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	s := serving(t, "--model", model, "--handler", "http-file", "127.0.0.1:0", dir)
	get := func(path string) string {
		out, _ := exec.Command("curl", "-s", "--max-time", "30", "--path-as-is", "-w", " %{http_code}", "http://"+s.addr+path).Output()
		return string(out)
	}
	if got := get("/page"); got != "a page 200" {
		t.Errorf("got %q", got)
	}
	for _, path := range []string{"/../../etc/hostname", "/out/hostname", "/none"} {
		if got := get(path); strings.HasSuffix(got, " 200") {
			t.Errorf("%s: %q", path, got)
		}
	}
	if code, log := s.stop(t); code != 0 {
		t.Errorf("exit code %d\n%s", code, log)
	}
}
