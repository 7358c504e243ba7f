package cluster

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/wire"
)

// A task is a job in a worker's hand: it has been delivered and not acknowledged. Its
// fields are guarded by the service's mu, but for those that never change.
type task struct {
	v     *service
	src   *source
	f     *frame
	reply string // where the store hears of it
	times int    // how often it has been delivered
	copy  string // the stream and sequence of what was delivered
	came  time.Time

	alone bool          // nobody waits for the result
	left  time.Duration // until its deadline; 0 is none
	at    time.Time     // when left was told
	begun time.Time
	beat  time.Time // when the store was last told that it is in hand
	cause error     // it shall stop
	end   func(error)
	part  *part // of a chunk
	hand  bool  // it is handed back when it stops
	gone  bool
	ready time.Time

	counted bool // that it was begun
}

// tooLong is for how long a job that was sent ahead waits for a slot before it is given
// back to the queue, for others to take.
const tooLong = 20 * time.Millisecond

// aheadTime is how much work is sent ahead, at most, so that quick jobs do not wait for
// the network one by one.
const (
	aheadTime = 5 * time.Millisecond
	maxAhead  = 128
	smoothing = 16 // the typical job is that of the last so many, about
)

// read decodes what was delivered; what is no job is a dead letter at once.
func (v *service) read(s *source, m *nats.Msg) *task {
	t := &task{v: v, src: s, f: new(frame), reply: m.Reply, times: 1, came: time.Now(), beat: time.Now()}
	if meta, err := m.Metadata(); err == nil {
		t.times = int(meta.NumDelivered)
		t.copy = meta.Stream + "/" + formatUint(meta.Sequence.Stream)
	}
	if err := wire.Decode(m.Data, t.f); err != nil {
		t.f = &frame{Client: "unreadable", N: newID(), Queue: s.queue, Body: bytes.Clone(m.Data)}
		t.say("+TERM it is not a job")
		v.c.bury(t.f, &remoteFault{Text: "cluster: it is not a job: " + err.Error()}, t.times, v.host, func(error) {})
		return nil
	}
	if t.f.Times < 1 {
		t.f.Times = defaultAttempts
	}
	return t
}

// say tells the store something about the delivery.
func (t *task) say(what string) { _ = t.v.c.link.nc.Publish(t.reply, []byte(what)) }

// take puts a task into the hand. The caller holds mu.
func (v *service) take(t *task) {
	v.hand[t] = struct{}{}
	v.asking++
}

// drop takes it out of the hand. The caller holds mu.
func (v *service) drop(t *task) {
	if t.gone {
		return
	}
	t.gone = true
	delete(v.hand, t)
	if len(v.hand) == 0 {
		for _, fn := range v.empty {
			fn()
		}
		v.empty = nil
	}
}

// inquire asks the submitters of tasks whether they may begin: one message for those of
// one submitter.
func (v *service) inquire(group []*task) {
	for len(group) > 0 {
		asks := group[0].f.Asks
		var same, rest []*task
		for _, t := range group {
			if t.f.Asks == asks {
				same = append(same, t)
			} else {
				rest = append(rest, t)
			}
		}
		group = rest
		v.inquireOf(asks, same)
	}
}

// askPatience is after how long a submitter that does not answer is taken for gone.
const askPatience = 3 * time.Second

func (v *service) inquireOf(asks string, group []*task) {
	known := group[:0]
	for _, t := range group {
		if _, ok := tristrand.Lookup(t.f.Task); !ok {
			v.unfit(t, "it is not defined there", true)
			continue
		}
		known = append(known, t)
	}
	if len(known) == 0 {
		return
	}
	if asks == "" {
		for _, t := range known {
			v.allowed(t, verdict{Do: doRun}, true)
		}
		return
	}
	n := v.note(noteBegin)
	for _, t := range known {
		n.Jobs = append(n.Jobs, noteJob{t.f.N, t.times, t.copy})
	}
	v.c.link.send(v.c.subject("c."+asks+".q"), nil, encode(n), askPatience, func(m *nats.Msg, err error) {
		var verdicts []verdict
		if err == nil {
			err = wire.Decode(m.Data, &verdicts)
		}
		for i, t := range known {
			switch {
			case errors.Is(err, errLinkClosed):
				v.lose(t)
			case err != nil || i >= len(verdicts):
				v.unasked(t)
			default:
				v.allowed(t, verdicts[i], false)
			}
		}
	})
}

