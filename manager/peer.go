package manager

import "net"

type peers struct{}

func (p *peers) count(pid int, id string, n int) {}

func peerPID(c net.Conn) int { return 0 }
