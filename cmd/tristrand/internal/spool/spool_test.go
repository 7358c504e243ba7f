package spool_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tristrand/tristrand/cmd/tristrand/internal/spool"
)

// Whatever is written, held and released in whatever order, each stream comes
// out as it went in.
func TestStreamsComeOutAsTheyWentIn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		backlog := &spool.Backlog{
			MemoryBytes: rapid.IntRange(0, 200).Draw(t, "memory of the backlog"),
			Files:       rapid.IntRange(0, 2).Draw(t, "files of the backlog"),
		}
		defer backlog.Close()
		type stream struct {
			b    *spool.Buffer
			want []byte
		}
		var all []stream
		fresh := func() stream {
			return stream{b: &spool.Buffer{MemoryBytes: rapid.IntRange(0, 64).Draw(t, "memory")}}
		}
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			if len(all) > 0 && rapid.Bool().Draw(t, "take one out") {
				i := rapid.IntRange(0, len(all)-1).Draw(t, "which")
				var got bytes.Buffer
				if n, err := all[i].b.WriteTo(&got); err != nil || n != int64(got.Len()) {
					t.Fatalf("WriteTo: %d, %v", n, err)
				}
				if !bytes.Equal(got.Bytes(), all[i].want) || all[i].b.Len() != int64(len(all[i].want)) {
					t.Fatalf("got %q, want %q", got.Bytes(), all[i].want)
				}
				all[i].b.Reset()
				all = append(all[:i], all[i+1:]...)
				continue
			}
			s := fresh()
			for _, p := range rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 50), 0, 4).Draw(t, "writes") {
				if n, err := s.b.Write(p); n != len(p) || err != nil {
					t.Fatalf("Write: %d, %v", n, err)
				}
				s.want = append(s.want, p...)
			}
			if rapid.Bool().Draw(t, "hold") {
				held, err := backlog.Hold(s.b)
				if err != nil || s.b.Len() != 0 {
					t.Fatal(err, s.b.Len())
				}
				if _, err := s.b.Write([]byte("the next job's")); err != nil {
					t.Fatal(err)
				}
				s.b = held
			}
			all = append(all, s)
		}
		for _, s := range all {
			s.b.Reset()
			if s.b.Len() != 0 || len(s.b.Head()) != 0 {
				t.Fatalf("%d bytes after Reset", s.b.Len())
			}
		}
	})
}

func TestHeadOnlyKeepsTheBeginningAndCounts(t *testing.T) {
	b := spool.Buffer{MemoryBytes: 5, HeadOnly: true}
	for _, s := range []string{"abc", "def", "ghi"} {
		if n, err := b.Write([]byte(s)); n != 3 || err != nil {
			t.Fatal(n, err)
		}
	}
	if string(b.Head()) != "abcde" || b.Len() != 9 {
		t.Errorf("got %q of %d, want abcde of 9", b.Head(), b.Len())
	}
}

func TestMemoryStaysWithinItsBound(t *testing.T) {
	b := spool.Buffer{MemoryBytes: 1 << 10}
	defer b.Reset()
	p := make([]byte, 300)
	for range 100 {
		if _, err := b.Write(p); err != nil {
			t.Fatal(err)
		}
		if len(b.Head()) > 1<<10 {
			t.Fatalf("%d bytes in memory", len(b.Head()))
		}
	}
}

func TestNothingIsLeftInTheFileSystem(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Setenv("TMP", dir)
	var b spool.Buffer
	var l spool.Backlog
	if _, err := b.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	held, err := l.Hold(&b)
	if err != nil {
		t.Fatal(err)
	}
	held.Reset()
	l.Close()
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestNoRoomSaysWhatToDo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "missing")
	t.Setenv("TMPDIR", dir)
	t.Setenv("TMP", dir)
	var b spool.Buffer
	_, err := b.Write([]byte("x"))
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "TMPDIR") {
		t.Errorf("got %v", err)
	}
}
