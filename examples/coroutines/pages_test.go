package coroutines_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/coro"
	"github.com/tristrand/tristrand/process"
	"github.com/tristrand/tristrand/thread"
)

// fetch gets a page and returns its length. On a coroutine it lets the others go on
// meanwhile; everywhere else Await only calls the function.
var fetch = tristrand.Define("examples.coroutines.fetch", func(ctx context.Context, url string) (int, error) {
	text, err := coro.Await(ctx, func(ctx context.Context) (string, error) { return get(ctx, url) })
	return len(text), err
})

// C10: the same pages one by one, on threads, on coroutines and on processes: the
// engine is one word. Pages that are waited for together take as long as one: the
// server sees several at once.
func TestPages(t *testing.T) {
	const pages, wait = 8, 100 * time.Millisecond
	var mu sync.Mutex
	var now, most int // requests under way
	count := func(by int) {
		mu.Lock()
		defer mu.Unlock()
		now += by
		most = max(most, now)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		count(1)
		defer count(-1)
		time.Sleep(wait)
		fmt.Fprint(w, "page")
	}))
	defer server.Close()
	defer http.DefaultClient.CloseIdleConnections()
	ctx, urls := t.Context(), slices.Repeat([]string{server.URL}, pages)
	workers := &process.Pool{Workers: pages}
	if err := workers.Start(ctx); err != nil { // ahead, as a program would: else it is in the table
		t.Fatal(err)
	}
	var table strings.Builder
	for _, engine := range []struct {
		name string
		pool tristrand.Executor
	}{
		{"one by one", &thread.Pool{Workers: 1}},
		{"threads", &thread.Pool{Workers: pages}},
		{"coroutines", &coro.Pool{Workers: pages}},
		{"processes", workers},
	} {
		began := time.Now()
		for size, err := range fetch.Map(ctx, engine.pool, slices.Values(urls), tristrand.Chunk(1)) {
			if err != nil || size != len("page") {
				t.Errorf("%s: %d bytes, %v", engine.name, size, err)
			}
		}
		fmt.Fprintf(&table, "%-12s %v\n", engine.name, time.Since(began).Round(time.Millisecond))
		mu.Lock()
		if together := most > 1; together != (engine.name != "one by one") {
			t.Errorf("%s: %d at once", engine.name, most)
		}
		most = 0
		mu.Unlock()
		if err := engine.pool.Close(ctx); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d pages, each after %v:\n%s", pages, wait, &table)
}
