//go:build !race

package coro_test

const racing = false
