package manager_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/mpwire"
	"github.com/tristrand/tristrand/internal/pickle"
	"github.com/tristrand/tristrand/manager"
	"github.com/tristrand/tristrand/strand"
)

// rawClient is a client of bytes: it has done the handshake.
type rawClient struct {
	net.Conn
	r *mpwire.Reader
	t testing.TB
}

func rawDial(t testing.TB, at net.Addr) *rawClient {
	t.Helper()
	return must[*rawClient](t)(tryRawDial(t, at))
}

// tryRawDial is rawDial of a server that may be full.
func tryRawDial(t testing.TB, at net.Addr) (*rawClient, error) {
	t.Helper()
	c := must[net.Conn](t)(net.Dial(at.Network(), at.String()))
	t.Cleanup(func() { _ = c.Close() })
	ok(t, c.SetDeadline(time.Now().Add(time.Minute)))
	r := mpwire.NewReader(c, 1024)
	return &rawClient{c, r, t}, mpwire.Auth{Key: testKey}.Greet(r, c)
}

// ask sends a payload and returns the kind and the value of the answer.
func (c *rawClient) ask(payload []byte) (string, any) {
	c.t.Helper()
	ok(c.t, mpwire.WriteFrame(c, payload))
	return c.answer()
}

func (c *rawClient) answer() (string, any) {
	c.t.Helper()
	data := must[[]byte](c.t)(c.r.Next())
	v := must[any](c.t)(pickle.Unmarshal(data, pickle.Options{Find: func(pickle.Global) (*pickle.Class, error) { return pickle.Symbolic, nil }}))
	return v.(pickle.Tuple)[0].(string), v.(pickle.Tuple)[1]
}

func pickled(t testing.TB, v any) []byte {
	t.Helper()
	return must[[]byte](t)(pickle.Marshal(nil, v))
}

func (c *rawClient) call(ident any, method string, args ...any) (string, any) {
	c.t.Helper()
	return c.ask(pickled(c.t, pickle.Tuple{ident, method, pickle.Tuple(args), new(pickle.Dict)}))
}

// session makes the connection one.
func (c *rawClient) session(name string) {
	c.t.Helper()
	if kind, v := c.call(nil, "accept_connection", name); kind != "#RETURN" {
		c.t.Fatal(kind, v)
	}
}

// newObject creates one and returns its ident.
func newObject(t testing.TB, at net.Addr, typeid string, args ...any) string {
	t.Helper()
	kind, v := rawDial(t, at).call(nil, "create", append([]any{typeid}, args...)...)
	if kind != "#RETURN" {
		t.Fatal(kind, v)
	}
	return v.(pickle.Tuple)[0].(string)
}

// alive checks that the server serves.
func alive(t testing.TB, at net.Addr) {
	t.Helper()
	if kind, v := rawDial(t, at).call(nil, "dummy"); kind != "#RETURN" || v != nil {
		t.Errorf("dummy: %s %v", kind, v)
	}
}

func TestKeys(t *testing.T) {
	keyed := serve(t, &manager.Server{AuthKey: testKey}, "127.0.0.1:0").String()
	open := serve(t, &manager.Server{NoAuth: true}, "127.0.0.1:0").String()
	hasty := serve(t, &manager.Server{NoAuth: true, HandshakeTimeout: 100 * time.Millisecond}, "127.0.0.1:0").String()
	for _, row := range []struct {
		name, at string
		o        manager.DialOptions
		err      error
	}{
		{"the key", keyed, manager.DialOptions{AuthKey: testKey}, nil},
		{"another key", keyed, manager.DialOptions{AuthKey: []byte("other")}, manager.ErrAuth},
		{"a key at the server alone", keyed, manager.DialOptions{NoAuth: true}, nil},
		{"a key at the client alone", hasty, manager.DialOptions{AuthKey: testKey}, io.EOF},
		{"no key at all", open, manager.DialOptions{NoAuth: true}, nil},
	} {
		c, err := manager.Dial(t.Context(), row.at, row.o)
		switch {
		case row.name == "a key at the server alone":
			if err == nil {
				t.Errorf("%s: no error", row.name)
			}
		case !errors.Is(err, row.err):
			t.Errorf("%s: %v, want %v", row.name, err, row.err)
		}
		if err == nil {
			ok(t, c.Close())
		}
	}
	if err := (&manager.Server{}).ListenAndServe(t.Context(), "127.0.0.1:0"); err == nil {
		t.Error("a server without a key serves")
	}
	if _, err := manager.Dial(t.Context(), keyed, manager.DialOptions{}); err == nil {
		t.Error("a client without a key connects")
	}
}

