// Package gtoken tells goroutines apart, and says where a function was called
// from, for about 2 ns each and without following a pointer into the runtime.
//
// A token is the address of the goroutine's descriptor. It is compared, never
// dereferenced. It is unique among goroutines that are alive; a goroutine that
// starts after another has ended may get the same token, so whoever keeps one
// must drop it when its goroutine ends.
//
// On amd64 and arm64 both functions are a few instructions of assembly; on
// other architectures a token is the number in the goroutine's stack trace and
// costs about 1 µs.
package gtoken

// A Token names a goroutine that is alive. Zero names none.
type Token = uintptr
