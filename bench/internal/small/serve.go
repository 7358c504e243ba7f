package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"

	"github.com/tristrand/tristrand/server"
)

// answerOnce sends back what comes first.
var answerOnce = server.Handle("small.once", func(_ context.Context, c *server.Conn) error { return echo(c) })

func echo(c net.Conn) error {
	var buf [1024]byte
	n, err := c.Read(buf[:])
	if err != nil {
		return err
	}
	_, err = c.Write(buf[:n])
	return err
}

// serveFresh has a fresh process for each connection, of which eight are started ahead.
func serveFresh(ctx context.Context) error {
	s := &server.Server{Addr: "127.0.0.1:0", Model: server.Processes{PerConnection: true, Workers: 8}, Handler: answerOnce}
	if err := s.Listen(ctx); err != nil {
		return err
	}
	fmt.Println(s.ListenAddr())
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return s.Serve(ctx)
}

// serveExec starts this program for each connection, with the socket as a file: what a
// process for each costs at least.
func serveExec() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = l.Close() // ends the loop
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
			_ = execOn(self, c.(*net.TCPConn)) // whoever has connected sees it
			_ = c.Close()
		}()
	}
}

func execOn(self string, c *net.TCPConn) error {
	f, err := c.File()
	if err != nil {
		return err
	}
	defer f.Close()
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), bareKey+"=answer")
	cmd.ExtraFiles = []*os.File{f}
	return cmd.Run()
}

// answer answers the connection that came as a file.
func answer() error {
	c, err := net.FileConn(os.NewFile(3, "connection"))
	if err != nil {
		return err
	}
	return echo(c)
}