// TestStall: who stalls in any state before the first request is dropped in
// time, and others are served meanwhile.
func TestStall(t *testing.T) {
	at := serve(t, &manager.Server{AuthKey: testKey, HandshakeTimeout: 3 * time.Second}, "127.0.0.1:0")
	stalled := map[string]net.Conn{}
	for _, state := range []string{"connected", "half a header", "half an answer", "before our challenge", "before the welcome", "before the request", "half a request"} {
		stalled[state] = stall(t, at, state)
	}
	alive(t, at)
	for state, c := range stalled {
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: the server keeps the connection", state)
		}
	}
	alive(t, at)
}

// stall is a client that goes no further than to a state.
func stall(t *testing.T, at net.Addr, state string) net.Conn {
	t.Helper()
	c := must[net.Conn](t)(net.Dial("tcp", at.String()))
	t.Cleanup(func() { _ = c.Close() })
	ok(t, c.SetDeadline(time.Now().Add(time.Minute)))
	r := mpwire.NewReader(c, 256)
	switch state {
	case "connected":
	case "half a header":
		_ = must[int](t)(c.Write([]byte{0, 0}))
	case "half an answer":
		_ = must[int](t)(c.Write([]byte{0, 0, 0, 16, 1, 2}))
	case "before our challenge", "before the welcome":
		m := must[[]byte](t)(r.Next())
		mac := must[[]byte](t)(mpwire.Auth{Key: testKey}.Mac(bytes.Clone(m[len("#CHALLENGE#"):])))
		ok(t, mpwire.WriteFrame(c, mac))
		_ = must[[]byte](t)(r.Next())
		if state == "before the welcome" {
			ok(t, mpwire.WriteFrame(c, []byte("#CHALLENGE#01234567890123456789")))
			_ = must[[]byte](t)(r.Next())
		}
	default:
		ok(t, mpwire.Auth{Key: testKey}.Greet(r, c))
		if state == "half a request" {
			request := mpwire.End(append(mpwire.Begin(nil), pickled(t, pickle.Tuple{nil, "dummy", pickle.Tuple{}, new(pickle.Dict)})...), 0)
			_ = must[int](t)(c.Write(request[:10]))
		}
	}
	return c
}

// TestConnectAndDrop: thousands of connections that are dropped at once leave
// nothing behind.
func TestConnectAndDrop(t *testing.T) {
	at := serve(t, &manager.Server{AuthKey: testKey}, "127.0.0.1:0")
	alive(t, at)
	n := 10_000
	if testing.Short() {
		n = 500
	}
	before := runtime.NumGoroutine()
	for range n {
		c, err := net.Dial("tcp", at.String())
		if err != nil {
			time.Sleep(time.Millisecond) // the machine has no ports left for the moment
			continue
		}
		ok(t, c.(*net.TCPConn).SetLinger(0))
		ok(t, c.Close())
	}
	alive(t, at)
	until(t, "the goroutines are gone", func() bool { return runtime.NumGoroutine() <= before+5 })
}

func TestHostileLengths(t *testing.T) {
	at := serve(t, &manager.Server{AuthKey: testKey}, "127.0.0.1:0")
	for name, head := range map[string][]byte{
		"2 GiB":    {0x7f, 0xff, 0xff, 0xff},
		"negative": {0x80, 0, 0, 0},
		"-2":       {0xff, 0xff, 0xff, 0xfe},
		"2**63":    {0xff, 0xff, 0xff, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0},
		"2**40":    {0xff, 0xff, 0xff, 0xff, 0, 0, 1, 0, 0, 0, 0, 0},
	} {
		for _, inSession := range []bool{false, true} {
			c := rawDial(t, at)
			if inSession {
				c.session("hostile")
			}
			_ = must[int](t)(c.Write(append(head, "some bytes"...)))
			if _, err := c.r.Next(); err == nil {
				t.Errorf("%s: the server answers", name)
			}
		}
	}
	alive(t, at)
}

