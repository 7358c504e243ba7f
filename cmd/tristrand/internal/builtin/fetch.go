package builtin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/coro"
)

// What a page may take. The body is counted, never kept.
const (
	fetchConnect = 10 * time.Second
	fetchAnswer  = 30 * time.Second
	fetchMost    = 1 << 30 // bytes of one body
)

// Fetch gets the page at a URL. An answer other than 2xx is an error, as are a
// body beyond 1 GiB and a server that says nothing for 30 s.
var Fetch = tristrand.Define("tristrand.fetch", fetch)

// client is made on first use; CloseIdle ends what it keeps open.
var client = sync.OnceValue(func() *http.Client {
	return &http.Client{Transport: &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: fetchConnect}).DialContext,
		TLSHandshakeTimeout:   fetchConnect,
		ResponseHeaderTimeout: fetchAnswer,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       10 * time.Second,
		ForceAttemptHTTP2:     true,
	}}
})

// CloseIdle closes the connections that Fetch keeps open for the next page.
func CloseIdle() { client().CloseIdleConnections() }

func fetch(ctx context.Context, page string) (Outcome, error) {
	u, err := url.Parse(page)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return Outcome{}, tristrand.Permanent(fmt.Errorf("fetch: %q is no page: give a whole URL, as https://example.org/", page))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, page, http.NoBody)
	if err != nil {
		return Outcome{}, tristrand.Permanent(fmt.Errorf("fetch: %w", err))
	}
	req.Header.Set("User-Agent", "tristrand")
	return awaited(ctx, func() (Outcome, error) { return get(req, page) })
}

// awaited calls fn, which blocks until it is done or ctx has ended; a coroutine
// that calls lets others run meanwhile.
func awaited(ctx context.Context, fn func() (Outcome, error)) (Outcome, error) {
	return coro.Await(context.WithoutCancel(ctx), func(context.Context) (Outcome, error) { return fn() })
}

func get(req *http.Request, page string) (Outcome, error) {
	res, err := client().Do(req)
	if err != nil {
		// *url.Error repeats method and URL in its own way; keep its cause.
		if e := (*url.Error)(nil); errors.As(err, &e) {
			err = e.Err
		}
		return Outcome{}, fmt.Errorf("fetch %s: %w", page, err)
	}
	defer res.Body.Close()
	if res.StatusCode < 200 || res.StatusCode > 299 {
		// A short body is read to its end, so that the connection serves again.
		_, _ = io.CopyN(io.Discard, res.Body, 64<<10)
		return Outcome{}, fmt.Errorf("fetch %s: the server answered %s", page, res.Status)
	}
	n, err := io.Copy(io.Discard, io.LimitReader(res.Body, fetchMost+1))
	switch {
	case err != nil:
		return Outcome{Bytes: n}, fmt.Errorf("fetch %s: after %d bytes: %w", page, n, err)
	case n > fetchMost:
		return Outcome{Bytes: n}, tristrand.Permanent(fmt.Errorf("fetch %s: the page is larger than 1 GiB", page))
	}
	return Outcome{Text: fmt.Sprintf("%s, %d bytes", res.Status, n), Bytes: n}, nil
}
