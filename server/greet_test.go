package server

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"
)

// A handshake that begins when the server stops does not wait for a silent client: it
// would last until the connection is cut.
func TestGreetWhenTheServerStops(t *testing.T) {
	k := (&core{conf: conf{HandshakeTimeout: time.Minute}, tls: &certificates{}, onError: func(context.Context, net.Addr, error) {}}).prepare()
	k.raise(levelStop)
	ours, theirs := net.Pipe()
	defer theirs.Close()
	c := &Conn{}
	c.init(k, ours, ours.RemoteAddr(), ours.LocalAddr())
	if err := k.add(c); err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	go func() { result <- k.greet(c) }()
	select {
	case err := <-result:
		if !errors.Is(err, ErrServerClosed) {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		_ = ours.Close()
		t.Error("it waits for the client")
	}
}
