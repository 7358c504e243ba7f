package server

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/child"
	"github.com/tristrand/tristrand/internal/wire"
	"github.com/tristrand/tristrand/process"
)

// err makes an error of a report, of which only the text has come.
func (r *report) err() error {
	if r.Panic {
		return &tristrand.PanicError{Value: r.Text, Stack: r.Stack, Task: "a connection in a worker process"}
	}
	return errors.New(r.Text)
}

// encodeReport makes a packet of an error.
func encodeReport(r *report, remote string) ([]byte, error) {
	var buf bytes.Buffer
	buf.WriteByte(opError)
	r.Remote = remote
	err := wire.Encode(&buf, r)
	return buf.Bytes(), err
}

func decodeReport(p []byte) (r report, remote net.Addr, err error) {
	err = wire.Decode(p[1:], &r)
	if r.Remote != "" {
		remote = remoteText(r.Remote)
	}
	return r, remote, err
}

// remoteText is the address of a client as a worker has told it.
type remoteText string

func (remoteText) Network() string  { return "tcp" }
func (a remoteText) String() string { return string(a) }

func seqOf(p []byte) uint64 { return binary.LittleEndian.Uint64(p[1:]) }

func exitError(name string, x child.Exit) error {
	return &process.ExitError{
		Name: name, PID: x.PID, Kind: x.Kind.String(), Code: x.Code, Signal: x.Signal,
		OutOfMemory: x.Kind == child.OutOfMemory, Reason: x.Reason(), Crash: x.Crash, Stderr: string(x.Stderr),
		User: x.User, System: x.System, MaxRSSBytes: x.MaxRSSBytes,
	}
}
