package segment_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tristrand/tristrand/internal/segment"
)

// asChild names the part that this binary plays when it is started by a test.
const asChild = "TRISTRAND_SEGMENT_TEST"

func TestMain(m *testing.M) {
	if os.Getenv(asChild) == "upper" {
		os.Exit(upper())
	}
	os.Exit(m.Run())
}

// upper adopts descriptor 3 under the key in the environment and works on it.
func upper() int {
	var key segment.Key
	copy(key[:], os.Getenv("SEGMENT_KEY"))
	s, err := segment.Adopt(key, 3)
	if err != nil {
		println(err.Error())
		return 1
	}
	copy(s.Bytes(), bytes.ToUpper(s.Bytes()[:5]))
	s.Release()
	return 0
}

func make1(t *testing.T, size int) *segment.Segment {
	t.Helper()
	s, err := segment.New("test", size)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// dup returns a descriptor of its own for what fd is.
func dup(t *testing.T, fd int) int {
	t.Helper()
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func isOpen(fd int) bool {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil
}

func TestTwoProcessesShareTheBytes(t *testing.T) {
	s := make1(t, 4096)
	defer s.Release()
	copy(s.Bytes(), "hello")
	f := os.NewFile(uintptr(dup(t, s.FD())), "segment")
	defer f.Close()
	key := strings.Repeat("k", 16) // without zeros, for the environment
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), asChild+"=upper", "SEGMENT_KEY="+key, "GORACE=atexit_sleep_ms=0")
	cmd.ExtraFiles = []*os.File{f}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the other process: %v\n%s", err, out)
	}
	if got := string(s.Bytes()[:5]); got != "HELLO" {
		t.Errorf("the other process left %q", got)
	}
}

func TestNewIsSealedAndWhole(t *testing.T) {
	s := make1(t, 3<<20)
	defer s.Release()
	for _, size := range []int64{0, 1 << 20, 8 << 20} {
		if err := unix.Ftruncate(s.FD(), size); !errors.Is(err, unix.EPERM) {
			t.Errorf("ftruncate to %d: %v, want EPERM", size, err)
		}
	}
	if _, err := unix.FcntlInt(uintptr(s.FD()), unix.F_ADD_SEALS, unix.F_SEAL_FUTURE_WRITE); !errors.Is(err, unix.EPERM) {
		t.Errorf("another process could seal it against writing: %v", err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(s.FD(), &st); err != nil {
		t.Fatal(err)
	}
	if st.Blocks*512 < st.Size || st.Size != 3<<20 {
		t.Errorf("%d of %d bytes have memory", st.Blocks*512, st.Size)
	}
	if flags, err := unix.FcntlInt(uintptr(s.FD()), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("programs that are started would inherit it: flags %#x, %v", flags, err)
	}
}

func TestSparseTakesMemoryAsItIsUsed(t *testing.T) {
	const size, used = 1 << 30, 1 << 20
	s, err := segment.NewSparse("test", size)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	has := func() int64 {
		var st unix.Stat_t
		if err := unix.Fstat(s.FD(), &st); err != nil {
			t.Fatal(err)
		}
		return st.Blocks * 512
	}
	if n := has(); n != 0 {
		t.Errorf("unused it has %d bytes of memory", n)
	}
	for i := range used {
		s.Bytes()[i] = 1
	}
	if n := has(); n < used || n > 4*used {
		t.Errorf("with %d bytes used it has %d", used, n)
	}
	if err := s.Punch(4096, used); err != nil {
		t.Fatal(err)
	}
	if n := has(); n > 2*4096 {
		t.Errorf("given back, it has %d bytes", n)
	}
	if s.Bytes()[0] != 1 || s.Bytes()[4096] != 0 {
		t.Errorf("the bytes are %d and %d", s.Bytes()[0], s.Bytes()[4096])
	}
	if err := unix.Ftruncate(s.FD(), 0); !errors.Is(err, unix.EPERM) {
		t.Errorf("it is not sealed: %v", err)
	}
	if err := segment.Room(1 << 50); !errors.Is(err, unix.ENOMEM) {
		t.Errorf("there is room for a pebibyte: %v", err)
	}
}

func TestSizesThatCannotBe(t *testing.T) {
	n, _ := segment.Count()
	for _, size := range []int{0, -1, 1 << 46} {
		s, err := segment.New("test", size)
		if err == nil {
			s.Release()
			t.Errorf("a segment of %d bytes was made", size)
		} else if size > 0 && !errors.Is(err, unix.ENOMEM) {
			t.Errorf("%d bytes: %v, want ENOMEM", size, err)
		}
	}
	if after, _ := segment.Count(); after != n {
		t.Errorf("%d segments are left over", after-n)
	}
}

func TestLastReleaseCloses(t *testing.T) {
	s := make1(t, 4096)
	key, fd := s.Key(), s.FD()
	told := 0
	s.OnClose(func() { told++ })
	if again := segment.Lookup(key); again != s {
		t.Fatalf("Lookup: %p, want %p", again, s)
	}
	again, err := segment.Adopt(key, dup(t, fd))
	if err != nil || again != s {
		t.Fatalf("Adopt of a known segment: %p, %v, want %p", again, err, s)
	}
	s.Retain()
	for range 3 {
		s.Release()
		if told != 0 || !isOpen(fd) || s.Bytes()[4095] != 0 {
			t.Fatalf("closed too early")
		}
	}
	s.Release()
	if told != 1 || isOpen(fd) || segment.Lookup(key) != nil {
		t.Errorf("after the last release: told %d, open %v, known %v", told, isOpen(fd), segment.Lookup(key) != nil)
	}
	s.OnClose(func() { told++ })
	if told != 2 {
		t.Errorf("OnClose after the end was not called")
	}
	for name, late := range map[string]func(){"Release": s.Release, "Retain": s.Retain} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s of a closed segment went through", name)
				}
			}()
			late()
		}()
	}
}

