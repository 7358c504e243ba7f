//go:build !race

package strand_test

const racing = false
