package cgroup

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// errLong says that a file holds more than its parser will look at.
var errLong = errors.New("file is too long")

// file reads the kernel's small files one after another into one buffer. What
// read returns holds until the next read.
//
// It calls the kernel directly: os.Open would put each of these files into the
// poller, which costs more than reading them.
type file struct{ buf []byte }

const (
	firstLen = 8 << 10
	maxLen   = 1 << 20 // the mount table of a host with thousands of containers
)

func (f *file) read(name string) ([]byte, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	defer func() { _ = unix.Close(fd) }()
	if f.buf == nil {
		f.buf = make([]byte, firstLen)
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
		if n >= maxLen {
			return nil, fmt.Errorf("%s: %w", name, errLong)
		}
		f.buf = append(f.buf, make([]byte, n)...)
	}
}