func TestAdoptRefuses(t *testing.T) {
	known := make1(t, 4096)
	defer known.Release()
	memfd := func(size int64, seals int) int {
		fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
		if err == nil {
			err = unix.Ftruncate(fd, size)
		}
		if err == nil {
			_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals)
		}
		if err != nil {
			t.Fatal(err)
		}
		return fd
	}
	file, err := os.Create(t.TempDir() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(pipe[1])
	const both = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW
	tests := []struct {
		name string
		key  segment.Key
		fd   int
		want string
	}{
		{"not sealed", segment.NewKey(), memfd(4096, 0), "not sealed"},
		{"may shrink", segment.NewKey(), memfd(4096, unix.F_SEAL_GROW), "not sealed"},
		{"may grow", segment.NewKey(), memfd(4096, unix.F_SEAL_SHRINK), "not sealed"},
		{"empty", segment.NewKey(), memfd(0, both), "size is 0"},
		{"cannot be written", segment.NewKey(), memfd(4096, both|unix.F_SEAL_WRITE), "mmap"},
		{"a file", segment.NewKey(), dup(t, int(file.Fd())), "no memory file"},
		{"a pipe", segment.NewKey(), pipe[0], "no memory file"},
		{"nothing", segment.NewKey(), 1 << 20, "no memory file"},
		{"another one's key", known.Key(), memfd(4096, both), "other memory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := segment.Adopt(tt.key, tt.fd)
			if err == nil {
				s.Release()
				t.Fatal("it was adopted")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q, want one with %q", err, tt.want)
			}
			if isOpen(tt.fd) {
				t.Error("the descriptor was left open")
			}
		})
	}
}

func TestDescriptorsAndMemoryStayFlat(t *testing.T) {
	n0, b0 := segment.Count()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				s, err := segment.New("test", 8192)
				if err != nil {
					t.Error(err)
					return
				}
				if other := segment.Lookup(s.Key()); other != nil {
					other.Release()
				}
				s.Release()
			}
		})
	}
	wg.Wait()
	if n, b := segment.Count(); n != n0 || b != b0 {
		t.Errorf("%d segments with %d bytes are left over", n-n0, b-b0)
	}
}
