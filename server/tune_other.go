//go:build !linux

package server

import (
	"net"
	"syscall"
)

// tuneListener does nothing: package net tunes each connection.
func tuneListener(syscall.RawConn, net.KeepAliveConfig) {}

// tuneConn does nothing: what a hub accepts here comes from package net.
func tuneConn(net.Conn, net.KeepAliveConfig) {}
