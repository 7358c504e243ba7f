package shm_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fxamacker/cbor/v2"

	"github.com/tristrand/tristrand/internal/parcel"
	"github.com/tristrand/tristrand/internal/portable"
	"github.com/tristrand/tristrand/internal/segment"
)

// A part is what the test binary does when it is started as another process: it
// gets what was sent and a line of input at a time.
type part func(in []byte, lines *bufio.Scanner, out io.Writer) error

// parts are those of all the tests.
var parts = map[string]part{
	"upper": upperPart,
	"die":   diePart,
	"drain": drainPart,
	"echo":  echoPart,
	"relay": relayPart,
	"serve": servePart,
	"sink":  sinkPart,
	"tally": tallyPart,
}

const partVariable = "TRISTRAND_SHM_PART"

func TestMain(m *testing.M) {
	testMain = m
	if name := os.Getenv(partVariable); name != "" {
		playPart(name)
	}
	os.Exit(m.Run())
}

// playPart runs the part that this process was started for.
func playPart(name string) {
	play, ok := parts[name]
	if !ok {
		play, ok = primitiveParts()[name]
	}
	if !ok {
		fmt.Fprintf(os.Stderr, "no part is called %q\n", name)
		os.Exit(2)
	}
	parent := os.Getppid()
	go func() { // a test that was killed leaves nobody behind
		for os.Getppid() == parent {
			time.Sleep(time.Second)
		}
		os.Exit(3)
	}()
	err := func() error {
		in, err := receive(os.Getenv(partVariable + "_SEGMENTS"))
		if err != nil {
			return err
		}
		return play(in, bufio.NewScanner(os.Stdin), os.Stdout)
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, name+":", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// receive adopts the segments that came as descriptors from 3 on.
func receive(keys string) ([]byte, error) {
	var all []segment.Key
	if err := json.Unmarshal([]byte(keys), &all); err != nil {
		return nil, err
	}
	for i, key := range all {
		if _, err := segment.Adopt(key, 3+i); err != nil {
			return nil, err
		}
	}
	return io.ReadAll(os.NewFile(uintptr(3+len(all)), "input"))
}

// An other is another process of this binary.
type other struct {
	*exec.Cmd
	t     testing.TB
	in    io.WriteCloser
	lines *bufio.Scanner
	err   strings.Builder
	kill  sync.Once
}

// start starts a part in another process and sends it v.
func start(t testing.TB, name string, v any) *other {
	t.Helper()
	return startWith(t, name, v)
}

// startWith is start with files that come after the input, as descriptors; it
// closes them here.
func startWith(t testing.TB, name string, v any, files ...*os.File) *other {
	t.Helper()
	var p parcel.Parcel
	defer p.Close()
	if err := portable.Pack("input", v, &p); err != nil {
		t.Fatal(err)
	}
	data, err := cbor.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	o := &other{Cmd: exec.Command(os.Args[0], "-test.run=^$"), t: t}
	keys := []segment.Key{}
	for _, s := range p.Segments() {
		fd, err := unix.FcntlInt(uintptr(s.FD()), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		f := os.NewFile(uintptr(fd), "segment")
		defer f.Close()
		keys = append(keys, s.Key())
		o.ExtraFiles = append(o.ExtraFiles, f)
	}
	file, err := os.CreateTemp(t.TempDir(), "input")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Write(data); err != nil {
		t.Fatal(err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	o.ExtraFiles = append(append(o.ExtraFiles, file), files...)
	text, err := json.Marshal(keys)
	if err != nil {
		t.Fatal(err)
	}
	o.Env = append(os.Environ(), partVariable+"="+name, partVariable+"_SEGMENTS="+string(text), "GORACE=atexit_sleep_ms=0")
	o.Stderr = &o.err
	out, err := o.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if o.in, err = o.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	o.lines = bufio.NewScanner(out)
	if err := o.Start(); err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		f.Close()
	}
	t.Cleanup(func() { o.end(true) })
	return o
}

// say sends a line.
func (o *other) say(line string) {
	o.t.Helper()
	if _, err := fmt.Fprintln(o.in, line); err != nil {
		o.t.Fatalf("%v\n%s", err, &o.err)
	}
}

// hear waits for the next line.
func (o *other) hear() string {
	o.t.Helper()
	if !o.lines.Scan() {
		o.end(false)
		o.t.Fatalf("the other process said no more: %v\n%s", o.lines.Err(), &o.err)
	}
	return o.lines.Text()
}

// end ends the process, by force or by closing its input, and waits for it.
func (o *other) end(force bool) {
	o.kill.Do(func() {
		if force {
			_ = o.Process.Kill()
		}
		o.in.Close()
		if err := o.Wait(); err != nil && !force {
			o.t.Errorf("%v\n%s", err, &o.err)
		}
	})
}
