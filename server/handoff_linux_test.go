package server

import (
	"errors"
	"io"
	"testing"
)

// What a worker says last is heard, though it ends with something unread that it was
// sent: the system then reports a broken connection first.
func TestTheLastWordOfAWorker(t *testing.T) {
	ours, file, err := newChannels()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.close()
	theirs, err := openChannel(file)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(ours.send([]byte{opLevel, 1}, -1), theirs.send([]byte{opDone}, -1))
	theirs.close()
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 16)
	if p, _, err := ours.receive(buf, nil); err != nil || len(p) != 1 || p[0] != opDone {
		t.Errorf("got %v, %v", p, err)
	}
	if p, _, err := ours.receive(buf, nil); !errors.Is(err, io.EOF) {
		t.Errorf("then %v, %v", p, err)
	}
}
