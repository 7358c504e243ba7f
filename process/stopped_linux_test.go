package process_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/process"
	"github.com/tristrand/tristrand/shm"
)

// A locked is an input with a lock that the job takes.
type locked struct {
	Lock   *shm.Lock
	Ledger ledger
}

// hold takes the lock, says so, and keeps it.
var hold = tristrand.Define("faults.hold", func(ctx context.Context, in locked) (int, error) {
	if err := in.Lock.Acquire(ctx); err != nil {
		return 0, err
	}
	return hangIn(in.Ledger)
})

// A worker that a signal holds up keeps its locks, and its time-out ends it all the
// same. Then whoever comes for the lock is told.
func TestAStoppedWorker(t *testing.T) {
	ctx := adopt(t)
	p := open(t, &process.Pool{Workers: 2, JobGrace: 20 * time.Millisecond})
	lock := newLock(t)
	l := newLedger(t)
	f := hold.Submit(ctx, p, locked{lock, l}, tristrand.Timeout(time.Second))
	stop(t, hung(t, l))
	works(ctx, t, p, 2)
	for f.State() == tristrand.Running { // the lock must not be broken meanwhile
		if err := lock.TryAcquire(ctx); !errors.Is(err, tristrand.ErrBusy) {
			if f.State() == tristrand.Running && !errors.Is(err, tristrand.ErrOwnerDied) {
				t.Fatalf("the lock of a stopped holder gives %v", err)
			}
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if _, err := f.Result(ctx); !errors.Is(err, tristrand.ErrTimeout) {
		t.Errorf("the outcome is %v, want ErrTimeout", err)
	}
	recovered(ctx, t, lock)
	works(ctx, t, p, 2)
}

// A throne is what a leader sits on.
type throne struct {
	Lock *shm.Lock
	File string // made when it sits
}

// lead takes a lock for as long as its process lives, and mentions it no more.
var lead = tristrand.Define("stopped.lead", func(ctx context.Context, in throne) (struct{}, error) {
	file := in.File
	if err := in.Lock.Acquire(ctx); err != nil {
		return struct{}{}, err
	}
	for range 20 {
		runtime.GC()
		time.Sleep(2 * time.Millisecond)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		return struct{}{}, err
	}
	<-ctx.Done()
	return struct{}{}, nil
})

// A lock that a process holds to the end is not lost to its garbage collector.
func TestALockIsHeldForLife(t *testing.T) {
	ctx := adopt(t)
	lock, file := newLock(t), filepath.Join(t.TempDir(), "sits")
	p := start(ctx, t, lead.Bind(throne{lock, file}))
	until(t, "the process has the lock", func() bool {
		_, err := os.Stat(file)
		return err == nil
	})
	if err := lock.TryAcquire(ctx); !errors.Is(err, tristrand.ErrBusy) {
		t.Errorf("TryAcquire: %v, want that it is held", err)
	}
	p.Kill()
	<-p.Done()
	recovered(ctx, t, lock)
}

func newLock(t *testing.T) *shm.Lock {
	t.Helper()
	lock, err := shm.NewLock(t.Name())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lock.Close() })
	return lock
}

// recovered acquires a lock whose holder died, and sees whether that is told.
func recovered(ctx context.Context, t *testing.T, lock *shm.Lock) {
	t.Helper()
	if err := lock.Acquire(ctx); !errors.Is(err, tristrand.ErrOwnerDied) {
		t.Errorf("the lock of a dead holder gives %v, want ErrOwnerDied", err)
	}
	if err := errors.Join(lock.Recover(ctx), lock.Release(ctx)); err != nil {
		t.Error(err)
	}
}

func stop(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	until(t, "it is stopped", func() bool { return stateOf(pid) == 'T' })
}

// A worker is killed while it holds a lock: by the time its job has failed the lock can
// be had.
func TestAKilledHolder(t *testing.T) {
	ctx := adopt(t)
	p := open(t, &process.Pool{Workers: 2})
	lock := newLock(t)
	for range times(10, 200) {
		l := newLedger(t)
		f := hold.Submit(ctx, p, locked{lock, l})
		sigkill(hung(t, l))
		_, err := f.Result(ctx)
		if e := exitOf(t, err); e.Signal != syscall.SIGKILL || e.Kind != "signal" {
			t.Errorf("the outcome is %+v", e)
		}
		recovered(ctx, t, lock)
	}
}

