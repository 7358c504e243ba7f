//go:build !linux

package manager

import (
	"errors"
	"net"
	"sync/atomic"
)

// A loop is Linux's: elsewhere each session waits in a goroutine of its own.
type loop struct{ handed atomic.Bool }

func newLoop() (*loop, error) { return nil, nil }

func (*loop) close() {}

func (*loop) add(*seat) error { return errors.ErrUnsupported }

func (*loop) remove(*seat) {}

func (*loop) wantRoom(*seat, bool) error { return errors.ErrUnsupported }

func (*loop) again(*seat) {}

func isGone(uint32) bool { return false }

func tryRead(int, []byte) (int, error) { return 0, errors.ErrUnsupported }

func tryWrite(int, []byte) (int, error) { return 0, errors.ErrUnsupported }

func closeFD(int) error { return nil }

func hangUp(int) {}

func takeFD(net.Conn) (int, error) { return -1, errors.ErrUnsupported }
