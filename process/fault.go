package process

import (
	"bytes"
	"fmt"
	"math"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/fault"
	"github.com/tristrand/tristrand/internal/wire"
)

// A RemoteError is an error that a task returned in another process; its Worker is
// empty.
type RemoteError = tristrand.RemoteError

// A remoteFault is an error as it crosses.
type remoteFault = fault.Fault[*ExitError]

// maxText bounds what crosses of a panic's value and stack.
const maxText = 1 << 14

var faults = fault.Codec[*ExitError]{MaxText: math.MaxInt, MaxValue: maxText, MaxStack: maxText}

// shrunk returns a fault that fits into a note.
func shrunk(f *remoteFault) *remoteFault {
	f.Text = fault.Clip(f.Text, maxText)
	var buf bytes.Buffer
	if wire.Encode(&buf, f) == nil && buf.Len() <= maxNote-1024 {
		return f
	}
	text := f.Text
	if text == "" && f.Panic != nil {
		text = faultErr(f).Error()
	}
	return &remoteFault{Text: fault.Clip(text, maxText), Type: f.Type, Is: f.Is, Permanent: f.Permanent}
}

// faultErr returns the error again.
func faultErr(f *remoteFault) error {
	if f.Traceback != "" {
		return &PythonError{Type: f.Type, Text: f.Text, Traceback: f.Traceback}
	}
	return faults.Err(f, "")
}

// encodeFault appends the description of err to buf.
func encodeFault(buf *bytes.Buffer, err error) {
	before := buf.Len()
	if wire.Encode(buf, faults.Of(err)) != nil {
		buf.Truncate(before)
		_ = wire.Encode(buf, &remoteFault{Text: "an error that cannot be described", Type: fmt.Sprintf("%T", err)})
	}
}

// decodeFault returns the error that b describes.
func decodeFault(b []byte) error {
	var f remoteFault
	if err := wire.Decode(b, &f); err != nil {
		return fmt.Errorf("process: the description of a job's error: %w", err)
	}
	return faultErr(&f)
}
