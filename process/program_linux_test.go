package process_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/process"
	"github.com/tristrand/tristrand/shm"
	"github.com/tristrand/tristrand/thread"
)

const programKey = "PROCESS_TEST_PROGRAM"

// programs are what the test binary is when the environment says so: small programs
// that can be killed, stopped and interrupted.
var programs = map[string]func(){
	"family":    func() { process.Main(family) },
	"interrupt": func() { process.Main(interrupted) },
	"forgets":   func() { process.Main(forgets) },
	"fails":     func() { process.Main(func(context.Context) error { return errors.New("it has failed") }) },
	"stops":     func() { process.Main(stops) },
	"no init":   withoutInit,
	"many":      func() { process.Main(interruptedTwice) },
	"late":      func() { process.Main(late) },
	"full ring": func() { process.Main(fullRing) },
	"deprived":  func() { process.Main(deprived) },

	"no descriptors": func() { process.Main(withoutDescriptors) },
}

func program() {
	name := os.Getenv(programKey)
	if run := programs[name]; run != nil {
		if strings.HasPrefix(os.Args[0], "tristrand: ") { // a worker of the program
			process.Init()
		}
		run()
		os.Exit(0)
	}
}

// A running is a program that runs.
type running struct {
	*exec.Cmd
	said   *bufio.Scanner
	stdin  io.WriteCloser
	stderr bytes.Buffer
}

// run starts one of the programs, in a process group of its own.
func run(t *testing.T, name string) *running {
	t.Helper()
	r := prepare(t, name)
	r.begin(t)
	return r
}

func prepare(t *testing.T, name string) *running {
	t.Helper()
	r := &running{Cmd: exec.Command(os.Args[0])}
	r.Env = append(os.Environ(), programKey+"="+name, "GORACE=atexit_sleep_ms=0")
	r.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	r.Stderr = &r.stderr
	return r
}

func (r *running) begin(t *testing.T) {
	t.Helper()
	out, err := r.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if r.stdin, err = r.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	r.said = bufio.NewScanner(out)
	t.Cleanup(func() {
		_ = r.Process.Kill()
		_ = r.Wait()
		if t.Failed() {
			t.Logf("its stderr: %s", r.stderr.String())
		}
	})
}

// hear returns the next line that the program says.
func (r *running) hear(t *testing.T) string {
	t.Helper()
	timer := time.AfterFunc(patience, func() { _ = r.Process.Kill() })
	defer timer.Stop()
	if !r.said.Scan() {
		t.Fatal("the program says nothing")
	}
	return r.said.Text()
}

// ends waits for the program's end and returns its status, and what it still said.
func (r *running) ends(t *testing.T) (status int, said string) {
	t.Helper()
	timer := time.AfterFunc(patience, func() { _ = r.Process.Kill() })
	defer timer.Stop()
	for r.said.Scan() {
		said += r.said.Text() + "\n"
	}
	_ = r.Wait() // the status tells
	return r.ProcessState.ExitCode(), said
}

// cub starts a process, says so and hangs; breed has, besides, a worker of its own that
// does.
var (
	cub = tristrand.Define("faults.cub", func(context.Context, int) (int, error) {
		if err := bear(); err != nil {
			return 0, err
		}
		select {}
	})

	breed = tristrand.Define("faults.breed", func(ctx context.Context, _ int) (int, error) {
		if err := bear(); err != nil {
			return 0, err
		}
		return cub.Call(ctx, &process.Pool{Workers: 1}, 0) // nobody closes it: it is killed
	})
)

func bear() error {
	child, err := os.StartProcess("/bin/sleep", []string{"sleep", "1000"}, new(os.ProcAttr))
	if err == nil {
		fmt.Println(os.Getpid(), child.Pid)
	}
	return err
}

// family has two workers that have processes and workers of their own, and much shared
// memory.
func family(ctx context.Context) error {
	p := &process.Pool{Workers: 2}
	b, err := shm.NewBytes(largeBytes)
	if err != nil {
		return err
	}
	for i := 0; i < b.Len(); i += 4096 {
		b.View()[i] = 1
	}
	f, g := breed.Submit(ctx, p, 0), breed.Submit(ctx, p, 0)
	if _, err := process.Start(ctx, cub.Bind(0)); err != nil {
		return err
	}
	_, err = f.Result(ctx)
	_, err2 := g.Result(ctx)
	return errors.Join(err, err2)
}

