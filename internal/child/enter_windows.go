package child

import (
	"os"
	"unsafe"

	"golang.org/x/sys/windows"
)

func setJob(h windows.Handle, limits *windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION) error {
	_, err := windows.SetInformationJobObject(h, windows.JobObjectExtendedLimitInformation,
		uintptr(unsafe.Pointer(limits)), uint32(unsafe.Sizeof(*limits)))
	return err
}

func parentPID() int { return os.Getppid() }

// inherit makes a file of a handle, and keeps it from this process's children.
func inherit(n uint64, name string) *os.File {
	_ = windows.SetHandleInformation(windows.Handle(n), windows.HANDLE_FLAG_INHERIT, 0)
	return os.NewFile(uintptr(n), name)
}

func inheritReport(n uint64) *os.File { return inherit(n, "child report") }

// neverBlock is not needed: the parent reads.
func neverBlock(*os.File) {}

// closeStrays has nothing to do: only listed handles are inherited.
func closeStrays([]uint64, uint64) {}
