package halt_test

import (
	"strings"
	"testing"

	"github.com/tristrand/tristrand/cmd/tristrand/internal/halt"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"": "never", "never": "never", "0": "never", "1": "soon,fail=1", "2": "now,fail=1",
		"now,fail=1": "now,fail=1", "soon,success=3": "soon,success=3", "now,done=10": "now,done=10",
		"soon,fail=20%": "soon,fail=20%", "30%": "soon,fail=30%", "now,done=100%": "now,done=100%",
	} {
		p, err := halt.Parse(text)
		if err != nil || p.String() != want {
			t.Errorf("%q is read as %v, %v; want %s", text, p, err, want)
		}
	}
	for _, text := range []string{"later", "now", "now,", "now,fail", "now,fail=", "now,fail=0", "now,fail=-1",
		"now,fail=x", "soon,boom=1", "soon,fail=101%", "soon,fail=0%", "fail=1", "%", "never,fail=1", "now,fail=1,"} {
		if p, err := halt.Parse(text); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%q is read as %v, %v; want an error that quotes it", text, p, err)
		}
	}
}

func TestAfter(t *testing.T) {
	for _, row := range []struct {
		policy              string
		done, failed, total int
		want                halt.Action
	}{
		{"never", 100, 100, 100, halt.GoOn},
		{"now,fail=1", 5, 0, 10, halt.GoOn},
		{"now,fail=1", 5, 1, 10, halt.Now},
		{"soon,fail=3", 5, 2, 10, halt.GoOn},
		{"soon,fail=3", 5, 4, 10, halt.Soon},
		{"now,success=2", 5, 4, 10, halt.GoOn},
		{"now,success=2", 6, 4, 10, halt.Now},
		{"soon,done=6", 5, 0, 10, halt.GoOn},
		{"soon,done=6", 6, 3, 10, halt.Soon},
		{"soon,fail=20%", 9, 1, 10, halt.GoOn},
		{"soon,fail=20%", 9, 2, 10, halt.Soon},
		{"soon,fail=1%", 9, 0, 10, halt.GoOn},
		{"soon,fail=100%", 10, 10, 10, halt.Soon},
	} {
		p, err := halt.Parse(row.policy)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.After(row.done, row.failed, row.total); got != row.want {
			t.Errorf("%+v: got %v", row, got)
		}
	}
}
