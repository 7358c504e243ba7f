//go:build !linux

package server_test

func warmUp() {}

func children() int { return 0 }
