//go:build !linux

package child

// limitData sets nothing: the soft limit must do.
func limitData(int64) error { return nil }

func nameProcess() {}
