package server

import (
	"testing"
	"unsafe"
)

// An idle connection has a Conn: another word in it would take the next size that the
// allocator has, 32 bytes more.
func TestSizeOfConn(t *testing.T) {
	if n := unsafe.Sizeof(Conn{}); n > 320 {
		t.Errorf("a Conn has %d bytes", n)
	}
}
