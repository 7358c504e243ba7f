package tristrand_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/tristrand/tristrand"
)

func TestSentinels(t *testing.T) {
	all := []error{
		tristrand.ErrBusy, tristrand.ErrNotHeld, tristrand.ErrOwnerDied, tristrand.ErrOverRelease, tristrand.ErrBroken,
		tristrand.ErrFull, tristrand.ErrEmpty, tristrand.ErrShutdown, tristrand.ErrLost, tristrand.ErrCancelled,
		tristrand.ErrTimeout, tristrand.ErrClosed, tristrand.ErrNotPortable, tristrand.ErrNotDone,
		tristrand.ErrOutcomeUnknown, tristrand.ErrGoexit,
	}
	for i, a := range all {
		for k, b := range all {
			if errors.Is(a, b) != (i == k) {
				t.Errorf("%v is %v: %v", a, b, errors.Is(a, b))
			}
		}
		if !strings.HasPrefix(a.Error(), "tristrand: ") {
			t.Errorf("%q does not say whose it is", a)
		}
	}
	also := map[error]error{
		tristrand.ErrCancelled: context.Canceled, tristrand.ErrLost: context.Canceled, tristrand.ErrTimeout: context.DeadlineExceeded,
	}
	for _, a := range all {
		for _, b := range []error{context.Canceled, context.DeadlineExceeded} {
			if errors.Is(a, b) != (also[a] == b) { //nolint:errorlint // the very same
				t.Errorf("%v is %v: %v", a, b, errors.Is(a, b))
			}
		}
	}
}

func TestPanicError(t *testing.T) {
	err := &tristrand.PanicError{Value: errOwn, Task: "a task"}
	if !errors.Is(err, errOwn) || !strings.Contains(err.Error(), `"a task"`) || !strings.Contains(err.Error(), errOwn.Error()) {
		t.Errorf("%v", err)
	}
	if err := (&tristrand.PanicError{Value: "text"}); err.Unwrap() != nil || err.Error() != "panic: text" {
		t.Errorf("%v, which wraps %v", err, err.Unwrap())
	}
}

func TestCloseError(t *testing.T) {
	err := &tristrand.CloseError{Left: []string{"a#1", "b#2"}, Err: context.DeadlineExceeded}
	if got := err.Error(); !strings.Contains(got, "2 jobs") || !strings.Contains(got, "a#1, b#2") || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	for i := range 100 {
		err.Left = append(err.Left, fmt.Sprint("c#", i))
	}
	if got := err.Error(); !strings.Contains(got, "102 jobs") || !strings.Contains(got, "92 more") || len(got) > 300 {
		t.Errorf("%v", err)
	}
}

func TestPermanent(t *testing.T) {
	if tristrand.Permanent(nil) != nil {
		t.Error("Permanent(nil) is an error")
	}
	err := fmt.Errorf("around: %w", tristrand.Permanent(errOwn))
	if !errors.Is(err, errOwn) || err.Error() != "around: "+errOwn.Error() {
		t.Errorf("%v", err)
	}
}

func TestReport(t *testing.T) {
	var text bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&text, nil)))
	defer slog.SetDefault(before)

	tristrand.Report(t.Context(), errOwn)
	if got := text.String(); !strings.Contains(got, errOwn.Error()) || !strings.Contains(got, "level=ERROR") {
		t.Errorf("logged: %q", got)
	}
	text.Reset()

	defer tristrand.OnReport(nil)
	var got error
	tristrand.OnReport(func(_ context.Context, err error) { got = err })
	tristrand.Report(t.Context(), errOwn)
	if !errors.Is(got, errOwn) || text.Len() != 0 {
		t.Errorf("told of %v, logged %q", got, &text)
	}

	tristrand.OnReport(func(context.Context, error) { panic("from the function") })
	tristrand.Report(t.Context(), errOwn)
	if got := text.String(); !strings.Contains(got, errOwn.Error()) || !strings.Contains(got, "from the function") {
		t.Errorf("logged: %q, want the error and the panic", got)
	}
	text.Reset()

	tristrand.OnReport(nil)
	tristrand.Report(t.Context(), errOwn)
	if !strings.Contains(text.String(), errOwn.Error()) {
		t.Errorf("after OnReport(nil) logged: %q", &text)
	}
}