const largeBytes = 512 << 20

// Killed with SIGKILL, a program takes with it all that it has started, and all the
// memory that they share.
func TestTheParentIsKilled(t *testing.T) {
	for range times(2, 50) {
		named, before := inDevShm(), shmem(t)
		r := run(t, "family")
		pids := []int{r.Process.Pid}
		for range 5 { // two workers, with a worker each, and a Process
			var pid, child int
			if _, err := fmt.Sscan(r.hear(t), &pid, &child); err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid, child)
		}
		for _, pid := range pids {
			if !alive(pid) {
				t.Errorf("process %d is not there", pid)
			}
		}
		if got := shmem(t); got < before+largeBytes/2 {
			t.Logf("Shmem went from %d to %d MiB", before>>20, got>>20) // others may have ended
		}
		sigkill(r.Process.Pid)
		gone(t, pids...)
		until(t, "the memory is free", func() bool { return shmem(t) < before+largeBytes/2 })
		if now := inDevShm(); now > named {
			t.Errorf("/dev/shm has %d files more", now-named)
		}
	}
}

// gone waits until processes are, which is not to take them 2 s.
func gone(t *testing.T, pids ...int) {
	t.Helper()
	began := time.Now()
	until(t, "the processes are gone", func() bool { return !slices.ContainsFunc(pids, alive) })
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("they were gone after %v", took)
	}
}

func inDevShm() int {
	entries, _ := os.ReadDir("/dev/shm")
	return len(entries)
}

// shmem returns the memory that all processes of the machine share.
func shmem(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var kib int
		if n, _ := fmt.Sscanf(line, "Shmem: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	t.Fatal("/proc/meminfo has no Shmem")
	return 0
}

// waitEnd says that it is there and waits for the end of its ctx.
var waitEnd = tristrand.Define("faults.waitEnd", func(ctx context.Context, _ int) (int, error) {
	fmt.Println("running")
	<-ctx.Done()
	return 1, nil
})

func interrupted(ctx context.Context) error {
	p := &process.Pool{Workers: 2, JobGrace: time.Minute}
	f, g := waitEnd.Submit(ctx, p, 0), waitEnd.Submit(ctx, p, 0)
	_, err := f.Result(context.WithoutCancel(ctx))
	_, err2 := g.Result(context.WithoutCancel(ctx))
	fmt.Println("the jobs have ended:", err, err2, ctx.Err())
	n, err := echo.Call(context.WithoutCancel(ctx), p, 5)
	fmt.Println("another gives", n, err)
	return p.Close(context.WithoutCancel(ctx))
}

// SIGINT to the whole group, as from a terminal, ends the program's ctx and none of its
// workers, so that it can end in order.
func TestInterruptToTheGroup(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		r := run(t, "interrupt")
		for range 2 {
			if got := r.hear(t); got != "running" {
				t.Fatal(got)
			}
		}
		if err := syscall.Kill(-r.Process.Pid, sig); err != nil {
			t.Fatal(err)
		}
		status, said := r.ends(t)
		if status != 0 || said != "the jobs have ended: <nil> <nil> context canceled\nanother gives 5 <nil>\n" {
			t.Errorf("after %v: status %d, %q", sig, status, said)
		}
	}
}

func interruptedTwice(ctx context.Context) error {
	fmt.Println("running")
	<-ctx.Done()
	fmt.Println("told")
	select {}
}

// The second signal ends the program.
func TestTheSecondInterrupt(t *testing.T) {
	r := run(t, "many")
	r.hear(t)
	_ = r.Process.Signal(os.Interrupt)
	if got := r.hear(t); got != "told" {
		t.Fatal(got)
	}
	until(t, "the second signal ends it", func() bool {
		_ = r.Process.Signal(os.Interrupt) // the first of these may come too early to count
		return !alive(r.Process.Pid)
	})
	if status, _ := r.ends(t); status != -1 {
		t.Errorf("the status is %d", status)
	}
}

