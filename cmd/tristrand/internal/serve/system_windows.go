package serve

import (
	"errors"
	"net"
	"os"
	"syscall"

	"github.com/tristrand/tristrand/server"
)

func ownGroup() *syscall.SysProcAttr { return nil }

func signalGroup(p *os.Process, _ syscall.Signal) { _ = p.Kill() }

func socketPair() (*net.UnixConn, *os.File, error) {
	return nil, nil, errors.Join(server.ErrUnsupported, errors.New("a program per connection needs a Unix system"))
}

func unread(*server.Conn) {}
