package process

import (
	"fmt"
	"time"

	"github.com/tristrand/tristrand/internal/parcel"
	"github.com/tristrand/tristrand/internal/segment/pool"
)

// succeeded sends what the function has returned.
func (v *server) succeeded(f *jobFrame, name string, ran time.Duration, out any) {
	var l load
	defer l.drop()
	if err := l.pack("output", out); err != nil {
		v.failed(f, ran, fmt.Errorf("process: task %q: %w", name, err))
		return
	}
	if err := v.out.load(&l); err != nil {
		v.failed(f, ran, fmt.Errorf("process: task %q: what goes beside its output: %w", name, err))
		return
	}
	v.sendBody(&resultFrame{slot: f.slot, ran: ran, seq: f.seq, body: l.reference()}, &l)
}

// sendBody sends a result whose body is in l, or in a segment, which is lent to the pool
// until it says that it has read it.
func (v *server) sendBody(r *resultFrame, l *load) {
	if l.raw {
		r.flags |= flagRaw
	}
	if s := l.seg; s != nil {
		r.flags |= flagSegment
		v.mu.Lock()
		v.lent[s.Key()] = s
		v.mu.Unlock()
		l.seg = nil
	}
	if !l.extra.Empty() {
		r.flags |= flagExtra
		v.mu.Lock()
		v.kept = append(v.kept, l.extra)
		v.mu.Unlock()
		v.marks++
		r.mark = v.marks
		v.out.put(note{Op: noteMark, Seq: v.marks}, nil)
		l.extra = parcel.Parcel{}
	}
	v.send(r)
}

// failed sends an error.
func (v *server) failed(f *jobFrame, ran time.Duration, err error) {
	v.buf.Reset()
	encodeFault(&v.buf, err)
	r := resultFrame{flags: flagError, slot: f.slot, ran: ran, seq: f.seq, body: v.buf.Bytes()}
	if r.size() > inline && v.mail == nil {
		s, placeErr := pool.Shared().Get(len(r.body))
		if placeErr != nil {
			fail(placeErr)
		}
		copy(s.Bytes(), r.body)
		v.out.bring(s)
		v.mu.Lock()
		v.lent[s.Key()] = s
		v.mu.Unlock()
		r.flags |= flagSegment
		r.body = appendRef(nil, s.Key(), len(r.body))
	}
	v.send(&r)
}

// tellOf wakes the pool for a result, or leaves that until there is no job, or some time
// has passed, if the pool has said that it can wait for more than one.
func (v *server) tellOf(r *resultFrame) {
	if v.unsaid += r.ran + crossing; v.unsaid > unsaid {
		v.wakePool()
		return
	}
	v.done.WakeWaiting()
}

// wakePool wakes the pool for all results that have been written.
func (v *server) wakePool() {
	v.unsaid = 0
	v.done.Wake()
}

// send writes a result into the lane, waiting for room if need be.
func (v *server) send(r *resultFrame) {
	for {
		room, err := v.done.Reserve(r.size())
		if err != nil {
			fail(err)
		}
		if room != nil {
			r.write(room)
			v.done.Commit(r.size())
			v.tellOf(r)
			return
		}
		v.done.Wake()
		v.done.WaitRoom(0)
	}
}
