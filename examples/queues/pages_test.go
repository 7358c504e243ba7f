package queues_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tristrand/tristrand"
)

// A page is what a worker has fetched.
type page struct {
	URL, Text string
}

// getPage is the worker's part. It runs on any engine: the page goes back to the
// process that wants it.
var getPage = tristrand.Define("examples.queues.getPage", func(ctx context.Context, url string) (page, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return page{}, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return page{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return page{url, string(text)}, err
})

// parsePage appends "url size" to a file. It is a done-callback, so its future is
// finished. Callbacks run on the threads that finish the jobs, several at once:
// each line is written in one piece.
func parsePage(file *os.File) func(f *tristrand.Future[page]) {
	return func(f *tristrand.Future[page]) { // pool.submit(get_page, url).add_done_callback(parse_page)
		p, err := f.TryResult()
		if err != nil {
			fmt.Fprintf(file, "error %v\n", err)
			return
		}
		fmt.Fprintf(file, "%s %d\n", p.URL, len(p.Text))
	}
}

// Q06: workers fetch pages; a callback writes a line for each.
func TestPages(t *testing.T) {
	sizes := map[string]int{"/python": 120, "/go": 45, "/empty": 0, "/long": 50_000}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, strings.Repeat("x", sizes[r.URL.Path]))
	}))
	defer server.Close()

	file, err := os.OpenFile(filepath.Join(t.TempDir(), "pages.txt"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()

	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			if err := file.Truncate(0); err != nil {
				t.Fatal(err)
			}
			pool := e.pool(4)
			for path := range sizes {
				getPage.Submit(t.Context(), pool, server.URL+path).OnDone(parsePage(file))
			}
			if err := pool.Close(t.Context()); err != nil { // after the last callback
				t.Fatal(err)
			}
			var want []string
			for path, size := range sizes {
				want = append(want, fmt.Sprintf("%s%s %d", server.URL, path, size))
			}
			text, err := os.ReadFile(file.Name())
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
			slices.Sort(got)
			if slices.Sort(want); !slices.Equal(got, want) {
				t.Errorf("the file has\n%q\nwant\n%q", got, want)
			}
		})
	}
}
