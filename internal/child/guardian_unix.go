//go:build unix

package child

import (
	"encoding/binary"
	"errors"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// guardianLinger is how long a guardian without groups is kept.
	guardianLinger = time.Second

	recordBytes = 4

	// guardianPipe is how many groups an ordinary pipe takes with room to spare,
	// guardianProd after how many records the guardian is prodded to take them
	// out: even the smallest pipe, of a user who has too many, takes twice that.
	guardianPipe = 8 << 10
	guardianProd = 512

	guardianRetry    = 100 * time.Millisecond // after a guardian's death, doubling
	guardianRetryMax = 5 * time.Second

	guardianCatchUp = 10 * time.Millisecond // between tries to write into a full pipe
	guardianLate    = 2 * time.Second       // after which one that does not read is replaced

	// guardianKills is how long a guardian tries to kill what is left.
	guardianKills = 2 * time.Second
)

// guards is the parent's side: the groups there are, and the one guardian that
// is told of them.
var guards = keeper{change: make(chan struct{}, 1)}

type keeper struct {
	mu      sync.Mutex
	groups  map[int]struct{}
	pipe    *os.File     // records to the guardian, nil when there is none
	prod    *os.File     // wakes it to read them
	told    int          // records written
	running bool         // run is
	pending map[int]bool // groups that begin (true) or end, for which the pipe had no room
	change  chan struct{}
	alive   bool          // a guardian has been started and told of all groups
	started chan struct{} // closed when that is so; made by who waits
}

// begin tells the guardian of a group, and has one started if there is none.
func (k *keeper) begin(group int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.groups == nil {
		k.groups = map[int]struct{}{}
	}
	k.groups[group] = struct{}{}
	k.tell(group, true)
	if !k.running {
		k.running = true
		go k.run()
	}
}

// end tells the guardian that a group is over. It must come before the number of
// the group can be given again, so before its leader is reaped.
func (k *keeper) end(group int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.groups[group]; !ok {
		return
	}
	delete(k.groups, group)
	k.tell(group, false)
	if len(k.groups) == 0 {
		k.wake()
	}
}

func (k *keeper) wake() {
	select {
	case k.change <- struct{}{}:
	default:
	}
}

// tell tells the guardian that a group begins or ends, without ever waiting. The
// mutex is held.
func (k *keeper) tell(group int, begins bool) {
	if k.pipe == nil {
		return // it will be told of all groups when it starts
	}
	if len(k.pending) == 0 && k.write(group, begins) {
		return
	}
	if was, ok := k.pending[group]; ok && was != begins {
		delete(k.pending, group) // it need not know either
		return
	}
	if k.pending == nil {
		k.pending = map[int]bool{}
	}
	k.pending[group] = begins
	k.wake()
}

// write writes one record, a group that begins or the negative of one that ends,
// and reports whether that is settled: false if the pipe is full. The mutex is
// held.
func (k *keeper) write(group int, begins bool) bool {
	if !begins {
		group = -group
	}
	b := binary.LittleEndian.AppendUint32(nil, uint32(int32(group))) //nolint:gosec // a pid
	if errors.Is(post(k.pipe, b), unix.EAGAIN) {
		_ = post(k.prod, b[:1])
		return false
	}
	if k.told++; k.told%guardianProd == 0 {
		_ = post(k.prod, b[:1])
	}
	return true
}

// post writes what the pipe takes at once.
func post(pipe *os.File, b []byte) (err error) {
	raw, err := pipe.SyscallConn()
	if err != nil {
		return err
	}
	cerr := raw.Control(func(fd uintptr) { _, err = unix.Write(int(fd), b) })
	return errors.Join(err, cerr)
}

// catchUp writes what is pending, and reports whether that is all. The mutex is
// held.
func (k *keeper) catchUp() bool {
	for group, begins := range k.pending {
		if !k.write(group, begins) {
			return false
		}
		delete(k.pending, group)
	}
	return true
}

// run keeps a guardian alive as long as there are groups, and a little longer.
func (k *keeper) run() {
	memory.begin()
	var retry time.Duration // the first death may be anybody's mistake
	for {
		began := time.Now()
		if g, err := k.startGuardian(); err == nil && k.attend(g) {
			return
		}
		if time.Since(began) > guardianRetryMax {
			retry = 0
		}
		time.Sleep(retry)
		retry = min(max(2*retry, guardianRetry), guardianRetryMax)
		if k.rest() {
			return
		}
	}
}

