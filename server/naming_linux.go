package server

import (
	"encoding/binary"
	"net"
	"sync"
)

// appendName makes an opName: the number and the addresses.
func appendName(b []byte, seq uint64, remote, local net.Addr) []byte {
	b = binary.LittleEndian.AppendUint64(append(b, opName), seq)
	return appendAddr(appendAddr(b, remote), local)
}

func parseName(b []byte) (seq uint64, remote, local net.Addr, err error) {
	if len(b) < 9 {
		return 0, nil, nil, errPacket
	}
	seq, b = binary.LittleEndian.Uint64(b[1:]), b[9:]
	if remote, b, err = parseAddr(b); err == nil {
		local, _, err = parseAddr(b)
	}
	return seq, remote, local, err
}

// named notes the client of a connection as a PROXY header names it, and answers
// whether it may come if the worker waits for that.
func (w *procWorker) named(p []byte) bool {
	seq, remote, local, err := parseName(p)
	if err != nil {
		return false
	}
	w.e.mu.Lock()
	h := w.conns[seq]
	w.e.mu.Unlock()
	k := w.e.room.core
	verdict := append(binary.LittleEndian.AppendUint64([]byte{opVerdict}, seq), 0)
	if h != nil && k.rename(h.c, remote, local) == nil {
		verdict[9] = 1
	}
	if k.conf.MaxPerAddr > 0 {
		w.e.tasks.Go(func() { w.tell(verdict) }) // the worker may be about to tell us something first
	}
	return true
}

// name tells the server whom a PROXY header names, and returns whether that client
// may come: it has the books of all workers.
func (w *worker) name(c *Conn, remote, local net.Addr) bool {
	q := w.asking.ask(c.id)
	if w.ch.send(appendName(nil, c.id, remote, local), -1) != nil {
		return false // it is gone, and so are we
	}
	return q == nil || <-q
}

// questions are what a worker has asked the server about connections.
type questions struct {
	wanted bool // answers are

	mu   sync.Mutex
	open map[uint64]chan bool
}

// ask returns where the answer will be, nil if there is none.
func (q *questions) ask(seq uint64) <-chan bool {
	if !q.wanted {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.open == nil {
		q.open = make(map[uint64]chan bool)
	}
	answer := make(chan bool, 1)
	q.open[seq] = answer
	return answer
}

// answer is called with an opVerdict.
func (q *questions) answer(p []byte) {
	if len(p) < 10 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if a := q.open[seqOf(p)]; a != nil {
		delete(q.open, seqOf(p))
		a <- p[9] == 1
	}
}
