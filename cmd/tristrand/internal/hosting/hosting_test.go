package hosting

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tristrand/tristrand/manager"
	"github.com/tristrand/tristrand/strand"
)

// TestServeAndInspect shows a lock's holder and who waits for it.
func TestServeAndInspect(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	key, address := []byte("key"), filepath.Join(t.TempDir(), "s")
	objects, err := Objects([]string{"jobs=Queue:10", "guard=Lock", "n=Value:5", "seen=dict", "empty=Value"})
	if err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- Serve(ctx, w, address, &manager.Server{AuthKey: key, Objects: objects}, false)
	}()
	line := make([]byte, 200)
	n, err := r.Read(line)
	if err != nil || !strings.HasPrefix(string(line[:n]), "listening ") {
		t.Fatalf("it says %q, %v", line[:n], err)
	}
	o := manager.DialOptions{AuthKey: key}
	c, err := manager.Dial(t.Context(), address, o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	me, end := strand.Adopt(t.Context(), "me")
	defer end()
	p, err := c.Create(me, "guard")
	if err != nil {
		t.Fatal(err)
	}
	lock := manager.LockOf(p)
	if err := lock.Acquire(me); err != nil {
		t.Fatal(err)
	}
	waits, stop := context.WithCancel(me)
	released := make(chan error, 1)
	strand.Go(waits, strand.Options{Kind: strand.Thread, Name: "waiter"}, func(ctx context.Context) { released <- lock.Acquire(ctx) })
	for began := time.Now(); ; time.Sleep(2 * time.Millisecond) {
		if st, err := lock.State(me); err != nil || st.Waiting == 1 {
			break
		} else if time.Since(began) > time.Minute {
			t.Fatal("nobody waits")
		}
	}
	var text, doc bytes.Buffer
	if err := Inspect(t.Context(), &text, address, o, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"jobs", "guard", "me, process ", "hosting_test.go:", "waiter", "Value('O', 5)", "Value('O', None)", "{}"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is not in\n%s", want, &text)
		}
	}
	if err := Inspect(t.Context(), &doc, address, o, true); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for dec := json.NewDecoder(&doc); dec.More(); seen++ {
		var e manager.Entry
		if err := dec.Decode(&e); err != nil {
			t.Fatal(err)
		}
		if e.Type == "guard" && (len(e.Waiters) != 1 || e.Waiters[0] != "waiter") {
			t.Errorf("the lock's waiters are %q", e.Waiters)
		}
	}
	if seen != len(objects) {
		t.Errorf("%d objects, want %d", seen, len(objects))
	}
	stop()
	<-released
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
}