// rest ends run if there is nothing to guard.
func (k *keeper) rest() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.groups) > 0 {
		return false
	}
	k.running = false
	return true
}

// attend waits until the guardian has ended and is reaped. It ends it, and with
// it run, when there were no groups for a while.
func (k *keeper) attend(g *process) (rest bool) {
	dead := make(chan struct{})
	go func() {
		defer close(dead)
		g.reap(&Exit{}, func() {})
	}()
	timer := time.NewTimer(guardianLinger)
	defer timer.Stop()
	var late time.Time // since when it has not read what it should
	for {
		quiet := false
		select {
		case <-dead:
			k.drop()
			return false
		case <-k.change: // a second from the last change on
			timer.Reset(guardianLinger)
		case <-timer.C:
			quiet = true
			timer.Reset(guardianLinger)
		}
		k.mu.Lock()
		idle := false
		if k.catchUp() {
			late = time.Time{}
			idle = quiet && len(k.groups) == 0
		} else {
			timer.Reset(guardianCatchUp)
			if late.IsZero() {
				late = time.Now()
			}
		}
		if idle {
			k.running = false // a group that begins now finds no pipe and starts run anew
			k.hangUp()
		}
		k.mu.Unlock()
		switch {
		case idle:
			<-dead
			return true
		case !late.IsZero() && time.Since(late) > guardianLate:
			// It is stopped. It must be dead before its pipe is closed, lest it
			// wakes up and takes that for the end of this process.
			_ = g.killGroup()
			<-dead
			k.drop()
			return false
		}
	}
}

// drop forgets a guardian that has died.
func (k *keeper) drop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.hangUp()
}

// hangUp closes what leads to the guardian. The mutex is held.
func (k *keeper) hangUp() {
	k.alive = false
	_, _ = k.pipe.Close(), k.prod.Close()
	k.pipe, k.prod = nil, nil
}

// startGuardian starts a guardian. All groups are in its pipe before it runs, so
// that it knows them even if this process is killed while it starts.
func (k *keeper) startGuardian() (*process, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	prodR, prod, err := os.Pipe()
	if err != nil {
		_ = w.Close()
		return nil, err
	}
	defer prodR.Close()
	k.mu.Lock()
	if len(k.groups) > guardianPipe {
		enlarge(w)
	}
	k.pipe, k.prod, k.pending = w, prod, nil
	for group := range k.groups {
		k.tell(group, true)
	}
	k.mu.Unlock()
	g, err := spawnGuardian(r, prodR)
	if err != nil {
		k.drop()
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.alive = true
	if k.started != nil {
		close(k.started)
		k.started = nil
	}
	return g, nil
}

// await waits until there is a guardian, at most for d.
func (k *keeper) await(d time.Duration) {
	k.mu.Lock()
	if k.alive {
		k.mu.Unlock()
		return
	}
	if k.started == nil {
		k.started = make(chan struct{})
	}
	started := k.started
	k.mu.Unlock()
	late := time.NewTimer(d)
	defer late.Stop()
	select {
	case <-started:
	case <-late.C:
	}
}

func spawnGuardian(pipe, prod *os.File) (*process, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	r := role{mode: modeGuardian, parent: os.Getpid(), files: []uint64{3, 4}, strays: strays(), program: os.Args[0]}
	s := Spec{Env: append(os.Environ(), "GOMAXPROCS=1", "GOGC=off")}
	o := &order{
		paths:   s.paths(),
		argv:    []string{namePrefix + "guardian of " + programName()},
		attr:    syscall.ProcAttr{Dir: "/", Env: s.environment(r), Sys: &syscall.SysProcAttr{Setsid: true}},
		pidfd:   -1,
		started: make(chan struct{}),
	}
	o.watchable()
	o.unbound()
	for _, f := range []*os.File{null, null, null, pipe, prod} {
		fd, err := duplicate(f)
		if err != nil {
			o.close()
			return nil, err
		}
		o.attr.Files = append(o.attr.Files, fd)
	}
	// Not by a spawner: it may die after the thread that starts it.
	o.spawn()
	if o.err != nil {
		return nil, o.err
	}
	g := &process{}
	g.adopt(o.pid, o.pidfd)
	return g, nil
}
