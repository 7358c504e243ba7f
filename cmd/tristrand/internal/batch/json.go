package batch

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"github.com/tristrand/tristrand/cmd/tristrand/internal/spool"
)

// An object is what --json prints of a job, on one line. A text that is no
// UTF-8 is in the field with _base64 instead. A stream longer than 1 MiB is cut
// there, and its length is in the field with _bytes.
type object struct {
	Seq         int     `json:"seq"`
	Input       *string `json:"input,omitempty"`
	Input64     []byte  `json:"input_base64,omitempty"`
	Command     string  `json:"command"`
	Exit        int     `json:"exit"`
	Signal      int     `json:"signal"`
	Seconds     seconds `json:"seconds"`
	Tries       int     `json:"tries,omitempty"` // if more than one
	TimedOut    bool    `json:"timed_out,omitempty"`
	Error       string  `json:"error,omitempty"`
	Stdout      *string `json:"stdout,omitempty"`
	Stdout64    []byte  `json:"stdout_base64,omitempty"`
	StdoutBytes int64   `json:"stdout_bytes,omitempty"`
	Stderr      *string `json:"stderr,omitempty"`
	Stderr64    []byte  `json:"stderr_base64,omitempty"`
	StderrBytes int64   `json:"stderr_bytes,omitempty"`
}

// seconds are written to the microsecond.
type seconds float64

// MarshalJSON writes a plain number.
func (s seconds) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(s), 'f', 6, 64), nil
}

// render makes the object of a job what the job has to print.
func (r *run) render(j *job) error {
	r.lineOf(j)
	line, err := encode(j)
	if err != nil {
		return err
	}
	r.reset(j)
	j.out.MemoryBytes = len(line)
	_, err = j.out.Write(line)
	j.out.MemoryBytes = r.streamBytes
	return err
}

// encode returns the line of a job.
func encode(j *job) ([]byte, error) {
	o := object{
		Seq: j.seq, Command: j.line, Exit: j.outcome.Exit, Signal: j.outcome.Signal,
		Seconds: seconds(j.took.Seconds()), TimedOut: j.outcome.TimedOut,
	}
	o.Input, o.Input64 = text([]byte(j.input), false)
	if j.tries > 1 {
		o.Tries = j.tries
	}
	if j.outcome.Err != nil {
		o.Error = j.outcome.Err.Error()
	}
	o.Stdout, o.Stdout64, o.StdoutBytes = stream(j.out)
	o.Stderr, o.Stderr64, o.StderrBytes = stream(j.errs)
	var w bytes.Buffer
	enc := json.NewEncoder(&w)
	enc.SetEscapeHTML(false)
	err := enc.Encode(&o)
	return w.Bytes(), err
}

func stream(s *spool.Buffer) (plain *string, b64 []byte, n int64) {
	head := s.Head()
	cut := s.Len() > int64(len(head))
	plain, b64 = text(head, cut)
	if cut {
		n = s.Len()
	}
	return plain, b64, n
}

// text returns p as it stands if it is UTF-8. Where it is cut off, the last rune
// may be half of one; it is left out.
func text(p []byte, cut bool) (plain *string, b64 []byte) {
	q := p
	if cut {
		for i := 1; i < utf8.UTFMax && i <= len(p); i++ {
			if c := p[len(p)-i]; utf8.RuneStart(c) {
				if !utf8.FullRune(p[len(p)-i:]) {
					q = p[:len(p)-i]
				}
				break
			}
		}
	}
	if !utf8.Valid(q) {
		return nil, p
	}
	s := string(q)
	return &s, nil
}
