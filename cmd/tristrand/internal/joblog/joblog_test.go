package joblog_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tristrand/tristrand/cmd/tristrand/internal/joblog"
)

var start = time.UnixMilli(1700000000123)

func entries() []joblog.Entry {
	return []joblog.Entry{
		{Seq: 1, Start: start, Runtime: 1500 * time.Millisecond, ReceiveBytes: 7, Command: "echo a"},
		{Seq: 3, Start: start, Exit: 2, Command: "echo 'b c'"},
		{Seq: 2, Start: start, Signal: 9, Command: "echo d"},
	}
}

func write(t testing.TB) (path, text string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "log")
	l, err := joblog.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries() {
		if err := l.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, string(b)
}

func TestColumnsAreThoseOfGNUParallel(t *testing.T) {
	_, text := write(t)
	want := "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n" +
		"1\t:\t1700000000.123\t     1.500\t0\t7\t0\t0\techo a\n" +
		"3\t:\t1700000000.123\t     0.000\t0\t0\t2\t0\techo 'b c'\n" +
		"2\t:\t1700000000.123\t     0.000\t0\t0\t0\t9\techo d\n"
	if text != want {
		t.Errorf("got\n%swant\n%s", text, want)
	}
}

func TestResumeFindsWhatWasDone(t *testing.T) {
	path, _ := write(t)
	l, done, torn, err := joblog.Resume(path)
	if err != nil || torn || done.Len() != 3 {
		t.Fatalf("%v jobs, torn %v, %v", done.Len(), torn, err)
	}
	defer l.Close()
	for _, row := range []struct {
		seq          int
		command      string
		done, failed bool
	}{{1, "echo a", true, false}, {2, "echo d", true, true}, {3, "echo 'b c'", true, true}, {4, "anything", false, false}} {
		d, f, err := done.Find(row.seq, row.command)
		if err != nil || d != row.done || f != row.failed {
			t.Errorf("%+v: got %v, %v, %v", row, d, f, err)
		}
	}
	_, _, err = done.Find(3, "echo other")
	var mismatch *joblog.MismatchError
	if !errors.As(err, &mismatch) || mismatch.Line != 3 || mismatch.Seq != 3 {
		t.Errorf("another command: %v", err)
	}
}

// Cut off after any byte, a log resumes with its whole lines, and what is
// appended is read back.
func TestEveryTruncationResumes(t *testing.T) {
	_, text := write(t)
	for n := range len(text) + 1 {
		path := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(path, []byte(text[:n]), 0o644); err != nil {
			t.Fatal(err)
		}
		l, done, torn, err := joblog.Resume(path)
		if err != nil {
			t.Fatalf("cut after %d bytes: %v", n, err)
		}
		want := max(strings.Count(text[:n], "\n")-1, 0)
		if done.Len() != want || torn == (n == 0 || text[n-1] == '\n') {
			t.Errorf("cut after %d bytes: %d jobs, torn %v; want %d", n, done.Len(), torn, want)
		}
		if err := l.Add(joblog.Entry{Seq: 9, Start: start, Command: "x"}); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l, done, torn, err = joblog.Resume(path)
		if err != nil || torn || done.Len() != want+1 {
			t.Fatalf("cut after %d bytes and resumed: %d jobs, torn %v, %v; want %d", n, done.Len(), torn, err, want+1)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatIsNoLogIsRefused(t *testing.T) {
	_, good := write(t)
	for name, row := range map[string]struct{ text, says string }{
		"another file":       {"#!/bin/sh\necho\n", "line 1 is not the heading"},
		"another short file": {"hello", "line 1 is not the heading"},
		"too few columns":    {good + "garbage\n", "line 5: has 1 of 9 columns"},
		"an empty line":      {good + "\n", "line 5: has 1 of 9 columns"},
		"no number":          {good + strings.Replace(strings.Split(good, "\n")[1], "1", "x", 1) + "\n", "line 5: column Seq"},
		"a bad exit value":   {good + "5\t:\t1\t1\t0\t0\tx\t0\tc\n", "line 5: column Exitval"},
		"a bad time":         {good + "5\t:\tnow\t1\t0\t0\t0\t0\tc\n", "line 5: column Starttime"},
	} {
		path := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(path, []byte(row.text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, _, _, err := joblog.Resume(path)
		if err == nil || !strings.Contains(err.Error(), row.says) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v, want %q", name, err, row.says)
		}
		after, err := os.ReadFile(path)
		if err != nil || string(after) != row.text {
			t.Errorf("%s: the file was changed", name)
		}
	}
}

func TestOneRunAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, err := joblog.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := joblog.Create(path); err == nil || !strings.Contains(err.Error(), "another run") {
		t.Errorf("a second run: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, err = joblog.Create(path)
	if err != nil {
		t.Fatalf("after the first: %v", err)
	}
	_ = l.Close()
}

func FuzzResume(f *testing.F) {
	_, good := write(f)
	f.Add(good)
	f.Add("")
	f.Add("Seq\t")
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		l, done, _, err := joblog.Resume(path)
		if err != nil {
			return
		}
		n := done.Len()
		if err := l.Add(joblog.Entry{Seq: 1 << 40, Start: start, Command: "new"}); err != nil {
			t.Fatal(err)
		}
		_ = l.Close()
		l, done, torn, err := joblog.Resume(path)
		if err != nil || torn {
			t.Fatalf("a log that was resumed once is refused: %v, torn %v", err, torn)
		}
		_ = l.Close()
		if ok, _, _ := done.Find(1<<40, "new"); !ok && done.Len() != n+1 {
			t.Fatal("what was added is not there")
		}
	})
}
