package image

import (
	"bytes"
	"errors"
	"io/fs"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// maxMaps bounds what is read of /proc/PID/maps. The kernel's default limit of
// mappings, 65,530, fits.
const maxMaps = 8 << 20

// mapping is one line of /proc/PID/maps with a file.
type mapping struct {
	start, end uint64
	inode      uint64
	path       []byte // valid until the next line is read
}

// eachMapping calls f with the mappings of files, in the order of their addresses, until f
// returns false; of the first 8 MiB of /proc/PID/maps.
func eachMapping(r *procfs.FS, pid int, f func(mapping) bool) error {
	path := r.Path(pid, "maps")
	fd, err := procfs.OpenRetry(path, unix.O_RDONLY|unix.O_CLOEXEC)
	if err != nil {
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	buf := make([]byte, 16<<10)
	kept, total := 0, 0
	for total < maxMaps {
		n, err := unix.Read(fd, buf[kept:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return &fs.PathError{Op: "read", Path: path, Err: err}
		}
		if n <= 0 {
			return nil
		}
		total += n
		rest, more := eachLine(buf[:kept+n], f)
		if !more {
			return nil
		}
		if len(rest) == len(buf) {
			rest = nil // no line is so long
		}
		kept = copy(buf, rest)
	}
	return nil
}

// eachLine calls f with the mappings of the whole lines of b. It returns what is behind
// the last one, and true; nil and false once f returned false.
func eachLine(b []byte, f func(mapping) bool) (rest []byte, more bool) {
	for {
		line, after, ok := bytes.Cut(b, []byte("\n"))
		if !ok {
			return b, true
		}
		if m, ok := parseMapping(line); ok && !f(m) {
			return nil, false
		}
		b = after
	}
}

// parseMapping returns the mapping of "START-END PERMS OFFSET DEV INODE PATH"; ok is false
// for one without a file's path from "/", and for a malformed line.
func parseMapping(line []byte) (m mapping, ok bool) {
	var field [5][]byte
	for i := range field {
		line = bytes.TrimLeft(line, " ")
		field[i], line, ok = bytes.Cut(line, []byte(" "))
		if !ok {
			return m, false
		}
	}
	m.path = bytes.TrimLeft(line, " ")
	if len(m.path) == 0 || m.path[0] != '/' {
		return m, false
	}
	from, to, ok := bytes.Cut(field[0], []byte("-"))
	if !ok {
		return m, false
	}
	var errs [3]error
	m.start, errs[0] = strconv.ParseUint(string(from), 16, 64)
	m.end, errs[1] = strconv.ParseUint(string(to), 16, 64)
	m.inode, errs[2] = strconv.ParseUint(string(field[4]), 10, 64)
	return m, errs == [3]error{}
}
