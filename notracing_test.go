//go:build !race

package tristrand_test

const racing = false
