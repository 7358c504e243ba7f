package child

import (
	"io"
	"os"
	"time"
)

// readOnce takes in what one read gives; it waits for it.
func (k *sink) readOnce(now bool) (int, error) {
	if now {
		return 0, io.EOF
	}
	buf := buffers.Get().(*[readBytes]byte)
	defer buffers.Put(buf)
	n, err := k.file.Read(buf[:])
	k.take(buf[:n])
	return n, err
}

// wait ends the reading of a dead child's stream. A pipe here takes no deadline:
// it ends by itself unless someone outside the job holds it.
func (k *sink) wait() bool {
	select {
	case <-k.over:
		return true
	case <-time.After(drainTime):
		return false
	}
}

// reportAtEnd: a full pipe would stop a child that crashes, so it is read.
const reportAtEnd = false

func reportPipe() (r, w *os.File, err error) { return os.Pipe() }
