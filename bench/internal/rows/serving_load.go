package rows

import (
	"bytes"
	"io"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const requestBytes = 64

// request is a line too.
func request(seed byte) []byte {
	b := bytes.Repeat([]byte{'a' + seed%26}, requestBytes)
	b[requestBytes-1] = '\n'
	return b
}

// A load is clients with connections that stay open.
type load struct {
	conns []net.Conn
	times []int64 // of the requests, if there is room
	mu    sync.Mutex
}

// newLoad opens connections from many addresses, and has each answered once.
func newLoad(address string, n int) (*load, error) {
	l := &load{}
	for i := range n {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i%200))}}
		c, err := d.Dial("tcp", address)
		if err != nil {
			l.close()
			return nil, err
		}
		l.conns = append(l.conns, c)
	}
	return l, l.echo(n)
}

func (l *load) close() {
	for _, c := range l.conns {
		_ = c.Close()
	}
}

// echo sends n requests and checks the answers.
func (l *load) echo(n int) error {
	var left atomic.Int64
	left.Store(int64(n))
	errs := make(chan error, len(l.conns))
	for i, c := range l.conns {
		go func() { errs <- l.one(c, byte(i), &left) }()
	}
	var all error
	for range l.conns {
		if err := <-errs; err != nil {
			all = err
		}
	}
	return all
}

func (l *load) one(c net.Conn, seed byte, left *atomic.Int64) error {
	out, in := request(seed), make([]byte, requestBytes)
	var times []int64
	timed := cap(l.times) > 0
	for left.Add(-1) >= 0 {
		begin := time.Now()
		if _, err := c.Write(out); err != nil {
			return err
		}
		if _, err := io.ReadFull(c, in); err != nil {
			return err
		}
		if timed {
			times = append(times, int64(time.Since(begin)))
		}
		if !bytes.Equal(in, out) {
			return wrong(in[0], seed)
		}
	}
	if timed {
		l.mu.Lock()
		l.times = append(l.times, times...)
		l.mu.Unlock()
	}
	return nil
}

// clients has n connections opened, asked once and closed, some at a time.
func clients(address string, atOnce, n int) error {
	var left atomic.Int64
	left.Store(int64(n))
	errs := make(chan error, atOnce)
	for i := range atOnce {
		go func() {
			for left.Add(-1) >= 0 {
				if err := client(address, byte(i)); err != nil {
					left.Store(math.MinInt32)
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	var all error
	for range atOnce {
		if err := <-errs; err != nil {
			all = err
		}
	}
	return all
}

func client(address string, seed byte) error {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, 1+seed%200)}}
	c, err := d.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.(*net.TCPConn).SetLinger(0) // no port in TIME_WAIT here: there are only so many
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	out, in := request(seed), make([]byte, requestBytes)
	if _, err := c.Write(out); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, in); err != nil {
		return err
	}
	if !bytes.Equal(in, out) {
		return wrong(in[0], seed)
	}
	return nil
}
