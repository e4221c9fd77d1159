package pystacktest

import (
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// MissingPage returns an address of this process whose page stays missing until release is
// called (userfaultfd(2), like a page of a file system in user space that hangs).
func MissingPage(t *testing.T) (addr uint64, release func()) {
	t.Helper()
	const (
		api, register  = 0xc018aa3f, 0xc020aa00 // UFFDIO_API, UFFDIO_REGISTER
		apiVersion     = 0xaa
		registerAbsent = 1
	)
	fd, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, unix.O_CLOEXEC|unix.O_NONBLOCK, 0, 0)
	if errno != 0 {
		t.Fatalf("userfaultfd: %v; the test needs root", errno)
	}
	size := os.Getpagesize()
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	addr = uint64(uintptr(unsafe.Pointer(&b[0])))
	hello := [3]uint64{apiVersion}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, api, uintptr(unsafe.Pointer(&hello))); errno != 0 {
		t.Fatalf("UFFDIO_API: %v", errno)
	}
	area := [4]uint64{addr, uint64(size), registerAbsent}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, register, uintptr(unsafe.Pointer(&area))); errno != 0 {
		t.Fatalf("UFFDIO_REGISTER: %v", errno)
	}
	closed := false
	release = func() {
		if !closed {
			closed = true
			_ = unix.Close(int(fd)) // the waiting reader gets a page of zeros
		}
	}
	t.Cleanup(func() { release(); _ = unix.Munmap(b) })
	return addr, release
}