// The objects of shared memory that go along with jobs arrive on every worker, also the
// next one after a crash, and what one process does others see.
func TestSharedObjectsGoAlong(t *testing.T) {
	ctx := adopt(t)
	p := open(t, &process.Pool{Workers: 3})
	lock := newLock(t)
	sum, err := shm.NewValue(t.Name(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sum.Close() }()
	const jobs = 60
	var all []*tristrand.Future[int]
	for i := range jobs {
		all = append(all, addUp.Submit(ctx, p, summand{lock, sum, i}))
		if i%20 == 10 {
			l := newLedger(t)
			f := hang.Submit(ctx, p, l)
			sigkill(hung(t, l))
			_, err := f.Result(ctx)
			exitOf(t, err)
		}
	}
	for _, f := range all {
		if _, err := f.Result(ctx); err != nil {
			t.Error(err)
		}
	}
	if got, err := sum.Load(ctx); got != jobs*(jobs-1)/2 || err != nil {
		t.Errorf("the sum is %d, %v", got, err)
	}
}

type summand struct {
	Lock *shm.Lock
	Sum  *shm.Value[int]
	N    int
}

// addUp reads and writes in two steps, which only the lock makes one.
var addUp = tristrand.Define("faults.addUp", func(ctx context.Context, in summand) (n int, err error) {
	err = tristrand.With(ctx, in.Lock, func(ctx context.Context) error {
		if n, err = in.Sum.Load(ctx); err != nil {
			return err
		}
		busy(100 * time.Microsecond)
		n += in.N
		return in.Sum.Store(ctx, n)
	})
	return n, err
})

// The end of the job that a worker is stopped in does not hold up the others.
func TestManyStops(t *testing.T) {
	ctx := adopt(t)
	p := open(t, &process.Pool{Workers: 2})
	if err := p.Start(ctx); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	defer all.Wait()
	over, end := context.WithCancel(ctx)
	defer end()
	all.Go(func() {
		for over.Err() == nil {
			for _, pid := range workersOf(p.Name) {
				_ = syscall.Kill(pid, syscall.SIGSTOP)
				time.Sleep(3 * time.Millisecond)
				_ = syscall.Kill(pid, syscall.SIGCONT)
			}
			time.Sleep(time.Millisecond)
		}
	})
	for i := range times(3000, 100_000) {
		if n, err := echo.Call(ctx, p, i); n != i || err != nil {
			t.Fatalf("job %d gives %d, %v", i, n, err)
		}
	}
}

// A Process that a signal holds up says so, and Cancel ends it all the same.
func TestAStoppedProcess(t *testing.T) {
	ctx := adopt(t)
	l := newLedger(t)
	p, err := process.Start(ctx, hang.Bind(l), process.Grace(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	hung(t, l)
	if p.Stopped() {
		t.Error("it is said to be stopped, and runs")
	}
	stop(t, p.PID())
	until(t, "it is said to be stopped", p.Stopped)
	if !p.Alive() {
		t.Error("a stopped process is said to be dead")
	}
	if err := syscall.Kill(p.PID(), syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	until(t, "it is said to go on", func() bool { return !p.Stopped() })
	stop(t, p.PID())
	p.Cancel()
	err = p.Join(ctx)
	if e := exitOf(t, err); !errors.Is(err, tristrand.ErrCancelled) || e.Signal != syscall.SIGKILL {
		t.Errorf("it ends with %v", err)
	}
	if p.ExitCode() != -9 || p.Stopped() || p.Alive() || !p.Failed() {
		t.Errorf("afterwards: code %d, stopped %v, alive %v, failed %v", p.ExitCode(), p.Stopped(), p.Alive(), p.Failed())
	}
}

// A worker whose ring is full of jobs that were taken back from it gets others when it has
// passed over them, although it says nothing about them.
func TestTheRingIsFullOfWhatWasTakenBack(t *testing.T) {
	ctx := adopt(t)
	p := open(t, &process.Pool{Name: "taken" + pidText(), Workers: 1})
	for range times(5, 100) {
		until(t, "the pool knows that its jobs are quick", func() bool {
			for i := range 200 {
				if n, err := echo.Call(ctx, p, i); n != i || err != nil {
					t.Fatal(n, err)
				}
			}
			_, depth := p.Sent()
			return depth > 1
		})
		worker := workersOf(p.Name)[0]
		stop(t, worker)
		var all []*tristrand.Future[block]
		for n := range 8 {
			all = append(all, copied.Submit(ctx, p, block{N: n, Data: make([]byte, 15<<10)}))
		}
		until(t, "all are taken back", func() bool {
			held, _ := p.Sent()
			return held <= 1 // one that comes after the others were is its own
		})
		if err := syscall.Kill(worker, syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		for n, f := range all {
			if b, err := f.Result(ctx); b.N != n || err != nil {
				t.Fatal(n, b.N, err)
			}
		}
	}
}
