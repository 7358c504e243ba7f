package builtin_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/cmd/tristrand/internal/builtin"
)

// call runs a task through the handler that engines use.
func call(ctx context.Context, t *testing.T, name, input string) (builtin.Outcome, error) {
	t.Helper()
	spec, ok := builtin.Lookup(name)
	if !ok {
		t.Fatalf("no task %q", name)
	}
	h, ok := tristrand.Lookup(spec.Task.Name())
	if !ok {
		t.Fatalf("task %q is not defined", spec.Task.Name())
	}
	out, err := h.Call(ctx, &input)
	return *out.(*builtin.Outcome), err
}

func TestEveryTaskIsFoundByName(t *testing.T) {
	if got, want := builtin.Names(), []string{"fetch", "hash", "prime", "exec"}; !slices.Equal(got, want) {
		t.Errorf("names = %q, want %q", got, want)
	}
	if _, ok := builtin.Lookup("nothing"); ok {
		t.Error("found a task that does not exist")
	}
}

func TestEveryTaskStopsWithItsContext(t *testing.T) {
	never := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer never.Close()
	defer builtin.CloseIdle()
	for name, input := range map[string]string{
		"fetch": never.URL,
		"hash":  endless(t),
		"prime": "18446744073709551557", // the largest prime of 64 bits
		"exec":  builtin.Quote(os.Args[0]) + " -test.run=^TestSleeper$ sleep",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("TRISTRAND_SLEEPER", "1")
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			_, err := call(ctx, t, name, input)
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("err = %v, want the deadline's", err)
			}
		})
	}
}

// TestSleeper is no test: it is the child that never ends by itself.
func TestSleeper(*testing.T) {
	if os.Getenv("TRISTRAND_SLEEPER") != "" {
		time.Sleep(time.Minute)
	}
}

// endless names a file that is too large to hash within the test.
func endless(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sparse")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(1 << 40); err != nil {
		t.Skipf("no sparse files here: %v", err)
	}
	return path
}

func TestFetch(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/gone":
			http.Error(w, "no", http.StatusNotFound)
		case "/cut":
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "only this")
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		default:
			_, _ = io.WriteString(w, strings.Repeat("x", 1234))
		}
	}))
	defer srv.Close()
	defer builtin.CloseIdle()

	out, err := call(t.Context(), t, "fetch", srv.URL+"/page")
	if err != nil || out.Bytes != 1234 || out.Text != "200 OK, 1234 bytes" {
		t.Errorf("a page gave %+v, %v", out, err)
	}
	for input, want := range map[string]string{
		srv.URL + "/gone": "404 Not Found",
		srv.URL + "/cut":  "after 9 bytes",
		srv.URL + "/loop": "redirects",
		"ftp://host/x":    "no page",
		"example.org":     "no page",
		"":                "no page",
		"http://\x00/":    "no page",
	} {
		if _, err := call(t.Context(), t, "fetch", input); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("fetch %q: err = %v, want one with %q", input, err, want)
		}
	}
}

func TestHash(t *testing.T) {
	dir := t.TempDir()
	content := []byte(strings.Repeat("tristrand", 100_000))
	path := filepath.Join(dir, "a file")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	out, err := call(t.Context(), t, "hash", path)
	if err != nil || out.Text != hex.EncodeToString(sum[:]) || out.Bytes != int64(len(content)) {
		t.Errorf("got %+v, %v", out, err)
	}
	for _, bad := range []string{dir, filepath.Join(dir, "none"), ""} {
		if _, err := call(t.Context(), t, "hash", bad); err == nil {
			t.Errorf("hash %q gave no error", bad)
		}
	}
}

func TestPrime(t *testing.T) {
	for input, want := range map[string]string{
		"0": "0 is not prime", "1": "1 is not prime", "2": "2 is prime", "3": "3 is prime", "4": "4 = 2 × 2",
		"9": "9 = 3 × 3", "25": "25 = 5 × 5", "49": "49 = 7 × 7", "97": "97 is prime", " 101 ": "101 is prime",
		"112272535095293":      "112272535095293 is prime",
		"1000036000099":        "1000036000099 = 1000003 × 1000033",
		"18446744073709551615": "18446744073709551615 = 3 × 6148914691236517205",
		"4611685975477714963":  "4611685975477714963 = 2147483629 × 2147483647",
	} {
		if out, err := call(t.Context(), t, "prime", input); err != nil || out.Text != want {
			t.Errorf("prime %q gave %q, %v, want %q", input, out.Text, err, want)
		}
	}
	for _, bad := range []string{"", "-7", "1.5", "18446744073709551616", "seven", "0x10"} {
		if _, err := call(t.Context(), t, "prime", bad); err == nil {
			t.Errorf("prime %q gave no error", bad)
		}
	}
}

