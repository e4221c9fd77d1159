package journal

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// Lines is a file of lines beside the journal, in the same directory: what is appended is
// on the disk when Append returns.
type Lines struct {
	dir   *stateDir
	name  string
	limit int64 // bytes

	mu     sync.Mutex
	file   *os.File
	length int64 // in whole lines
}

// OpenLines opens a file of lines, which it makes if there is none, and calls visit with
// each whole line, also an empty one, and one longer than LineSize in pieces; a last line
// without an end is cut off. A line is valid until the next one. limit is the size in bytes
// that the file may have.
func (s *Store) OpenLines(name string, limit int64, visit func(line []byte)) (*Lines, error) {
	f, err := s.dir.open(name, os.O_RDWR|os.O_CREATE|os.O_APPEND, limit)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	l := &Lines{dir: s.dir, name: name, limit: limit, file: f}
	in := bufio.NewReaderSize(io.LimitReader(f, limit), LineSize)
	for {
		line, err := in.ReadSlice('\n')
		l.length += int64(len(line))
		switch {
		case errors.Is(err, bufio.ErrBufferFull): // longer than any that is written; the rest of it is another broken line
		case errors.Is(err, io.EOF):
			l.length -= int64(len(line)) // it was cut off by a crash
			return l, f.Truncate(l.length)
		case err != nil:
			return nil, errors.Join(fmt.Errorf("%s: %w", name, err), f.Close())
		}
		visit(bytes.TrimSuffix(line, []byte("\n")))
	}
}

// Append appends whole lines and syncs them. With an error nothing of them is in the file,
// or a part that the next Append cuts off, unless only the check after the write failed. It
// is an error if the file would grow beyond its limit, or [ErrLost] if it was replaced.
func (l *Lines) Append(data []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.ready(); err != nil {
		return err
	}
	if l.length+int64(len(data)) > l.limit {
		return fmt.Errorf("%s: the file is full", l.name)
	}
	_, err := l.file.Write(data)
	if err == nil {
		err = l.file.Sync()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w", l.name, err), l.file.Truncate(l.length))
	}
	l.length += int64(len(data))
	return l.held()
}

// ready returns nil if the file is the one at the path, and cuts off all behind the last
// line that was written, whoever wrote it. [ErrLost]: the file was replaced or became
// shorter.
func (l *Lines) ready() error {
	if err := l.held(); err != nil {
		return err
	}
	info, err := l.file.Stat()
	switch {
	case err != nil:
		return err
	case info.Size() < l.length:
		return fmt.Errorf("%w: %s was changed by another process", ErrLost, l.name)
	case info.Size() > l.length:
		return l.file.Truncate(l.length)
	}
	return nil
}

// held returns nil if the lock is held and the file is the one that was opened. ErrClosed:
// it is closed. [ErrLost]: it was replaced.
func (l *Lines) held() error {
	if l.file == nil {
		return ErrClosed
	}
	if err := l.dir.checkHeld(); err != nil {
		return err
	}
	return l.dir.checkSame(l.name, l.file)
}

// Replace replaces all lines at once. With an error the file has the old ones, unless only
// syncing the directory or closing the old file failed.
func (l *Lines) Replace(data []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.held(); err != nil {
		return err
	}
	f, err := l.dir.write(l.name+suffixNew, data)
	if err != nil {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	if err := l.dir.root.Rename(l.name+suffixNew, l.name); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", l.name, err), f.Close())
	}
	err = errors.Join(l.dir.self.Sync(), l.file.Close())
	l.file, l.length = f, int64(len(data))
	return err
}

// Size returns the size of the file's whole lines in bytes.
func (l *Lines) Size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.length
}

// Close closes the file; nil if it is closed already.
func (l *Lines) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}