func (v *service) note(op int) *note {
	v.mu.Lock()
	defer v.mu.Unlock()
	return &note{Op: op, Worker: v.id, Slots: v.slots, Abandoned: v.abandoned}
}

// lose forgets a task whose delivery is not ours any more.
func (v *service) lose(t *task) {
	v.mu.Lock()
	if t.ready.IsZero() {
		v.asking--
	}
	v.drop(t)
	v.mu.Unlock()
}

// allowed acts on what a submitter says.
func (v *service) allowed(t *task, say verdict, alone bool) {
	if say.Do != doRun {
		v.mu.Lock()
		v.asking--
		v.drop(t)
		v.mu.Unlock()
		v.refuse(t)
		v.fill()
		return
	}
	if alone && t.f.Until != 0 {
		say.Left = max(time.Unix(0, t.f.Until).Sub(v.c.clock.now()), 1)
	}
	t.alone, t.left, t.at = alone, say.Left, time.Now()
	v.makeReady(t)
}

// launchAgain launches a task that was in other hands before, unless those died of it.
func (v *service) launchAgain(t *task) {
	v.c.countBegin(t.f.id(), 1, func(n int, err error) {
		v.mu.Lock()
		t.counted = err == nil
		v.mu.Unlock()
		switch {
		case err != nil:
			v.mu.Lock()
			v.running--
			v.mu.Unlock()
			v.sendBack(t, 500*time.Millisecond)
		case n > t.f.Times-1:
			v.giveUp(t, n)
		default:
			v.launch(t)
		}
	})
}

// uncount forgets that a task was begun, as its worker lives, and then goes on: what kills
// its workers is told by that.
func (v *service) uncount(t *task, then func()) {
	v.mu.Lock()
	counted := t.counted
	t.counted = false
	v.mu.Unlock()
	if !counted {
		then()
		return
	}
	v.c.countBegin(t.f.id(), -1, func(int, error) { then() })
}

// makeReady lets a task begin as soon as there is a slot.
func (v *service) makeReady(t *task) {
	v.mu.Lock()
	v.asking--
	if v.stopping {
		v.mu.Unlock()
		v.sendBack(t, 0)
		return
	}
	t.ready = time.Now()
	level := min(max(t.src.level, lowest), highest) - lowest
	v.ready[level] = append(v.ready[level], t)
	v.waiting++
	v.mu.Unlock()
	v.fill()
}

// next takes a ready task of at least a level, nil if there is none or no slot. The caller
// holds mu.
func (v *service) nextReady(level int) *task {
	if v.running >= v.slots {
		return nil
	}
	for i := highest; i >= level; i-- {
		q := v.ready[i-lowest]
		if len(q) > 0 {
			t := q[0]
			q[0] = nil
			v.ready[i-lowest] = q[1:]
			v.waiting--
			return t
		}
	}
	return nil
}

// unready takes a task out of those that are ready. The caller holds mu.
func (v *service) unready(t *task) bool {
	for i := range v.ready {
		if k := slices.Index(v.ready[i], t); k >= 0 {
			v.ready[i] = slices.Delete(v.ready[i], k, k+1)
			v.waiting--
			return true
		}
	}
	return false
}

// dispatch begins what is ready, of at least a level, as far as there are slots, and returns
// how many it has begun.
func (v *service) dispatch(level int) (begun int) {
	for ; ; begun++ {
		v.mu.Lock()
		t := v.nextReady(level)
		if t != nil {
			if time.Since(t.beat) > v.c.opts.Lease { // this process was stopped: another has it
				v.drop(t)
				v.mu.Unlock()
				begun--
				continue
			}
			v.running++
			t.begun = time.Now()
		}
		again := t != nil && t.times > 1 && !t.counted
		if t != nil && t.times == 1 {
			t.counted = true
		}
		v.mu.Unlock()
		switch {
		case t == nil:
			return begun
		case again:
			v.launchAgain(t)
		default:
			v.launch(t)
		}
	}
}

// fill begins what can begin, and asks for more.
func (v *service) fill() {
	v.mu.Lock()
	mixed := len(v.sources) > 1 && v.sources[0].level != v.sources[len(v.sources)-1].level
	sweeping := v.at >= 0
	v.mu.Unlock()
	if mixed {
		if !sweeping {
			v.startSweep()
		}
		return
	}
	v.dispatch(lowest)
	v.mu.Lock()
	v.pullFlat()
	back := v.waiting > 0 && !v.backing
	v.backing = v.backing || back
	v.mu.Unlock()
	if back {
		time.AfterFunc(tooLong, func() { v.giveBack(tooLong) })
	}
}

