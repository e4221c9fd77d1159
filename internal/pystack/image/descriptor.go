package image

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"
)

// descriptor reads a file by its descriptor.
type descriptor int

// ReadAt implements [io.ReaderAt].
func (d descriptor) ReadAt(b []byte, at int64) (n int, err error) {
	for n < len(b) {
		got, err := unix.Pread(int(d), b[n:], at+int64(n))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return n, err
		}
		if got <= 0 {
			return n, io.EOF
		}
		n += got
	}
	return n, nil
}
