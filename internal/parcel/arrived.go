package parcel

import (
	"fmt"
	"os"
	"sync"

	"github.com/tristrand/tristrand/internal/segment"
)

// arrived has the files that have come and were not yet taken.
var arrived struct {
	mu    sync.Mutex
	files map[segment.Key]*os.File
}

// Put keeps a file that has come until it is taken or dropped; it owns f
// whatever it returns. A file that has come before under the same key is closed.
// It refuses f when MaxFiles wait: a sender that floods us costs itself.
func Put(key segment.Key, f *os.File) error {
	arrived.mu.Lock()
	before := arrived.files[key]
	full := before == nil && len(arrived.files) >= MaxFiles
	if !full {
		if arrived.files == nil {
			arrived.files = map[segment.Key]*os.File{}
		}
		arrived.files[key] = f
	}
	arrived.mu.Unlock()
	if full {
		_ = f.Close() // the error below is the one that matters
		return fmt.Errorf("parcel: %d files have come that nobody took; another one was closed", MaxFiles)
	}
	if before != nil && before != f {
		return before.Close()
	}
	return nil
}

// Take returns the file that came under key; it is the caller's then.
func Take(key segment.Key) (*os.File, bool) {
	arrived.mu.Lock()
	defer arrived.mu.Unlock()
	f, ok := arrived.files[key]
	delete(arrived.files, key)
	return f, ok
}

// Has reports whether a file came under key and waits to be taken.
func Has(key segment.Key) bool {
	arrived.mu.Lock()
	defer arrived.mu.Unlock()
	return arrived.files[key] != nil
}

// Drop closes the file that came under key if nobody has taken it.
func Drop(key segment.Key) error {
	if f, ok := Take(key); ok {
		return f.Close()
	}
	return nil
}

// Waiting returns how many files have come and were not taken.
func Waiting() int {
	arrived.mu.Lock()
	defer arrived.mu.Unlock()
	return len(arrived.files)
}
