package host

import (
	"iter"
	"sync"

	"github.com/tristrand/tristrand/internal/pickle"
)

// Sequence is an iterator over what a Go program yields.
type Sequence struct {
	mu   sync.Mutex
	next func() (any, error, bool)
	stop func()
}

// NewSequence returns an iterator over seq, which ends at the first error.
func NewSequence(seq iter.Seq2[any, error]) *Sequence {
	o := new(Sequence)
	o.next, o.stop = iter.Pull2(seq)
	return o
}

// Call calls a method.
func (o *Sequence) Call(c *Call, method string) (any, error) {
	if _, _, err := c.Wait(); err != nil { // nobody knows how long a program's own function takes
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	switch method {
	case "__next__":
		if err := c.none(method); err != nil {
			return nil, err
		}
	case "close":
		o.stop()
		return nil, c.none(method)
	case "send", "throw":
		return nil, exception("AttributeError", "the iterator has no attribute '%s'", method)
	default:
		return nil, ErrNoMethod
	}
	v, err, ok := o.next()
	if !ok {
		return nil, Builtin("StopIteration")
	}
	return v, err
}

// Dropped ends the iteration: nobody refers to it any more.
func (o *Sequence) Dropped() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stop()
}

// Repr prints it.
func (o *Sequence) Repr(int) string { return "<generator object>" }

// Value says that an iterator cannot be sent.
func (o *Sequence) Value() (any, error) { return nil, &pickle.WriteError{What: "'generator' object"} }
