package coroutines_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tristrand/tristrand/coro"
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
	db := sql.OpenDB(slowDatabase{release})
	defer db.Close()
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
		"database": func(ctx context.Context) (text string, err error) {
			err = db.QueryRowContext(ctx, "SELECT text FROM greetings").Scan(&text)
			return text, err
		},
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
