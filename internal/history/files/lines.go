package files

import (
	"bytes"
	"fmt"
	"os"
	"time"
)

const (
	// MaxLine bounds a line, in bytes.
	MaxLine = 256 << 10
	// retryAfter is how long after a fault the directory is tried again.
	retryAfter = time.Minute
	// heldPeriod is how often it is looked whether the directory is still the same one.
	heldPeriod = 10 * time.Second
)

// Lines is a file of lines that grows, with the one before it: name.jsonl and
// name.1.jsonl, half of a size each. It is used by one goroutine at a time.
type Lines struct {
	open func() (*Dir, error)
	name string
	size int64 // of one file

	dir    *Dir
	file   *os.File
	length int64
	err    error // of the last try; nil: none
	retry  time.Time
	looked time.Time
}

// NewLines returns the lines that are stored under a name in the directory that open opens:
// two files with about size bytes together. It opens nothing yet.
func NewLines(open func() (*Dir, error), name string, size int64) *Lines {
	return &Lines{open: open, name: name, size: size / 2}
}

// current returns the name of the file that is appended to.
func (l *Lines) current() string { return l.name + ".jsonl" }

// older returns the name of the file that was full before.
func (l *Lines) older() string { return l.name + ".1.jsonl" }

// ReadLines calls take with each whole line of at most MaxLine bytes of both files of a name, the oldest
// first; take reports whether the line is sound. bad has, by file name, why a file that exists cannot be
// read, or that it has a damaged or longer line. A last line that is not whole is skipped.
func ReadLines(d *Dir, name string, size int64, take func(line []byte) bool) (bad map[string]error) {
	l := Lines{name: name}
	bad = make(map[string]error)
	for _, name := range []string{l.older(), l.current()} {
		content, err := d.Read(name, 2*size)
		if err != nil {
			if !os.IsNotExist(err) {
				bad[name] = err
			}
			continue
		}
		for line := range bytes.Lines(content) {
			whole := line[len(line)-1] == '\n'
			if whole && len(line) <= MaxLine && take(bytes.TrimSpace(line)) {
				continue
			}
			if whole {
				bad[name] = fmt.Errorf("a line of %d bytes is damaged", len(line))
			}
		}
	}
	return bad
}

// Load calls take with the stored lines as [ReadLines] does. It sets files that are damaged or
// cannot be read aside and returns how many; the caller must append their sound lines again.
func (l *Lines) Load(now time.Time, take func(line []byte) bool) (damaged int, err error) {
	if err := l.ready(now); err != nil {
		return 0, err
	}
	bad := ReadLines(l.dir, l.name, l.size, take)
	for name := range bad {
		if err := l.dir.SetAside(name, l.name); err != nil {
			return len(bad), l.fault(now, err)
		}
	}
	return len(bad), nil
}

// Append writes whole lines. A new file begins with the lines that first returns. After an
// error the caller must append the same lines again, though some may be written already;
// until the directory is tried again, it returns the last error.
func (l *Lines) Append(now time.Time, lines []byte, first func() []byte) error {
	if err := l.ready(now); err != nil {
		return err
	}
	if now.Sub(l.looked) >= heldPeriod {
		l.looked = now
		if err := l.dir.Held(); err != nil {
			return l.fault(now, err)
		}
	}
	if l.file == nil {
		if err := l.resume(); err != nil {
			return l.fault(now, err)
		}
	}
	if l.length > 0 && l.length+int64(len(lines)) > l.size {
		if err := l.rotate(first()); err != nil {
			return l.fault(now, err)
		}
	}
	n, err := l.file.Write(lines)
	if l.length += int64(n); err != nil {
		return l.fault(now, err)
	}
	return nil
}

// resume opens the current file for appending, and cuts off a last line that is not
// whole.
func (l *Lines) resume() error {
	content, err := l.dir.Read(l.current(), 2*l.size)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	if l.file, err = l.dir.Append(l.current(), 2*l.size); err != nil {
		return err
	}
	l.length = int64(bytes.LastIndexByte(content, '\n') + 1)
	if l.length < int64(len(content)) {
		return l.file.Truncate(l.length)
	}
	return nil
}

// rotate makes the current file the older one, and begins a new one with the lines first.
func (l *Lines) rotate(first []byte) error {
	_ = l.file.Close()
	l.file = nil
	if err := l.dir.Rename(l.current(), l.older()); err != nil {
		return err
	}
	f, err := l.dir.Replace(l.current(), first)
	l.file, l.length = f, int64(len(first))
	return err
}

// ready opens the directory if it is closed. After a fault it returns that error until
// the next try is due.
func (l *Lines) ready(now time.Time) error {
	if l.dir != nil {
		return nil
	}
	if now.Before(l.retry) {
		return l.err
	}
	dir, err := l.open()
	if err != nil {
		return l.fault(now, err)
	}
	l.dir, l.looked = dir, now
	return nil
}

// fault closes the files for a while, and returns err.
func (l *Lines) fault(now time.Time, err error) error {
	l.Close()
	l.err, l.retry = err, now.Add(retryAfter)
	return err
}

// Check returns nil if the directory is open, and else opens it; whether its files can be written
// is not checked. An error: it cannot be opened, or the last error, until the next try is due.
func (l *Lines) Check(now time.Time) error { return l.ready(now) }

// Close closes the file and the directory.
func (l *Lines) Close() {
	if l.file != nil {
		_ = l.file.Close()
	}
	if l.dir != nil {
		_ = l.dir.Close()
	}
	l.file, l.dir = nil, nil
}
