//go:build !amd64 && !arm64

package gtoken

import "runtime"

// Get returns the token of the calling goroutine. It costs about 1 µs.
func Get() Token {
	var buf [32]byte
	n := runtime.Stack(buf[:], false)
	var id Token
	for _, c := range buf[len("goroutine "):n] {
		if c < '0' || c > '9' {
			break
		}
		id = id*10 + Token(c-'0')
	}
	return id
}

// Caller returns the program counter at which the function that calls Caller
// was itself called, for [runtime.CallersFrames].
func Caller() uintptr {
	var pc [1]uintptr
	runtime.Callers(3, pc[:])
	return pc[0]
}

// readable says that word works.
const readable = false

func word(uintptr) uintptr { return 0 }

func getAnd(uintptr) (Token, uintptr) { return Get(), 1 }
