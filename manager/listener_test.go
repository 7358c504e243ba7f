package manager_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os/exec"
	"testing"
	"time"

	"github.com/tristrand/tristrand/manager"
)

// talk is the Python side of a conversation: it sends back what it gets until
// there is no more.
const talk = `
import sys
from multiprocessing.connection import Client, Listener
address, key, side = sys.argv[1], b"secret", sys.argv[2]
if ":" in address:
    host, port = address.rsplit(":", 1)
    address = (host, int(port))
if side == "client":
    c = Client(address, authkey=key)
else:
    l = Listener(address, authkey=key)
    a = l.address
    print("%s:%d" % a if isinstance(a, tuple) else a, flush=True)
    c = l.accept()
while True:
    try:
        x = c.recv()
    except EOFError:
        break
    if x == "bytes":
        c.send_bytes(c.recv_bytes() * 2)
    else:
        c.send(x)
c.close()
`

// converse is the Go side.
func converse(t *testing.T, c *manager.Conn) {
	t.Helper()
	ctx := t.Context()
	for _, v := range []any{int64(1), "text", []byte("bytes"), 1.5, nil, []any{int64(1), []any{"x"}}, map[string]any{"k": true}} {
		ok(t, c.Send(ctx, v))
		equal(t, must[any](t)(c.Recv(ctx)), v)
	}
	type job struct{ ID, Size int }
	ok(t, c.Send(ctx, job{1, 2}))
	equal(t, must[job](t)(manager.Receive[job](ctx, c)), job{1, 2})
	big := make([]byte, 3<<20)
	ok(t, c.Send(ctx, "bytes"))
	ok(t, c.SendBytes(ctx, big))
	equal(t, len(must[[]byte](t)(c.RecvBytes(ctx))), 2*len(big))

	short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	_, err := c.Recv(short) // nothing comes
	is(t, err, context.DeadlineExceeded)
	ok(t, c.Send(ctx, "after a time-out"))
	equal(t, must[any](t)(c.Recv(ctx)), any("after a time-out"))
	ok(t, c.Close())
}

func TestListenerWithPythonClient(t *testing.T) {
	for _, py := range pythons(t) {
		for _, address := range []string{"127.0.0.1:0", t.TempDir() + "/s"} {
			l := must[*manager.Listener](t)(manager.ListenConn(address, testKey))
			cmd := exec.Command(py, "-c", talk, l.Addr().String(), "client")
			ok(t, cmd.Start())
			converse(t, must[*manager.Conn](t)(l.Accept(t.Context())))
			ok(t, cmd.Wait())
			ok(t, l.Close())
		}
	}
}

func TestConnectToPythonListener(t *testing.T) {
	for _, py := range pythons(t) {
		cmd := exec.Command(py, "-c", talk, "127.0.0.1:0", "listener")
		out, err := cmd.StdoutPipe()
		ok(t, err)
		ok(t, cmd.Start())
		at, err := bufio.NewReader(out).ReadString('\n')
		ok(t, err)
		converse(t, must[*manager.Conn](t)(manager.Connect(t.Context(), at[:len(at)-1], manager.DialOptions{AuthKey: testKey})))
		ok(t, cmd.Wait())
	}
}

// TestListenerHandshakes: who stalls or lies in the handshake holds up nobody.
func TestListenerHandshakes(t *testing.T) {
	l := must[*manager.Listener](t)(manager.ListenConn("127.0.0.1:0", testKey))
	defer l.Close()
	for range 20 { // they never speak
		c, err := net.Dial("tcp", l.Addr().String())
		ok(t, err)
		defer c.Close()
	}
	done := make(chan error, 1)
	go func() {
		_, err := manager.Connect(t.Context(), l.Addr().String(), manager.DialOptions{AuthKey: []byte("wrong")})
		done <- err
	}()
	_, err := l.Accept(t.Context())
	is(t, err, manager.ErrAuth)
	is(t, <-done, manager.ErrAuth)
	go func() {
		c, err := manager.Connect(t.Context(), l.Addr().String(), manager.DialOptions{AuthKey: testKey})
		if err == nil {
			err = errors.Join(c.Send(t.Context(), "hello"), c.Close())
		}
		done <- err
	}()
	c := must[*manager.Conn](t)(l.Accept(t.Context()))
	equal(t, must[any](t)(c.Recv(t.Context())), any("hello"))
	_, err = c.Recv(t.Context())
	is(t, err, io.EOF)
	ok(t, <-done)
	ok(t, c.Close())
	ok(t, l.Close())
	_, err = l.Accept(t.Context())
	is(t, err, net.ErrClosed)
}
