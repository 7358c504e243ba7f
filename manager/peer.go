package manager

import (
	"sync"
	"time"
)

// peers count the references of processes that can be known, the clients on Unix
// sockets: when one is gone, its references are dropped. CPython's protocol
// counts on connections that end at once, so the process is what is left.
type peers struct {
	drop func(id string) error // Table.Decref
	quit chan struct{}         // closed when the server stops

	mu   sync.Mutex
	pids map[int]*peer
	wg   sync.WaitGroup
}

// a peer is a process that has references.
type peer struct {
	life life
	refs map[string]int
}

// every is how often it is looked whether the peers live.
const every = 500 * time.Millisecond

// count notes that a process has n more references to an object. pid 0 is not
// known.
func (p *peers) count(pid int, id string, n int) {
	if pid == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	pr := p.pids[pid]
	if pr == nil {
		l, ok := watchLife(pid)
		if !ok {
			return
		}
		pr = &peer{life: l, refs: map[string]int{}}
		if p.pids == nil {
			p.pids = map[int]*peer{}
		}
		p.pids[pid] = pr
		if len(p.pids) == 1 {
			p.wg.Go(p.watch)
		}
	}
	if pr.refs[id] += n; pr.refs[id] == 0 {
		delete(pr.refs, id)
	}
	if len(pr.refs) == 0 {
		p.forget(pid, pr)
	}
}

func (p *peers) forget(pid int, pr *peer) {
	delete(p.pids, pid)
	pr.life.close()
}

// watch looks after the peers for as long as there are any.
func (p *peers) watch() {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		var over bool
		select {
		case <-tick.C:
		case <-p.quit:
			over = true
		}
		p.mu.Lock()
		var gone []*peer
		for pid, pr := range p.pids {
			if dead := pr.life.over(); dead || over {
				if dead {
					gone = append(gone, pr)
				}
				p.forget(pid, pr)
			}
		}
		left := len(p.pids)
		p.mu.Unlock()
		for _, pr := range gone {
			for id, n := range pr.refs {
				for range n {
					_ = p.drop(id) // another may have counted it down
				}
			}
		}
		if left == 0 {
			return
		}
	}
}