// TestPrimesBelow10000 counts them: there are 1229.
func TestPrimesBelow10000(t *testing.T) {
	count := 0
	for n := range 10_000 {
		out, err := call(t.Context(), t, "prime", fmt.Sprint(n))
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(out.Text, "is prime") {
			count++
		}
	}
	if count != 1229 {
		t.Errorf("%d primes below 10,000, want 1229", count)
	}
}

// TestTalker is no test: it is the child that prints and fails as it is told.
func TestTalker(*testing.T) {
	args := os.Args[slices.Index(os.Args, "-test.run=^TestTalker$")+1:]
	if len(args) == 0 || args[0] != "talk" {
		return
	}
	switch args[1] {
	case "say":
		fmt.Print(strings.Join(args[2:], "|"))
		os.Exit(0)
	case "fail":
		fmt.Fprintln(os.Stderr, "first\nthe last words")
		os.Exit(3)
	case "flood":
		_, _ = io.Copy(os.Stdout, io.LimitReader(zeros{}, 3<<20))
		os.Exit(0)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestExec(t *testing.T) {
	talk := builtin.Quote(os.Args[0]) + " -test.run=^TestTalker$ talk "
	out, err := call(t.Context(), t, "exec", talk+`say a 'b c' "d \" e" f\ g '' *`)
	if want := `a|b c|d " e|f g||*`; err != nil || out.Text != want {
		t.Errorf("output %q, %v, want %q", out.Text, err, want)
	}
	out, err = call(t.Context(), t, "exec", talk+"flood")
	if err != nil || out.Bytes != 3<<20 || len(out.Text) > 65<<10 || !strings.Contains(out.Text, "more bytes]") {
		t.Errorf("3 MiB of output gave %d bytes of which %d were kept, %v", out.Bytes, len(out.Text), err)
	}
	for input, want := range map[string]string{
		talk + "fail":            "exit status 3: the last words",
		"no-such-command-at-all": `no command "no-such-command-at-all" in PATH`,
		"   ":                    "the command is empty",
		"'open":                  "never closed",
	} {
		if _, err := call(t.Context(), t, "exec", input); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("exec %q: err = %v, want one with %q", input, err, want)
		}
	}
}

func TestWords(t *testing.T) {
	for line, want := range map[string][]string{
		"":               nil,
		" \t\n":          nil,
		"a  b":           {"a", "b"},
		`''`:             {""},
		`a'b'"c"\d`:      {"abcd"},
		`"a\b"`:          {`a\b`},
		`"\\" '\\'`:      {`\`, `\\`},
		`$HOME * | > ~;`: {"$HOME", "*", "|", ">", "~;"},
	} {
		got, err := builtin.Words(line)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("Words(%q) = %q, %v, want %q", line, got, err, want)
		}
	}
	for _, bad := range []string{`'`, `"`, `a\`, `"a\"`, `a 'b "c"`} {
		if got, err := builtin.Words(bad); err == nil {
			t.Errorf("Words(%q) = %q and no error", bad, got)
		}
	}
}

func FuzzWords(f *testing.F) {
	for _, s := range []string{"a b", `a'b c'"d\""\e`, "'", `\`, "\x00\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		words, err := builtin.Words(builtin.Quote(s))
		if err != nil || len(words) != 1 || words[0] != s {
			t.Errorf("Words(Quote(%q)) = %q, %v", s, words, err)
		}
		if words, err = builtin.Words(s); err != nil {
			return
		}
		quoted := make([]string, len(words))
		for i, w := range words {
			quoted[i] = builtin.Quote(w)
		}
		again, err := builtin.Words(strings.Join(quoted, " "))
		if err != nil || !slices.Equal(again, words) {
			t.Errorf("%q split to %q, quoted and split again to %q, %v", s, words, again, err)
		}
	})
}