// say writes a line a little later.
var say = tristrand.Define("faults.say", func(_ context.Context, s string) (int, error) {
	time.Sleep(100 * time.Millisecond)
	fmt.Println(s)
	return 0, nil
})

// forgets closes and joins nothing.
func forgets(ctx context.Context) error {
	p := &process.Pool{Workers: 2}
	for i := range 5 {
		say.Submit(context.WithoutCancel(ctx), p, fmt.Sprint("job ", i))
	}
	if _, err := process.Start(context.WithoutCancel(ctx), say.Bind("process")); err != nil {
		return err
	}
	_, err := process.Start(context.WithoutCancel(ctx), cub.Bind(0), process.Daemon(), process.Output(io.Discard, nil))
	if err != nil {
		return err
	}
	thread.Start(ctx, "late", func(context.Context) error {
		time.Sleep(50 * time.Millisecond)
		say.Submit(context.WithoutCancel(ctx), p, "of a thread")
		return nil
	})
	return nil
}

// At the end of Main what nobody has closed or joined does its work first; a daemon is
// killed.
func TestMainClosesWhatIsOpen(t *testing.T) {
	r := run(t, "forgets")
	status, said := r.ends(t)
	for _, want := range []string{"job 0\n", "job 4\n", "process\n", "of a thread\n"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is missing in %q", want, said)
		}
	}
	if status != 0 || r.stderr.Len() > 0 {
		t.Errorf("status %d, stderr %q", status, r.stderr.String())
	}
}

func TestMainTellsTheError(t *testing.T) {
	r := run(t, "fails")
	if status, _ := r.ends(t); status != 1 || r.stderr.String() != "it has failed\n" {
		t.Errorf("status %d, stderr %q", status, r.stderr.String())
	}
}

// stops runs jobs without end, and tells of the first that fails.
func stops(ctx context.Context) error {
	p := &process.Pool{Workers: 2}
	lock, err := shm.NewLock("a lock")
	if err != nil {
		return err
	}
	sum, err := shm.NewValue("a sum", 0)
	if err != nil {
		return err
	}
	fmt.Println("running")
	for i := 0; ctx.Err() == nil; i++ {
		b, err := mirror.Call(ctx, p, bytes.Repeat([]byte{1}, i*i%100_000))
		if err == nil && len(b) == i*i%100_000 {
			_, err = addUp.Call(ctx, p, summand{lock, sum, 1})
		}
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("job %d: %w", i, err)
		}
	}
	if st := p.Stats(); st.Restarts > 0 {
		return fmt.Errorf("at the end: %+v", st)
	}
	return p.Close(context.WithoutCancel(ctx))
}

// A program that is stopped for a while goes on as if nothing had been, and so do its
// workers.
func TestTheParentIsStopped(t *testing.T) {
	r := run(t, "stops")
	r.hear(t)
	for range 3 {
		time.Sleep(time.Duration(times(200, 2000)) * time.Millisecond)
		stop(t, r.Process.Pid)
		time.Sleep(time.Duration(times(1, 30)) * time.Second)
		if err := r.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(100 * time.Millisecond)
	_ = r.Process.Signal(os.Interrupt)
	if status, said := r.ends(t); status != 0 {
		t.Errorf("status %d, %s", status, said)
	}
}

// withoutInit uses a pool although the program does not begin as it has to.
func withoutInit() {
	ctx := context.Background()
	p := &process.Pool{Workers: 2}
	_, err := echo.Call(ctx, p, 1)
	_, err2 := process.Start(ctx, echo.Bind(1))
	fmt.Println(err)
	fmt.Println(err2)
	fmt.Println(p.Start(ctx))
	fmt.Println(p.Close(ctx), len(processesOf(os.Getpid())))
}

func processesOf(parent int) (all []proc) {
	for _, p := range processes() {
		if p.parent == parent {
			all = append(all, p)
		}
	}
	return all
}

func TestAProgramWithoutInit(t *testing.T) {
	r := run(t, "no init")
	for range 3 {
		if got := r.hear(t); !strings.Contains(got, "process.Init() first in main") || !strings.Contains(got, "TestMain") {
			t.Errorf("the error is %q", got)
		}
	}
	if got := r.hear(t); got != "<nil> 0" {
		t.Errorf("closing and children: %q", got)
	}
}
