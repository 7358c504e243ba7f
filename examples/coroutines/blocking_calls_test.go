package coroutines_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/coro"
	"github.com/tristrand/tristrand/thread"
)

// C09: calls of ordinary Go code that block, from a coroutine: only that coroutine
// waits. Here each waits for something that another coroutine does afterwards.
func TestBlockingCalls(t *testing.T) {
	release := make(chan struct{})
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		<-release
		fmt.Fprint(w, "hello")
	}))
	defer page.Close()
	path := filepath.Join(t.TempDir(), "file")
	calls := map[string]func(ctx context.Context) (string, error){
		"sleep": func(context.Context) (string, error) {
			<-release
			time.Sleep(time.Millisecond)
			return "hello", nil
		},
		"file": func(context.Context) (string, error) {
			<-release
			text, err := os.ReadFile(path)
			return string(text), err
		},
		"http": func(ctx context.Context) (string, error) { return get(ctx, page.URL) },
	}
	err := coro.Run(t.Context(), func(ctx context.Context) error {
		var all []*coro.Coroutine
		for name, call := range calls {
			all = append(all, coro.Spawn(ctx, func(ctx context.Context) error {
				text, err := coro.Await(ctx, call)
				if err != nil || text != "hello" {
					return fmt.Errorf("%s: got %q, %w", name, text, err)
				}
				return nil
			}))
		}
		if err := coro.Sleep(ctx, time.Millisecond); err != nil { // they wait, and this goes on
			return err
		}
		if err := os.WriteFile(path, []byte("hello"), 0o600); err != nil {
			return err
		}
		close(release)
		_, err := coro.JoinAll(ctx, all)
		for _, c := range all {
			err = errors.Join(err, c.Err())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func get(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return string(text), err
}

var fetch = tristrand.Define("examples.coroutines.fetch", func(ctx context.Context, url string) (int, error) {
	text, err := coro.Await(ctx, func(ctx context.Context) (string, error) { return get(ctx, url) })
	return len(text), err
})

// C10: the same pages one by one, on threads and on coroutines: the engine is one
// word. Pages that are waited for together take as long as one.
func TestPages(t *testing.T) {
	const pages, wait = 8, 20 * time.Millisecond
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(wait)
		fmt.Fprint(w, "page")
	}))
	defer server.Close()
	engines := []struct {
		name string
		pool tristrand.Executor // nil: one by one
	}{
		{"one by one", nil},
		{"threads", &thread.Pool{Workers: pages}},
		{"coroutines", &coro.Pool{Workers: pages}},
	}
	urls := func(yield func(string) bool) {
		for range pages {
			if !yield(server.URL) {
				return
			}
		}
	}
	for _, e := range engines {
		began, n := time.Now(), 0
		if e.pool == nil {
			for url := range urls {
				text, err := get(t.Context(), url)
				if err != nil {
					t.Fatal(err)
				}
				n += len(text)
			}
		} else {
			for size, err := range fetch.Map(t.Context(), e.pool, urls) {
				if err != nil {
					t.Fatal(err)
				}
				n += size
			}
			if err := e.pool.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if n != pages*len("page") {
			t.Errorf("%s: %d bytes", e.name, n)
		}
		t.Logf("%-12s %v", e.name, time.Since(began).Round(time.Millisecond))
	}
	http.DefaultClient.CloseIdleConnections()
}
