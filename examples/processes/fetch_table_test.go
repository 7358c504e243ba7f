//go:build linux

package processes_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/coro"
	"github.com/tristrand/tristrand/process"
	"github.com/tristrand/tristrand/thread"
)

// fetch gets a page. On a coroutine it lets the others go on meanwhile.
var fetch = tristrand.Define("examples.processes.fetch", func(ctx context.Context, url string) (int, error) {
	return coro.Await(ctx, func(ctx context.Context) (int, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return 0, err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		n, err := io.Copy(io.Discard, resp.Body)
		return int(n), err
	})
})

// C10: the same pages one by one, on threads, on coroutines, on processes. "tristrand
// compare" has such a table for other work too.
func TestFetchTable(t *testing.T) {
	const pages, wait = 8, 100 * time.Millisecond
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(wait)
		io.WriteString(w, "a page")
	}))
	defer server.Close()
	ctx := t.Context()
	workers := &process.Pool{Workers: pages}
	if err := workers.Start(ctx); err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	var oneByOne time.Duration
	for _, row := range []struct {
		name string
		pool tristrand.Executor
	}{
		{"one by one", &thread.Pool{Workers: 1}}, {"threads", &thread.Pool{Workers: pages}},
		{"coroutines", &coro.Pool{Workers: pages}}, {"processes", workers},
	} {
		began := time.Now()
		var all []*tristrand.Future[int]
		for range pages {
			all = append(all, fetch.Submit(ctx, row.pool, server.URL))
		}
		for _, f := range all {
			if n, err := f.Result(ctx); n != len("a page") || err != nil {
				t.Errorf("%s: %d bytes, %v", row.name, n, err)
			}
		}
		took := time.Since(began)
		fmt.Fprintf(&table, "%-12s %v\n", row.name, took.Round(time.Millisecond))
		if row.name == "one by one" {
			oneByOne = took
		} else if took >= oneByOne {
			t.Errorf("%s took %v, one by one %v", row.name, took, oneByOne)
		}
		if err := row.pool.Close(ctx); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d pages, each after %v:\n%s", pages, wait, &table)
}
