package server_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tristrand/tristrand/server"
)

// options answers with what its socket is set to: whether it is probed, after how many
// seconds, how often, how many times; and whether it sends at once.
var options = server.Handle("test.options", func(_ context.Context, c *server.Conn) error {
	raw, err := c.NetConn().(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	text := ""
	err = raw.Control(func(fd uintptr) {
		for _, o := range [][2]int{
			{unix.SOL_SOCKET, unix.SO_KEEPALIVE}, {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE}, {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL},
			{unix.IPPROTO_TCP, unix.TCP_KEEPCNT}, {unix.IPPROTO_TCP, unix.TCP_NODELAY},
		} {
			n, _ := unix.GetsockoptInt(int(fd), o[0], o[1])
			text += fmt.Sprint(n, " ")
		}
	})
	if err != nil {
		return err
	}
	return c.WriteLine(text)
})

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Clients that are gone without a word are found, as the server says, whatever serves
// them.
func TestKeepAlive(t *testing.T) {
	for name, m := range models() {
		t.Run(name, func(t *testing.T) {
			for _, tt := range []struct {
				config net.KeepAliveConfig
				want   string
			}{
				{net.KeepAliveConfig{Enable: true, Idle: 7 * time.Second, Interval: 3 * time.Second, Count: 2}, "1 7 3 2 1 "},
				{net.KeepAliveConfig{Enable: false, Idle: time.Hour}, "0"},
				{net.KeepAliveConfig{}, "1 15 15 9 1 "},
			} {
				for _, l := range []net.Listener{nil, listen(t)} {
					s := start(t, &server.Server{Handler: options, Model: m, KeepAlive: tt.config, Listener: l})
					got, err := s.client(t).in.ReadString('\n')
					_, inProcess := m.(server.Processes)
					if _, hub := m.(server.Coroutines); l != nil && !inProcess && !hub {
						continue // what it gives is what its owner has set
					}
					if err != nil || !strings.HasPrefix(got, tt.want) {
						t.Errorf("%+v: got %q, %v; want %q", tt.config, got, err, tt.want)
					}
				}
			}
		})
	}
}
