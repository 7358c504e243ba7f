package coro_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/tristrand/tristrand/coro"
)

// A listener that somebody else has shut down, who has the same socket: whoever
// waits is told, now and later, and those who have connected before are accepted.
func TestAListenerThatWasShutDown(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		for name, waiting := range map[string]bool{"before Accept": false, "under Accept": true} {
			t.Run(network+" "+name, func(t *testing.T) {
				address := "127.0.0.1:0"
				if network == "unix" {
					address = filepath.Join(t.TempDir(), "s")
				}
				plain, err := net.Listen(network, address)
				if err != nil {
					t.Fatal(err)
				}
				twin, err := plain.(interface {
					SyscallConn() (syscall.RawConn, error)
				}).SyscallConn()
				if err != nil {
					t.Fatal(err)
				}
				shut := func() {
					_ = twin.Control(func(fd uintptr) {
						if err := syscall.Shutdown(int(fd), syscall.SHUT_RDWR); err != nil {
							t.Error(err)
						}
					})
				}
				run(t, func(ctx context.Context) error {
					l, err := coro.ShareListener(ctx, plain)
					if err != nil {
						return err
					}
					accept := func(context.Context) error { _, err := l.Accept(); return err }
					if waiting {
						c := coro.Spawn(ctx, accept)
						_ = coro.Sleep(ctx, 0)
						shut()
						if err := c.Join(ctx); !errors.Is(err, syscall.EINVAL) {
							t.Errorf("the one that waited: %v", err)
						}
					} else {
						shut()
					}
					if err := coro.Spawn(ctx, accept).Join(ctx); !errors.Is(err, syscall.EINVAL) {
						t.Errorf("one that came later: %v", err)
					}
					return l.Close()
				})
				_ = plain.Close()
			})
		}
	}
}
