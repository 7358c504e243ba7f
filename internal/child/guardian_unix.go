//go:build unix

package child

import (
	"encoding/binary"
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// guardianDelay keeps the guardian's start out of the way of the first
	// child's. Until then the kernel's PDEATHSIG is all there is.
	guardianDelay = 10 * time.Millisecond

	// guardianLinger is how long a guardian without groups is kept.
	guardianLinger = time.Second

	// guardianPipe is how many groups an ordinary pipe takes with room to spare.
	guardianPipe = 8 << 10

	guardianRetry    = 100 * time.Millisecond // after a guardian's death, doubling
	guardianRetryMax = 5 * time.Second

	// guardianKills is how long a guardian tries to kill what is left.
	guardianKills = 2 * time.Second
)

// guards is the parent's side: the groups there are, and the one guardian that
// is told of them.
var guards = keeper{change: make(chan struct{}, 1)}

type keeper struct {
	mu      sync.Mutex
	groups  map[int]struct{}
	pipe    *os.File // to the guardian, nil when there is none
	running bool     // run is
	behind  bool     // the pipe was full: the guardian does not know all
	change  chan struct{}
}

// begin tells the guardian of a group, and has one started if there is none.
func (k *keeper) begin(group int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.groups == nil {
		k.groups = map[int]struct{}{}
	}
	k.groups[group] = struct{}{}
	k.tell(int32(group)) //nolint:gosec // a pid
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
	k.tell(-int32(group)) //nolint:gosec // a pid
	if len(k.groups) == 0 || k.behind {
		k.wake()
	}
}

func (k *keeper) wake() {
	select {
	case k.change <- struct{}{}:
	default:
	}
}

// tell writes one record, without ever waiting: 4 bytes, a group that begins or
// the negative of one that ends. The mutex is held.
func (k *keeper) tell(record int32) {
	if k.pipe == nil || k.behind {
		return
	}
	var err error
	raw, cerr := k.pipe.SyscallConn()
	if cerr != nil {
		return
	}
	b := binary.LittleEndian.AppendUint32(nil, uint32(record)) //nolint:gosec // the bits are meant
	_ = raw.Control(func(fd uintptr) { _, err = unix.Write(int(fd), b) })
	if errors.Is(err, unix.EAGAIN) { // it does not read: replace it
		k.behind = true
		k.wake()
	}
}

// run keeps a guardian alive as long as there are groups, and a little longer.
func (k *keeper) run() {
	memory.begin()
	time.Sleep(guardianDelay)
	retry := guardianRetry
	for {
		began := time.Now()
		g, err := k.startGuardian()
		if err == nil {
			if k.attend(g) {
				return
			}
			if time.Since(began) > guardianRetryMax {
				retry = guardianRetry
			}
			if time.Since(began) > guardianLinger { // it lived: no need to be slow
				continue
			}
		}
		time.Sleep(retry)
		retry = min(2*retry, guardianRetryMax)
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
	linger := time.NewTimer(guardianLinger)
	defer linger.Stop()
	for {
		quiet := false
		select {
		case <-dead:
			k.drop()
			return false
		case <-k.change: // a second from the last change on
			linger.Reset(guardianLinger)
		case <-linger.C:
			quiet = true
			linger.Reset(guardianLinger)
		}
		k.mu.Lock()
		behind := k.behind
		idle := quiet && len(k.groups) == 0
		if idle {
			k.running = false // a group that begins now finds no pipe and starts run anew
			_ = k.pipe.Close()
			k.pipe = nil
		}
		k.mu.Unlock()
		switch {
		case idle:
			<-dead
			return true
		case behind:
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
	_ = k.pipe.Close()
	k.pipe = nil
}

// startGuardian starts a guardian. All groups are in its pipe before it runs, so
// that it knows them even if this process is killed while it starts.
func (k *keeper) startGuardian() (*process, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	k.mu.Lock()
	if len(k.groups) > guardianPipe {
		enlarge(w)
	}
	k.pipe, k.behind = w, false
	for group := range k.groups {
		k.tell(int32(group)) //nolint:gosec // a pid
	}
	k.mu.Unlock()
	g, err := spawnGuardian(r)
	if err != nil {
		k.drop()
		return nil, err
	}
	return g, nil
}

func spawnGuardian(pipe *os.File) (*process, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	r := role{mode: modeGuardian, parent: os.Getpid(), files: []uint64{3}, strays: strays(), program: os.Args[0]}
	s := Spec{Env: append(os.Environ(), "GOMAXPROCS=1", "GOGC=off")}
	o := &order{
		argv:    []string{namePrefix + "guardian of " + programName()},
		attr:    syscall.ProcAttr{Dir: "/", Env: s.environment(r), Sys: &syscall.SysProcAttr{Setsid: true}},
		pidfd:   -1,
		started: make(chan struct{}),
	}
	o.watchable()
	o.unbound()
	for _, f := range []*os.File{null, null, null, pipe} {
		fd, err := duplicate(f)
		if err != nil {
			o.close()
			return nil, err
		}
		o.attr.Files = append(o.attr.Files, fd)
	}
	if err := unix.SetNonblock(int(o.attr.Files[3]), false); err != nil {
		o.close()
		return nil, err
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

// guard is the guardian: it returns when its parent has ended and all groups
// that it was told of are killed.
func guard(files, strays []uint64) {
	// What is meant for the parent, by name or by terminal, must not end it.
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE, syscall.SIGTSTP)
	if len(files) != 1 {
		return
	}
	closeStrays(strays, files[0]+1)
	groups := map[int]struct{}{}
	var buf [4096]byte
	have := 0
	for {
		n, err := unix.Read(int(files[0]), buf[have:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			break
		}
		have += n
		at := 0
		for ; have-at >= 4; at += 4 {
			record := int32(binary.LittleEndian.Uint32(buf[at:])) //nolint:gosec // the bits are meant
			switch {
			case record > 1:
				groups[int(record)] = struct{}{}
			case record < -1:
				delete(groups, -int(record))
			}
		}
		have = copy(buf[:], buf[at:have])
	}
	end := time.Now().Add(guardianKills)
	for len(groups) > 0 && time.Now().Before(end) {
		for group := range groups {
			if err := unix.Kill(-group, unix.SIGKILL); errors.Is(err, unix.ESRCH) {
				delete(groups, group)
			}
		}
		if len(groups) > 0 {
			time.Sleep(time.Millisecond)
		}
	}
}
