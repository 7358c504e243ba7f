package server

import (
	"errors"
	"net"
	"syscall"
)

func sharePort(syscall.RawConn) error {
	return errors.Join(ErrUnsupported, errors.New("server: Shards needs SO_REUSEPORT"))
}

func setBacklog(net.Listener, int) error { return ErrUnsupported }

func closeOnExec(int) {}

func passing(err error) bool {
	return errors.Is(err, syscall.ECONNABORTED) || errors.Is(err, syscall.ECONNRESET)
}

func brokenSocket(err error) bool { return errors.Is(err, syscall.EINVAL) }

func acceptHint(error) string { return "" }
