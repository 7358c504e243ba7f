//go:build unix && !linux

package selector

const best = Poll

func openEpoll() (backend, error) { return nil, ErrUnsupported }
