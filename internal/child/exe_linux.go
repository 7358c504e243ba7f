package child

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// image is the file that this process executes, noted by Enter, before anybody
// changes the working directory, for the case that there is no /proc.
type image struct {
	once sync.Once
	path string
	file os.FileInfo
}

var started image

func (b *image) note() {
	b.once.Do(func() {
		path := execName()
		if path == "" || strings.HasPrefix(path, "/proc/") { // there is a /proc, then
			return
		}
		path, err := filepath.Abs(path)
		if err != nil {
			return
		}
		if file, err := os.Stat(path); err == nil {
			b.path, b.file = path, file
		}
	})
}

// get returns the path if the same file is still there, else "".
func (b *image) get() string {
	if b.path == "" {
		return ""
	}
	if file, err := os.Stat(b.path); err != nil || !os.SameFile(file, b.file) {
		return ""
	}
	return b.path
}

// execName is the path that was given to execve, as the kernel tells it.
func execName() string {
	const atExecFn = 31
	auxv, err := unix.Auxv()
	if err != nil {
		return ""
	}
	for _, entry := range auxv {
		if entry[0] == atExecFn && entry[1] != 0 {
			// The kernel wrote the string above the stack, where it stays.
			return unix.BytePtrToString(*(**byte)(unsafe.Pointer(&entry[1])))
		}
	}
	return ""
}
