package rows

import "testing"

func TestWrkFigure(t *testing.T) {
	const good = "Running 10s test\n  3211 requests in 500.1ms, 0.9MB read\nRequests/sec:   4000.00\nTransfer/sec:   1MB\n"
	if x, err := wrkFigure(good); x != 250_000 || err != nil {
		t.Errorf("got %v, %v", x, err)
	}
	for _, bad := range []string{
		"", "Requests/sec:      0.00\n", "Requests/sec: many\n", good + "  Socket errors: connect 0, read 3, write 0, timeout 0\n", good + "  Non-2xx or 3xx responses: 1\n",
	} {
		if x, err := wrkFigure(bad); err == nil {
			t.Errorf("%q: %v", bad, x)
		}
	}
}
