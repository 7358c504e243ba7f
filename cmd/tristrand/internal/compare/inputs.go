package compare

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// How much each task gets to do at size 1: together a few seconds when run one
// after another.
const (
	pages     = 32
	pageWait  = 40 * time.Millisecond
	pageBytes = 8 << 10
	files     = 16
	fileBytes = 8 << 20
	numbers   = 24
	numberMin = 3_000_000_000_000_000 // the primes above it take some 30 ms each
	starts    = 48
)

// inputs are what a task works on, and how to get rid of it.
type inputs struct {
	list   []string
	about  string
	remove func() error
}

// makeInputs makes what the task is compared on when nothing was given.
func makeInputs(ctx context.Context, task string, o Options) (inputs, error) {
	n := func(base int) int { return max(1, int(float64(base)*o.Size)) }
	switch task {
	case "fetch":
		return makePages(n(pages))
	case "hash":
		return makeFiles(ctx, n(files))
	case "prime":
		return makeNumbers(n(numbers)), nil
	default:
		return makeStarts(o.Command, n(starts))
	}
}

// makePages starts a server on the loopback interface that takes its time.
func makePages(n int) (inputs, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil { // a machine with IPv6 alone
		var err6 error
		if listener, err6 = net.Listen("tcp", "[::1]:0"); err6 != nil {
			return inputs{}, errors.Join(err, err6)
		}
	}
	body := []byte(strings.Repeat("tristrand ", pageBytes/10))
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-time.After(pageWait):
				_, _ = w.Write(body)
			case <-r.Context().Done():
			}
		})}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()

	in := inputs{about: fmt.Sprintf("%s from a local server that waits %d ms before it answers", count(n, "page"), pageWait.Milliseconds())}
	for i := range n {
		in.list = append(in.list, fmt.Sprintf("http://%s/%d", listener.Addr(), i+1))
	}
	in.remove = func() error {
		err := server.Close()
		if e := <-done; !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
		return err
	}
	return in, nil
}

// makeFiles writes temporary files of random content.
func makeFiles(ctx context.Context, n int) (_ inputs, err error) {
	dir, err := os.MkdirTemp("", "tristrand-compare-")
	if err != nil {
		return inputs{}, fmt.Errorf("%w; TMPDIR can name a directory that it may write to", err)
	}
	in := inputs{
		about:  fmt.Sprintf("%s of %d MiB, in memory after the first read", count(n, "temporary file"), fileBytes>>20),
		remove: func() error { return os.RemoveAll(dir) },
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, in.remove())
		}
	}()
	content := make([]byte, fileBytes)
	_, _ = rand.NewChaCha8([32]byte{}).Read(content)
	for i := range n {
		if ctx.Err() != nil {
			return in, context.Cause(ctx)
		}
		content[i%fileBytes]++ // no two alike
		path := filepath.Join(dir, fmt.Sprintf("file-%d", i+1))
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return in, err
		}
		in.list = append(in.list, path)
	}
	return in, nil
}

// makeNumbers finds primes, the numbers that take longest.
func makeNumbers(n int) inputs {
	in := inputs{about: count(n, "prime number") + " of 16 digits, each to be tested by division", remove: func() error { return nil }}
	for p := big.NewInt(numberMin + 1); len(in.list) < n; p.Add(p, big.NewInt(2)) {
		if p.ProbablyPrime(0) { // exact below 2⁶⁴
			in.list = append(in.list, p.String())
		}
	}
	return in
}

// makeStarts names a command that does almost nothing, n times.
func makeStarts(command string, n int) (inputs, error) {
	if command == "" {
		return inputs{}, errors.New("no command was named for it to start")
	}
	in := inputs{about: count(n, "start") + " of a small program", remove: func() error { return nil }}
	for range n {
		in.list = append(in.list, command)
	}
	return in, nil
}
