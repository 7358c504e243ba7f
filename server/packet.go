package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

// packets is a source of datagrams.
type packets struct {
	conn  net.PacketConn
	once  sync.Once
	clean func()
}

func (p *packets) addr() net.Addr { return p.conn.LocalAddr() }
func (p *packets) packets() bool  { return true }
func (p *packets) interrupt()     { _ = p.conn.SetReadDeadline(longAgo) }

func (p *packets) close() {
	p.once.Do(func() {
		_ = p.conn.Close()
		if p.clean != nil {
			p.clean()
		}
	})
}

// maxDatagramBytes is more than any UDP datagram has. Longer ones of Unix sockets
// are dropped.
const maxDatagramBytes = 64 << 10

// receive takes datagrams until the room stops, and then those that have come. While
// there is no place for one, it waits, and the kernel keeps some and drops the rest:
// a flood costs no memory here.
func (r *room) receive(base context.Context, p *packets) error {
	buf := make([]byte, maxDatagramBytes+1)
	var wait pause
	stop, rest := r.stop, false
	for {
		if !r.slot(base, stop) {
			if stop == r.hurry {
				return nil
			}
			stop = r.hurry // they wait for those before them
			continue
		}
		n, from, err := p.conn.ReadFrom(buf)
		switch {
		case err == nil:
			wait = 0
			r.admitPacket(base, p, buf[:n], from)
			continue
		case r.stopping() && errors.Is(err, os.ErrDeadlineExceeded):
			if rest {
				r.giveSlot()
				return nil
			}
			stop, rest = r.hurry, true // nobody sets another deadline from now on
			_ = p.conn.SetReadDeadline(time.Now().Add(restTime))
		case fatal(err):
			r.giveSlot()
			return fmt.Errorf("server: the socket is broken: %w", err)
		default:
			r.acceptFailed(base, err, &wait)
		}
		r.giveSlot()
	}
}

func (r *room) admitPacket(base context.Context, p *packets, data []byte, from net.Addr) {
	k := r.core
	k.count.accepted.Add(1)
	refused := len(data) > maxDatagramBytes
	if refused {
		k.onError(base, from, ErrTruncated)
	}
	if a := r.s.Admit; a != nil && !refused {
		refused = a(from) != nil
	}
	if refused {
		k.count.refused.Add(1)
		r.giveSlot()
		return
	}
	if k.slots != nil && r.s.WhenFull == Refuse && !k.slots.try() {
		k.count.refused.Add(1)
		return
	}
	c := &Conn{}
	sock := &packet{conn: p.conn, from: from}
	sock.data.Reset(slices.Clone(data))
	c.init(k, sock, from, p.conn.LocalAddr())
	if err := k.add(c); err != nil {
		k.count.refused.Add(1)
		if k.slots != nil {
			k.slots.give()
		}
		return
	}
	r.engine.serve(base, c)
}

// A packet is one datagram as a net.Conn: what it holds can be read, and what is
// written goes to its sender. It does not own the socket.
type packet struct {
	conn   net.PacketConn
	from   net.Addr
	mu     sync.Mutex // guards the rest
	data   bytes.Reader
	closed bool
}

func (p *packet) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return 0, net.ErrClosed
	}
	return p.data.Read(b)
}

func (p *packet) Write(b []byte) (int, error) {
	p.mu.Lock()
	closed := p.closed
	p.mu.Unlock()
	switch {
	case closed:
		return 0, net.ErrClosed
	case p.from == nil || p.from.String() == "":
		return 0, fmt.Errorf("server: the sender of the datagram has no address to answer to: it must bind its socket: %w", io.ErrClosedPipe)
	}
	return p.conn.WriteTo(b, p.from)
}

func (p *packet) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	return nil
}

func (p *packet) LocalAddr() net.Addr              { return p.conn.LocalAddr() }
func (p *packet) RemoteAddr() net.Addr             { return p.from }
func (p *packet) SetDeadline(time.Time) error      { return nil }
func (p *packet) SetReadDeadline(time.Time) error  { return nil }
func (p *packet) SetWriteDeadline(time.Time) error { return nil }
