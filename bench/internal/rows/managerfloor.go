package rows

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"

	"github.com/tristrand/tristrand/bench/internal/measure"
	"github.com/tristrand/tristrand/internal/mpwire"
	"github.com/tristrand/tristrand/internal/pickle"
)

// nothingServer is the floor under a manager's server: it reads a request and
// writes an answer, with the two system calls that this takes, and does nothing
// else. All its dicts are one number.
func nothingServer(o Options) *hostedBy {
	return &hostedBy{"nothing", func(ctx context.Context, address string) (*program, string, error) {
		p, err := startProgram(ctx, o.Self, "-child", "manager-nothing", address)
		if err != nil {
			return nil, "", err
		}
		return p, p.first, nil
	}}
}

// serveNothing accepts connections until the program is killed.
func serveNothing(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			_ = nothing(c) // what went wrong is seen by the client
		}()
	}
}

// nothing serves one connection.
func nothing(c net.Conn) error {
	r := mpwire.NewReader(c, 1<<10)
	if err := (mpwire.Auth{Key: []byte(managerKey)}).Welcome(r, c); err != nil {
		return err
	}
	data, err := r.Next()
	if err != nil {
		return err
	}
	v, err := pickle.Unmarshal(data, pickle.Options{})
	if err != nil {
		return err
	}
	answer := pickle.Tuple{"#RETURN", nil}
	switch v.(pickle.Tuple)[1] {
	case "create":
		answer[1] = pickle.Tuple{"1", pickle.Tuple(nil)}
	case "dummy", "incref", "decref", "accept_connection":
	default:
		answer = pickle.Tuple{"#TRACEBACK", "there is nothing of that name"}
	}
	b, err := pickle.Marshal(nil, answer)
	if err != nil {
		return err
	}
	if err := mpwire.WriteFrame(c, b); err != nil || v.(pickle.Tuple)[1] != "accept_connection" {
		return err
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		return measure.MissingError("the floor is for Unix sockets")
	}
	f, err := blocking(u)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := c.Close(); err != nil { // the netpoller would wake for it, too
		return err
	}
	return answerNothing(rawFile(f.Fd()))
}

// Parts of messages. The last bytes of a __setitem__ are those after its value.
var (
	nothingHead = []byte("\x80\x04\x8c\x07#RETURN")
	nothingEnd  = []byte("\x86.")
	setItem     = []byte("__setitem__")
)

const setItemTail = 7

// answerNothing answers a client's calls of one dict.
func answerNothing(f rawFile) error {
	request, value := make([]byte, 1<<10), []byte("K\x00")
	for {
		n, err := f.Read(request)
		if err != nil {
			return err
		}
		answer := append(make([]byte, 4, 64), nothingHead...)
		if b := request[:n]; bytes.Contains(b, setItem) {
			value = lastInt(b[:n-setItemTail])
			answer = append(answer, 'N')
		} else {
			answer = append(answer, value...)
		}
		answer = append(answer, nothingEnd...)
		binary.BigEndian.PutUint32(answer, uint32(len(answer)-4))
		if _, err := f.Write(answer); err != nil {
			return err
		}
	}
}

// lastInt is the pickled number that a message ends with.
func lastInt(b []byte) []byte {
	n := 2
	switch {
	case b[len(b)-5] == 'J':
		n = 5
	case b[len(b)-3] == 'M' && b[len(b)-1] != 0: // as Python writes them, the least that fits
		n = 3
	}
	return bytes.Clone(b[len(b)-n:])
}