func TestHostilePickles(t *testing.T) {
	at := serve(t, &manager.Server{AuthKey: testKey}, "127.0.0.1:0")
	s := rawDial(t, at)
	s.session("hostile")
	id := newObject(t, at, "list")
	for name, payload := range map[string]string{
		"os.system":           "\x80\x04N\x8c\x05dummy\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R(t.",
		"GLOBAL":              "\x80\x02cos\nsystem\n.",
		"a persistent id":     "\x80\x04\x8c\x01aQ.",
		"an extension code":   "\x80\x02\x82\x01.",
		"a buffer":            "\x80\x05\x97.",
		"100000 levels":       "\x80\x04" + strings.Repeat("]", 100_000) + strings.Repeat("a", 99_999) + ".",
		"getattr":             "\x80\x04\x8c\x08builtins\x8c\x07getattr\x93.",
		"nothing to unpickle": "\x00\x01\x02",
	} {
		kind, v := s.ask([]byte(payload))
		if kind != "#TRACEBACK" || !strings.Contains(fmt.Sprint(v), "Error") {
			t.Errorf("%s is answered with %s %.100v", name, kind, v)
		}
	}
	// Structures that hold themselves, or share their parts, are data like any.
	self := pickle.NewList()
	self.Items = append(self.Items, self)
	bomb := pickle.NewList()
	for range 30 {
		bomb = pickle.NewList(bomb, bomb)
	}
	for _, v := range []any{self, bomb} {
		if kind, got := s.call(id, "append", v); kind != "#RETURN" {
			t.Errorf("append: %s %v", kind, got)
		}
		if kind, _ := s.call(id, "__getitem__", int64(-1)); kind != "#RETURN" {
			t.Errorf("getting it back: %s", kind)
		}
	}
	if kind, v := s.call(id, "__str__"); kind != "#RETURN" {
		t.Errorf("printing: %s %.100v", kind, v)
	}
	if kind, v := s.call(id, "index", bomb); kind != "#ERROR" && kind != "#RETURN" {
		t.Errorf("comparing: %s %.100v", kind, v)
	}
	alive(t, at)
}

func TestMisuse(t *testing.T) {
	at := serve(t, &manager.Server{AuthKey: testKey}, "127.0.0.1:0")
	s := rawDial(t, at)
	s.session("misuse")
	d, b := newObject(t, at, "dict"), newObject(t, at, "BoundedSemaphore")
	for _, row := range []struct {
		ident  any
		method string
		args   []any
		kind   string
		text   string
	}{
		{"nosuch", "append", nil, "#TRACEBACK", "nosuch"},
		{int64(1), "append", nil, "#TRACEBACK", "KeyError"},
		{pickle.NewList(), "append", nil, "#TRACEBACK", "KeyError"},
		{d, "nosuch", nil, "#TRACEBACK", "nosuch"},
		{d, "__class__", nil, "#TRACEBACK", "exposed"},
		{d, "__setitem__", []any{pickle.NewList(), nil}, "#ERROR", "unhashable type: 'list'"},
		{d, "__setitem__", []any{"k"}, "#ERROR", "missing"},
		{d, "pop", []any{"a", "b", "c"}, "#ERROR", "at most"},
		{b, "release", nil, "#ERROR", "too many times"},
		{b, "#GETVALUE", nil, "#UNSERIALIZABLE", "pickle"},
	} {
		kind, v := s.call(row.ident, row.method, row.args...)
		text := fmt.Sprint(v)
		if o, isObject := v.(*pickle.Object); isObject {
			text = fmt.Sprint(o.Args...)
		}
		if kind != row.kind || !strings.Contains(text, row.text) {
			t.Errorf("%v.%s%v: %s %q, want %s with %q", row.ident, row.method, row.args, kind, text, row.kind, row.text)
		}
	}
	for _, fn := range []string{"nosuch", "__init__", "serve_forever"} {
		if kind, v := rawDial(t, at).call(nil, fn); kind != "#TRACEBACK" {
			t.Errorf("function %s: %s %v", fn, kind, v)
		}
	}
	if kind, v := rawDial(t, at).call(nil, "create", "nosuch"); kind != "#TRACEBACK" {
		t.Errorf("an unknown typeid: %s %v", kind, v)
	}
	if kind, v := s.ask(pickled(t, "no tuple")); kind != "#TRACEBACK" {
		t.Errorf("a request that is no tuple: %s %v", kind, v)
	}
	if kind, v := s.ask(pickled(t, pickle.Tuple{d, "get", pickle.Tuple{}, pickle.Tuple{}})); kind != "#TRACEBACK" {
		t.Errorf("keywords that are no dict: %s %v", kind, v)
	}
}

