package selector

import "sync/atomic"

const best = Select

func open(Kind) (backend, error) { return nil, ErrUnsupported }

// A waker is never made: there is no backend.
type waker struct{ asked atomic.Bool }

func (w *waker) open() error  { return ErrUnsupported }
func (w *waker) fd() int      { return -1 }
func (w *waker) wake()        {}
func (w *waker) drain()       {}
func (w *waker) close() error { return nil }
