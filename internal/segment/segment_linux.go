package segment

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

const (
	sealsNeeded = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW
	sealsMade   = sealsNeeded | unix.F_SEAL_SEAL

	tmpfsMagic = 0x01021994

	// fallocate undoes all of one call when a signal comes in, and the Go
	// runtime sends signals: a step must be short enough to get through.
	allocateStep = 4 << 20
)

// create makes a sealed memory file that has its memory, and maps it.
func create(name string, size int) (fd int, mem []byte, err error) {
	if err := room(size); err != nil {
		return -1, nil, err
	}
	return build(name, size, func(fd int) error { return allocate(fd, size) })
}

// reserve makes one that gets its memory as it is used.
func reserve(name string, size int) (fd int, mem []byte, err error) {
	return build(name, size, func(int) error { return nil })
}

func build(name string, size int, fill func(fd int) error) (fd int, mem []byte, err error) {
	var most unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &most); err == nil && uint64(size) > most.Cur {
		// The system would answer with a signal that ends the process.
		return -1, nil, fmt.Errorf("%w: files may have %d bytes (ulimit -f)", unix.EFBIG, most.Cur)
	}
	if fd, err = memfd(name); err != nil {
		return -1, nil, err
	}
	defer func() {
		if err != nil {
			closeFD(fd)
		}
	}()
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		return -1, nil, advise("ftruncate", err)
	}
	if err := fill(fd); err != nil {
		return -1, nil, advise("fallocate", err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, sealsMade); err != nil {
		return -1, nil, advise("fcntl(F_ADD_SEALS)", err)
	}
	mem, err = mapped(fd, size)
	return fd, mem, err
}

// memfd makes an empty memory file. Some systems want it said that nobody will
// execute it, older ones do not know the word.
func memfd(name string) (int, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	if len(name) > 200 { // the system takes 249 bytes
		name = name[:200]
	}
	fd, err := unix.MemfdCreate(name, flags|unix.MFD_NOEXEC_SEAL)
	if errors.Is(err, unix.EINVAL) {
		fd, err = unix.MemfdCreate(name, flags)
	}
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return -1, fmt.Errorf("memfd_create: %w: %w", ErrUnsupported, err)
	}
	if err != nil {
		return -1, advise("memfd_create", err)
	}
	return fd, nil
}

func allocate(fd, size int) error {
	for at := 0; at < size; {
		n := min(allocateStep, size-at)
		switch err := unix.Fallocate(fd, 0, int64(at), int64(n)); {
		case err == nil:
			at += n
		case !errors.Is(err, unix.EINTR):
			return err
		}
	}
	return nil
}

func punch(fd, from, to int) error {
	for {
		err := unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(from), int64(to-from))
		if !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("fallocate(PUNCH_HOLE)", err)
		}
	}
}

// receive checks a descriptor that another process has sent, and maps it.
func receive(fd int) ([]byte, error) {
	// The seals come first: they are what makes the size below stay true. Only
	// memory files can have them; the type of the file system is asked for too,
	// because one of huge pages could run out of them at an access.
	seals, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
	if err != nil {
		return nil, fmt.Errorf("it is no memory file: fcntl(F_GET_SEALS): %w", err)
	}
	if seals&sealsNeeded != sealsNeeded {
		return nil, fmt.Errorf("it is not sealed against shrinking and growing (seals %#x)", seals)
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return nil, fmt.Errorf("fstatfs: %w", err)
	}
	if uint32(fs.Type) != tmpfsMagic { // the field's width differs by architecture, the number does not
		return nil, fmt.Errorf("it is no memory file: its file system is %#x", fs.Type)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("fstat: %w", err)
	}
	if st.Size <= 0 || st.Size != int64(int(st.Size)) {
		return nil, fmt.Errorf("its size is %d bytes", st.Size)
	}
	unix.CloseOnExec(fd)
	return mapped(fd, int(st.Size))
}

func mapped(fd, size int) ([]byte, error) {
	mem, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, advise("mmap", err)
	}
	return mem, nil
}

// populate fills the page tables. It is for speed: what fails shows at an access.
func populate(mem []byte) {
	const populateWrite = 23 // MADV_POPULATE_WRITE, Linux 5.14
	if unix.Madvise(mem, populateWrite) == nil {
		return
	}
	sum := byte(0)
	for i := 0; i < len(mem); i += os.Getpagesize() {
		sum += mem[i]
	}
	runtime.KeepAlive(sum)
}

func sameFile(a, b int) (bool, error) {
	var sa, sb unix.Stat_t
	if err := errors.Join(unix.Fstat(a, &sa), unix.Fstat(b, &sb)); err != nil {
		return false, fmt.Errorf("fstat: %w", err)
	}
	return sa.Dev == sb.Dev && sa.Ino == sb.Ino, nil
}

func unmap(mem []byte) {
	if err := unix.Munmap(mem); err != nil {
		panic(fmt.Sprintf("tristrand: bug: munmap of a segment: %v", err))
	}
}

// closeFD closes what the process owns; on Linux the descriptor is gone whatever
// close returns.
func closeFD(fd int) { _ = unix.Close(fd) }

// advise says what to do about the errors that a program can do something about.
func advise(call string, err error) error {
	switch {
	case errors.Is(err, unix.EMFILE):
		return fmt.Errorf("%s: %w: close what is not needed or raise the limit of descriptors (ulimit -n)", call, err)
	case errors.Is(err, unix.ENFILE):
		return fmt.Errorf("%s: %w: the whole machine is out of descriptors (fs.file-max)", call, err)
	case errors.Is(err, unix.ENOMEM), errors.Is(err, unix.ENOSPC):
		return fmt.Errorf("%s: %w: there is not that much memory, or the process has too many mappings (vm.max_map_count)", call, err)
	}
	return fmt.Errorf("%s: %w", call, err)
}
