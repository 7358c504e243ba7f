package managers_test

import (
	"context"
	"errors"
	"os/exec"
	"testing"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/manager"
	"github.com/tristrand/tristrand/strand"
)

// script is a Python program with nothing but its standard library: it takes
// words from a queue, and counts them in a dict, under a lock.
const script = `
import sys
from multiprocessing.managers import SyncManager, DictProxy, AcquirerProxy
SyncManager.register("words")
SyncManager.register("counts", proxytype=DictProxy)
SyncManager.register("guard", proxytype=AcquirerProxy)
m = SyncManager(address=sys.argv[1], authkey=sys.argv[2].encode())
m.connect()
words, counts, guard = m.words(), m.counts(), m.guard()
while True:
    word = words.get()
    if word is None:
        break
    with guard:
        counts[word] = counts.get(word, 0) + 1
`

// count does the same in Go.
func count(ctx context.Context, c *manager.Client) error {
	words, err1 := c.Create(ctx, "words")
	counts, err2 := c.Create(ctx, "counts")
	guard, err3 := c.Create(ctx, "guard")
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	dict := manager.DictOf[string, int](counts)
	for word, err := range manager.QueueOf[*string](words).All(ctx) {
		if err != nil || word == nil { // Python's None is the end
			return err
		}
		err = tristrand.With(ctx, manager.LockOf(guard), func(ctx context.Context) error {
			n, _, err := dict.Get(ctx, *word)
			return errors.Join(err, dict.Set(ctx, *word, n+1))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// A Python script and a Go program share a dict, a queue and a lock: no word is
// lost, whoever counts it.
func TestPythonAndGo(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("the machine has no python3")
	}
	ctx, end := strand.Adopt(t.Context(), "main")
	defer end()
	address := serve(t, &manager.Server{Objects: []manager.Object{
		{Name: "words", Type: "Queue"}, {Name: "counts", Type: "dict"}, {Name: "guard", Type: "Lock"},
	}}).String()
	c, err := manager.Dial(ctx, address, manager.DialOptions{AuthKey: key})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()

	var both tristrand.Group
	both.Go(ctx, func(ctx context.Context) error {
		out, err := exec.CommandContext(ctx, python, "-c", script, address, string(key)).CombinedOutput()
		if err != nil {
			t.Logf("%s", out)
		}
		return err
	})
	both.Go(ctx, func(ctx context.Context) error { return count(ctx, c) })

	p, err := c.Create(ctx, "words")
	if err != nil {
		t.Fatal(err)
	}
	const each = 50
	words := manager.QueueOf[any](p)
	for range each {
		for _, word := range []string{"noodle", "fork"} {
			if err := words.Put(ctx, word); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 2 { // one end for each
		if err := words.Put(ctx, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := both.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	counts, err := c.Create(ctx, "counts")
	if err != nil {
		t.Fatal(err)
	}
	got, err := manager.DictOf[string, int](counts).Copy(ctx)
	if err != nil || got["noodle"] != each || got["fork"] != each {
		t.Errorf("the counts are %v, %v; want %d of each", got, err, each)
	}
}
