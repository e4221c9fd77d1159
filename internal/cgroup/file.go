package cgroup

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// errTooLong is the error for a file over maxFileBytes.
var errTooLong = errors.New("file is too long")

// file reads the kernel's small files one after another into one buffer.
//
// It uses system calls: os.Open would add each file to the runtime's poller, which costs
// more than reading it.
type file struct{ buf []byte }

const (
	initialBufferBytes = 8 << 10
	maxFileBytes       = 1 << 20 // the mount table of a host with thousands of containers
)

// read returns the content of a file, valid until the next read. errTooLong: the file has
// 1 MiB or more.
func (f *file) read(name string) ([]byte, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	defer func() { _ = unix.Close(fd) }()
	if f.buf == nil {
		f.buf = make([]byte, initialBufferBytes)
	}
	for n := 0; ; {
		k, err := unix.Read(fd, f.buf[n:])
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return nil, &os.PathError{Op: "read", Path: name, Err: err}
		case k <= 0:
			return f.buf[:n], nil
		}
		if n += k; n < len(f.buf) {
			continue
		}
		if n >= maxFileBytes {
			return nil, fmt.Errorf("%s: %w", name, errTooLong)
		}
		f.buf = append(f.buf, make([]byte, n)...)
	}
}
