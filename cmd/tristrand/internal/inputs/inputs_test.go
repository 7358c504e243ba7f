package inputs_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tristrand/tristrand/cmd/tristrand/internal/inputs"
)

func file(t interface {
	Helper()
	Fatal(...any)
}, dir string, text []byte) *os.File {
	t.Helper()
	path := filepath.Join(dir, "in")
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func all(ctx context.Context, s inputs.Source) (got []string, err error) {
	for {
		v, err := s.Next(ctx)
		if errors.Is(err, io.EOF) {
			return got, nil
		}
		if err != nil {
			return got, err
		}
		got = append(got, v)
	}
}

// Inputs are what is between separators, with or without one at the end.
func TestLinesAreWhatIsBetweenSeparators(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		separator := rapid.SampledFrom([]byte{'\n', 0}).Draw(t, "separator")
		some := rapid.SliceOf(rapid.Custom(func(t *rapid.T) string {
			p := rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "bytes")
			p = bytes.Repeat(p, rapid.SampledFrom([]int{1, 1, 1, 5000, 20000}).Draw(t, "times"))
			return string(bytes.ReplaceAll(p, []byte{separator}, []byte{'x'}))
		})).Draw(t, "inputs")
		text := []byte(strings.Join(some, string(separator)))
		if len(some) > 0 && (some[len(some)-1] == "" || rapid.Bool().Draw(t, "separator at the end")) {
			text = append(text, separator)
		}
		f := file(t, dir, text)
		defer f.Close()
		s := inputs.Lines(f, "in", separator)
		defer s.Close()
		got, err := all(context.Background(), s)
		if err != nil || !slices.Equal(got, some) {
			t.Fatalf("got %d inputs, %v; want %d", len(got), err, len(some))
		}
		if n, known := s.Total(); n != len(some) || !known {
			t.Fatalf("Total is %d, %v", n, known)
		}
	})
}

func TestArgs(t *testing.T) {
	s := inputs.Args([]string{"a", "", "c\nd"})
	if n, known := s.Total(); n != 3 || !known {
		t.Errorf("Total is %d, %v", n, known)
	}
	if got, err := all(t.Context(), s); err != nil || !slices.Equal(got, []string{"a", "", "c\nd"}) {
		t.Errorf("got %q, %v", got, err)
	}
}

// A line is handed over when it is there, before the next one is.
func TestLinesComeAsTheyAreWritten(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s := inputs.Lines(r, "a pipe", '\n')
	defer s.Close()
	for _, line := range []string{"one", "two", "three"} {
		if _, err := io.WriteString(w, line+"\n"); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Next(t.Context()); err != nil || got != line {
			t.Fatalf("got %q, %v", got, err)
		}
		if _, known := s.Total(); known {
			t.Error("the number is said to be known before the end")
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Next(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("got %v at the end", err)
	}
}

// The end of ctx ends a wait for input that does not come.
func TestContextEndsTheWait(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a read that has begun cannot be ended there")
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	s := inputs.Lines(r, "a pipe", '\n')
	defer s.Close()
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error)
	go func() {
		_, err := s.Next(ctx)
		done <- err
	}()
	cancel(why)
	if err := <-done; !errors.Is(err, why) && !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestInputTooLong(t *testing.T) {
	f := file(t, t.TempDir(), append([]byte("ok\n"), bytes.Repeat([]byte("x"), 3<<20)...))
	defer f.Close()
	s := inputs.Lines(f, "big.txt", '\n')
	defer s.Close()
	got, err := all(t.Context(), s)
	if len(got) != 1 || err == nil || !strings.Contains(err.Error(), "input 2 from big.txt") || !strings.Contains(err.Error(), "-0") {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestReadError(t *testing.T) {
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	s := inputs.Lines(dir, "a folder", '\n')
	defer s.Close()
	if _, err := s.Next(t.Context()); err == nil || errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "a folder") {
		t.Errorf("got %v", err)
	}
}
