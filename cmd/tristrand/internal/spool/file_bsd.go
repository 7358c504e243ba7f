//go:build unix && !linux

package spool

import "os"

func unlinked() (*os.File, error) { return removed() }
