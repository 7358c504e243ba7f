//go:build amd64 || arm64

package gtoken

// Get returns the token of the calling goroutine. It costs about 2 ns.
func Get() Token

// Caller returns the program counter at which the function that calls Caller
// was itself called, for [runtime.CallersFrames]. The function that calls
// Caller must not be inlined, and must call it directly: the assembly counts on
// its frame. It costs about 1 ns.
func Caller() uintptr

// readable says that word works.
const readable = true

// getAnd is Get and word.
func getAnd(off uintptr) (t Token, w uintptr)

// word returns the word at an offset in the calling goroutine's descriptor.
func word(off uintptr) uintptr