// TestDeadSession: what a session that is gone held or waited for is released.
func TestDeadSession(t *testing.T) {
	at := serve(t, &manager.Server{AuthKey: testKey}, filepath.Join(t.TempDir(), "s"))
	lock, queue, barrier := newObject(t, at, "Lock"), newObject(t, at, "Queue", int64(1)), newObject(t, at, "Barrier", int64(2))
	rlock, sem := newObject(t, at, "RLock"), newObject(t, at, "Semaphore", int64(1))
	watch := rawDial(t, at)
	watch.session("watcher")
	dead := func(do func(c *rawClient)) {
		c := rawDial(t, at)
		c.session("dies")
		do(c)
		ok(t, c.Close())
	}
	send := func(c *rawClient, ident, method string, args ...any) {
		ok(t, mpwire.WriteFrame(c, pickled(t, pickle.Tuple{ident, method, pickle.Tuple(args), new(pickle.Dict)})))
	}
	state := func(ident string) pickle.Tuple {
		_, v := watch.call(ident, "state")
		return v.(pickle.Tuple)
	}
	for _, id := range []string{lock, rlock, sem} {
		dead(func(c *rawClient) {
			if kind, v := c.call(id, "acquire"); kind != "#RETURN" || v != true {
				t.Fatal(kind, v)
			}
		})
		if kind, v := watch.call(id, "acquire", true, 30.0); kind != "#RETURN" || v != true {
			t.Errorf("a lock whose holder is gone: %s %v", kind, v)
		}
		if kind, v := watch.call(id, "release"); kind != "#RETURN" {
			t.Errorf("releasing it: %s %v", kind, v)
		}
	}
	dead(func(c *rawClient) {
		send(c, queue, "get")
		until(t, "it waits", func() bool { return state(queue)[3] == int64(1) })
	})
	until(t, "its get is given up", func() bool { return state(queue)[3] == int64(0) })
	if kind, _ := watch.call(queue, "put", "kept"); kind != "#RETURN" {
		t.Error(kind)
	}
	dead(func(c *rawClient) { // the queue is full
		send(c, queue, "put", "never")
		until(t, "it waits", func() bool { return state(queue)[4] == int64(1) })
	})
	until(t, "its put is given up", func() bool { return state(queue)[4] == int64(0) })
	if _, v := watch.call(queue, "get"); v != "kept" {
		t.Errorf("the queue gave %v", v)
	}
	if _, v := watch.call(queue, "qsize"); v != int64(0) {
		t.Errorf("the queue still has %v", v)
	}
	dead(func(c *rawClient) {
		send(c, barrier, "wait")
		until(t, "it waits", func() bool { return state(barrier)[1] == int64(1) })
	})
	until(t, "the barrier is broken", func() bool { return state(barrier)[2] == true })
	// One who is cut off in the middle of a put has put nothing.
	dead(func(c *rawClient) {
		payload := pickled(t, pickle.Tuple{queue, "put", pickle.Tuple{"half"}, new(pickle.Dict)})
		_ = must[int](t)(c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(payload))), payload[:len(payload)-3]...)))
	})
	if _, v := watch.call(queue, "qsize"); v != int64(0) {
		t.Errorf("half a put has put %v", v)
	}
}

