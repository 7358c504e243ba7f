package rows

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"

	"github.com/tristrand/tristrand/server"
)

// What the servers do: send back what comes, again and again or once. The buffer is
// what a handler on bare net has.
var (
	lineHandler = server.Handle("bench.lines", func(_ context.Context, c *server.Conn) error {
		for line, err := range c.Lines() {
			if err != nil {
				return err
			}
			if err := c.WriteLine(line); err != nil {
				return err
			}
		}
		return nil
	})
	echoHandler = server.Handle("bench.echo", func(_ context.Context, c *server.Conn) error { return echoOn(c, false) })
	httpHandler = server.Handle("bench.http", func(_ context.Context, c *server.Conn) error {
		for line, err := range c.Lines() {
			if err != nil {
				return err
			}
			if line == "" {
				if _, err := c.WriteString(page); err != nil {
					return err
				}
			}
		}
		return nil
	})
	onceHandler = server.Handle("bench.once", func(_ context.Context, c *server.Conn) error { return echoOn(c, true) })
)

// page is the answer to a request over HTTP, which ends with an empty line.
const page = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, world\n"

const serveBufferBytes = 1024

func echoOn(c net.Conn, once bool) error {
	var buf [serveBufferBytes]byte
	for {
		n, err := c.Read(buf[:])
		if err != nil {
			return err
		}
		if _, err := c.Write(buf[:n]); err != nil || once {
			return err
		}
	}
}

// models are the sides that this library serves.
var models = map[string]server.Model{
	"thread":  server.Threads{},
	"coro":    server.Coroutines{},
	"process": server.Processes{},
}

// serveChild is a server in a process of its own, which says its address. The side
// is serve-MODEL-WORK, with -1 behind it for one processor.
func serveChild(ctx context.Context, w io.Writer, side string) error {
	side, one := strings.CutSuffix(strings.TrimPrefix(side, "serve-"), "-1")
	if one {
		runtime.GOMAXPROCS(1)
	}
	model, work, _ := strings.Cut(side, "-")
	once := work == "once"
	switch model {
	case "hub":
		return hubServe(ctx, w)
	case "netpoll":
		return netpollServe(w)
	case "loop":
		return loopServe(w)
	case "bare":
		switch work {
		case "lines":
			return bareServe(w, bareLines)
		case "http":
			return bareServe(w, bareHTTP)
		}
		return bareServe(w, func(c *net.TCPConn) error { return echoOn(c, once) })
	}
	m, ok := models[model]
	if !ok {
		return fmt.Errorf("-child serve-%s: there is no such side", side)
	}
	s := &server.Server{Addr: "127.0.0.1:0", Model: m, Handler: echoHandler}
	switch work {
	case "once":
		s.Handler = onceHandler
	case "lines":
		s.Handler = lineHandler
	case "http":
		s.Handler = httpHandler
	}
	if err := s.Listen(ctx); err != nil {
		return err
	}
	fmt.Fprintln(w, s.ListenAddr())
	ctx, cancel := context.WithCancel(ctx)
	go func() { // the end of its input is its end
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return s.Serve(ctx)
}

// bareServe is a goroutine for each connection on package net.
func bareServe(w io.Writer, handle func(c *net.TCPConn) error) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintln(w, l.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = l.Close()
	}()
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		go func() {
			_ = handle(c.(*net.TCPConn))
			_ = c.Close()
		}()
	}
}

// bareLines is lines on package net, as most write it.
func bareLines(c *net.TCPConn) error {
	in := bufio.NewScanner(c)
	for in.Scan() {
		if _, err := fmt.Fprintln(c, in.Text()); err != nil {
			return err
		}
	}
	return in.Err()
}

// bareHTTP is http on package net.
func bareHTTP(c *net.TCPConn) error {
	in := bufio.NewReader(c)
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) > 2 {
			continue
		}
		if _, err := io.WriteString(c, page); err != nil {
			return err
		}
	}
}
