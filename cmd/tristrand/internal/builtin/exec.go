package builtin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/tristrand/tristrand"
)

// What exec keeps of a command's output, and how long a child that was killed
// may keep its output open through children of its own.
const (
	execKeep  = 64 << 10
	execGrace = 2 * time.Second
)

// Exec runs a command given as one line, split as [Words] says, with nothing on
// its standard input. Its text is the command's output (standard output and
// error as they come; the first 64 KiB), its Bytes the size of it all. Anything
// but exit code 0 is an error.
var Exec = tristrand.Define("tristrand.exec", run)

func run(ctx context.Context, line string) (Outcome, error) {
	words, err := Words(line)
	if err != nil {
		return Outcome{}, tristrand.Permanent(fmt.Errorf("exec: %w", err))
	}
	if len(words) == 0 {
		return Outcome{}, tristrand.Permanent(errors.New("exec: the command is empty; give a program and its arguments"))
	}
	return awaited(ctx, func() (Outcome, error) { return execute(ctx, words) })
}

func execute(ctx context.Context, words []string) (Outcome, error) {
	var out bounded
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = execGrace
	err := cmd.Run()
	res := Outcome{Text: out.text(), Bytes: out.size}
	switch {
	case err == nil:
		return res, nil
	case ctx.Err() != nil:
		return res, fmt.Errorf("exec %s: %w", words[0], context.Cause(ctx))
	case errors.Is(err, exec.ErrNotFound):
		return res, tristrand.Permanent(fmt.Errorf("exec: there is no command %q in PATH", words[0]))
	}
	err = fmt.Errorf("exec %s: %w", words[0], err)
	if last := out.lastLine(); last != "" {
		err = fmt.Errorf("%w: %s", err, last)
	}
	return res, err
}

// bounded keeps the first execKeep bytes written to it and the tail of the
// rest, for the error.
type bounded struct {
	head, tail []byte
	size       int64
}

const tailKeep = 512

// Write never fails: a command is not to die of a reader that has enough.
func (b *bounded) Write(p []byte) (int, error) {
	b.size += int64(len(p))
	if room := execKeep - len(b.head); room > 0 {
		b.head = append(b.head, p[:min(room, len(p))]...)
	}
	b.tail = append(b.tail, p[max(0, len(p)-tailKeep):]...)
	b.tail = b.tail[max(0, len(b.tail)-tailKeep):]
	return len(p), nil
}

func (b *bounded) text() string {
	s := string(b.head)
	if left := b.size - int64(len(b.head)); left > 0 {
		s += fmt.Sprintf("\n[%d more bytes]\n", left)
	}
	return s
}

func (b *bounded) lastLine() string {
	lines := bytes.Split(bytes.TrimSpace(b.tail), []byte("\n"))
	return strings.TrimSpace(strings.ToValidUTF8(string(lines[len(lines)-1]), "\uFFFD"))
}
