//go:build race

package coro_test

// racing says that the race detector is on, which makes everything slower and
// allocates.
const racing = true