// pullFlat asks for as many jobs as there are slots for, and some ahead, at sources that
// are all of one level. The caller holds mu.
func (v *service) pullFlat() {
	n := len(v.sources)
	free := v.slots + v.ahead - len(v.hand)
	if v.stopping || n == 0 || free <= 0 {
		return
	}
	want := max(free/n, 1)
	for _, s := range v.sources {
		if s.out <= want/2 {
			s.pull(want-s.out, true)
		}
	}
}

// calmTime is how long a sweep waits for what was just given back, until the store has it
// and tells it apart from what is in hand.
const calmTime = 5 * time.Millisecond

// giveBack hands back what has waited too long for a slot, so that others can run it.
func (v *service) giveBack(older time.Duration) {
	v.mu.Lock()
	v.backing = false
	var back []*task
	for i, q := range v.ready {
		v.ready[i] = slices.DeleteFunc(q, func(t *task) bool {
			if time.Since(t.ready) < older {
				return false
			}
			back = append(back, t)
			return true
		})
	}
	v.waiting -= len(back)
	if len(back) > 0 {
		v.ahead, v.typical = 0, max(v.typical, aheadTime)
		for _, s := range v.sources {
			s.recall()
		}
	}
	again := v.waiting > 0 && !v.stopping
	v.backing = again
	v.mu.Unlock()
	for _, t := range back {
		v.sendBack(t, 0)
	}
	if again {
		time.AfterFunc(tooLong, func() { v.giveBack(tooLong) })
	}
}

// sendBack gives a task that has not run, or was stopped, back to the queue.
func (v *service) sendBack(t *task, after time.Duration) {
	v.mu.Lock()
	v.backs++
	v.mu.Unlock()
	back := func(do int) {
		v.mu.Lock()
		v.backs--
		v.calm = time.Now().Add(calmTime)
		fresh := time.Since(t.beat) < v.c.opts.Lease && !t.gone
		v.drop(t)
		v.mu.Unlock()
		switch {
		case !fresh, do == doLeave: // it may be another's already, who would lose it
		case do == doDrop || do == doEnd:
			t.say("+ACK")
		default:
			t.nak(after)
		}
		v.fill()
	}
	if t.alone {
		v.uncount(t, func() { back(doAgain) })
		return
	}
	n := v.note(noteBack)
	n.Jobs = []noteJob{{t.f.N, t.times, t.copy}}
	v.c.link.send(v.c.subject("c."+t.f.Asks+".q"), nil, encode(n), askPatience, func(m *nats.Msg, err error) {
		var verdicts []verdict
		if err == nil {
			err = wire.Decode(m.Data, &verdicts)
		}
		if err != nil || len(verdicts) != 1 {
			verdicts = []verdict{{Do: doAgain}}
		}
		v.uncount(t, func() { back(verdicts[0].Do) })
	})
}

// nak has the store deliver it again.
func (t *task) nak(after time.Duration) {
	if after <= 0 {
		t.say("-NAK")
		return
	}
	t.say(`-NAK {"delay": ` + formatInt(int64(after)) + `}`)
}

// beat tells the store what is in hand.
func (v *service) beat() {
	now := time.Now()
	var mine []string
	v.mu.Lock()
	for t := range v.hand {
		if now.Sub(t.beat) < v.c.opts.Lease {
			t.beat = now
			mine = append(mine, t.reply)
		}
	}
	v.mu.Unlock()
	for _, reply := range mine {
		_ = v.c.link.nc.Publish(reply, []byte("+WPI"))
	}
}

// revive pulls again at sources that have fallen silent.
func (v *service) revive() {
	now := time.Now()
	fill := false
	v.mu.Lock()
	for _, s := range v.sources {
		if s.out > 0 && now.Sub(s.heard) > pullSilence {
			s.out, fill = 0, true
		}
	}
	if v.at >= 0 && now.Sub(v.stepped) > pullSilence {
		v.endSweep()
		fill = true
	}
	v.mu.Unlock()
	if fill {
		v.fill()
	}
}

// reset forgets the pulls of a connection that was lost.
func (v *service) reset() {
	v.mu.Lock()
	for _, s := range v.sources {
		s.out = 0
	}
	v.endSweep()
	v.mu.Unlock()
	v.announce(false)
	v.fill()
}

// bytesCut cuts "who task".
func bytesCut(b []byte) (who, task string, ok bool) { return strings.Cut(string(b), " ") }
