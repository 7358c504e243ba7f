package cluster

import "time"

// startSweep asks the sources for jobs one after the other, the highest level first, so
// that none begins before one above it.
func (v *service) startSweep() {
	v.mu.Lock()
	if v.stopping || v.at >= 0 || v.running >= v.slots {
		back := v.waiting > 0 && !v.backing
		v.backing = v.backing || back
		v.mu.Unlock()
		if back {
			time.AfterFunc(tooLong, func() { v.giveBack(tooLong) })
		}
		return
	}
	if wait := time.Until(v.calm); v.backs > 0 || wait > 0 {
		v.mu.Unlock()
		time.AfterFunc(max(wait, time.Millisecond), v.fill)
		return
	}
	v.at, v.ahead, v.freed = 0, 0, false
	v.mu.Unlock()
	v.sweepOn()
}

// swept goes on when a source has given what it had.
func (v *service) swept(s *source) {
	v.mu.Lock()
	mine := v.at >= 0 && v.at < len(v.sources) && v.sources[v.at] == s
	if mine && v.asking > 0 {
		v.mu.Unlock()
		time.AfterFunc(time.Millisecond, func() { v.swept(s) }) // what has come is being asked about
		return
	}
	if mine {
		if v.at++; v.freed {
			v.at, v.freed = 0, false
		}
	}
	v.mu.Unlock()
	if mine {
		v.sweepOn()
	} else {
		v.fill()
	}
}

// sweepOn asks the next source of a sweep.
func (v *service) sweepOn() {
	for {
		v.mu.Lock()
		if v.at < 0 {
			v.mu.Unlock()
			return
		}
		if v.at >= len(v.sources) || v.stopping {
			v.at = -1
			v.mu.Unlock()
			v.afterSweep()
			return
		}
		s := v.sources[v.at]
		v.mu.Unlock()
		begun := v.dispatch(s.level)
		v.mu.Lock()
		if begun > 0 && v.at >= 0 { // one that was quick has freed its slot: from the top
			v.at, s = 0, v.sources[0]
		}
		free := v.slots - v.running - v.asking
		switch {
		case free <= 0:
			v.at = -1
			v.mu.Unlock()
			return
		case s.out > 0: // a pull waits there, so it has nothing
			v.at++
			v.mu.Unlock()
		default:
			v.stepped = time.Now()
			s.pull(free, false)
			v.mu.Unlock()
			return
		}
	}
}

// afterSweep begins what is in hand and waits at all sources, as far as there are slots.
func (v *service) afterSweep() {
	v.dispatch(lowest)
	v.mu.Lock()
	defer v.mu.Unlock()
	free := v.slots - v.running - v.asking
	if free <= 0 || v.stopping {
		return
	}
	for _, s := range v.sources {
		if s.out == 0 {
			s.pull(free, true)
		}
	}
}

// endSweep gives a sweep up. The caller holds mu.
func (v *service) endSweep() {
	v.at = -1
	for _, s := range v.sources {
		s.sweep = -1
	}
}