// TestReferencesOfDeadProcess: on a Unix socket the references of a Python
// process that was killed are dropped.
func TestReferencesOfDeadProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the process at the other end of a socket is known on Linux only")
	}
	at := serve(t, &manager.Server{AuthKey: testKey}, filepath.Join(t.TempDir(), "s"))
	c := dial(t, at.String())
	cmd := exec.Command(pythons(t)[0], "-c", `
import sys, time
from multiprocessing.managers import SyncManager
m = SyncManager(address=sys.argv[1], authkey=b"secret"); m.connect()
keep = [m.list() for _ in range(5)]
print("ready", flush=True)
time.sleep(600)
`, at.String())
	out := must[io.ReadCloser](t)(cmd.StdoutPipe())
	ok(t, cmd.Start())
	_ = must[int](t)(out.Read(make([]byte, 10)))
	equal(t, must[manager.Info](t)(c.Info(t.Context())).Objects, 5)
	ok(t, cmd.Process.Kill())
	_ = cmd.Wait() // it was killed
	until(t, "its lists are gone", func() bool { return must[manager.Info](t)(c.Info(t.Context())).Objects == 0 })
}

// TestServerKilled: clients that wait are told, and the next call connects again.
func TestServerKilled(t *testing.T) {
	address := filepath.Join(t.TempDir(), "s")
	ctx, stop := context.WithCancel(t.Context())
	s := &manager.Server{AuthKey: testKey}
	l := must[net.Listener](t)(manager.Listen(address))
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	c := dial(t, address)
	q := must[*manager.Queue[int]](t)(manager.NewQueue[int](t.Context(), c, 0))
	failed := make(chan error, 1)
	go func() {
		_, err := q.Get(t.Context())
		failed <- err
	}()
	until(t, "it waits", func() bool { return must[tristrand.QueueState](t)(q.State(t.Context())).Getting == 1 })
	stop()
	is(t, <-failed, manager.ErrConnection)
	is(t, <-done, context.Canceled)
	if _, err := c.Info(t.Context()); err == nil {
		t.Error("a server that is gone answers")
	}
	serve(t, &manager.Server{AuthKey: testKey}, address)
	_ = must[manager.Info](t)(c.Info(t.Context()))
}

// TestDeadlockOfTwoClients: a deadlock between two programs is refused in one of
// them.
func TestDeadlockOfTwoClients(t *testing.T) {
	at := serve(t, &manager.Server{AuthKey: testKey}, "127.0.0.1:0").String()
	one, two := dial(t, at), dial(t, at)
	ctx, end := strand.Adopt(t.Context(), "one")
	defer end()
	a1 := must[*manager.Lock](t)(manager.NewLock(ctx, one))
	b1 := must[*manager.Lock](t)(manager.NewLock(ctx, one))
	a2 := manager.LockOf(must[*manager.Proxy](t)(two.Attach(ctx, "Lock", a1.Proxy().ID())))
	b2 := manager.LockOf(must[*manager.Proxy](t)(two.Attach(ctx, "Lock", b1.Proxy().ID())))
	ok(t, a1.Acquire(ctx))
	var g tristrand.Group
	g.Go(ctx, func(ctx context.Context) error {
		if err := b2.Acquire(ctx); err != nil {
			return err
		}
		return errors.Join(a2.Acquire(ctx), a2.Release(ctx), b2.Release(ctx))
	})
	until(t, "the other waits", func() bool { return must[tristrand.LockState](t)(a1.State(ctx)).Waiting == 1 })
	err := b1.Acquire(ctx)
	dead, isDead := errors.AsType[*tristrand.DeadlockError](err)
	if !isDead || len(dead.Cycle) != 2 || !strings.Contains(dead.Cycle[0].TakenAt, "fault_test.go:") {
		t.Errorf("the error is %v, want a deadlock of two", err)
	}
	ok(t, a1.Release(ctx))
	ok(t, g.Wait(ctx))
}
