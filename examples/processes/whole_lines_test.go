//go:build linux

package processes_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/process"
	"github.com/tristrand/tristrand/shm"
)

type lineOf struct {
	File string
	Lock *shm.Lock
	N    int
}

// writeLine writes a line in pieces, slowly.
var writeLine = tristrand.Define("examples.processes.writeLine", func(ctx context.Context, in lineOf) (struct{}, error) {
	f, err := os.OpenFile(in.File, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return struct{}{}, err
	}
	defer f.Close()
	return struct{}{}, tristrand.With(ctx, in.Lock, func(context.Context) error { // with lock:
		for range 5 {
			if _, err := f.WriteString(string(rune('a' + in.N))); err != nil {
				return err
			}
			time.Sleep(time.Millisecond)
		}
		_, err := f.WriteString("\n")
		return err
	})
})

// P07: ten processes print a line; under the lock no two lines mix.
func TestWholeLines(t *testing.T) {
	ctx := t.Context()
	lock, err := shm.NewLock("the file's")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "lines")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var all []*process.Process
	for n := range 10 {
		p, err := process.Start(ctx, writeLine.Bind(lineOf{file, lock, n}))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	for _, p := range all {
		join(t, p)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(string(text))
	for _, line := range lines {
		if len(line) != 5 || strings.Trim(line, line[:1]) != "" {
			t.Errorf("a line is %q", line)
		}
	}
	if len(lines) != 10 {
		t.Errorf("%d lines, want 10", len(lines))
	}
}
