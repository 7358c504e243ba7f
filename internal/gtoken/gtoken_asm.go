//go:build amd64 || arm64

package gtoken

// Get returns the token of the calling goroutine. It costs about 2 ns.
func Get() Token

// Caller returns the program counter at which the function that calls Caller
// was itself called, for [runtime.CallersFrames]. The function that calls
// Caller must not be inlined. It costs about 2 ns.
//
// It must stay a function of its own: the assembly counts on its frame.
//
//go:noinline
func Caller() uintptr { return callersReturn() }

// callersReturn returns the return address of the caller of its caller.
func callersReturn() uintptr
