// Package files keeps files of the history in the state directory: only root and the
// exporter's user may have written them, and one exporter alone writes them.
package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/safefile"
)

const (
	// Damaged is the suffix of a file that was set aside; newName that of one that is not
	// whole yet.
	Damaged = ".damaged"
	newName = ".new"
	// maxNames is how many names of the directory are read.
	maxNames = 10_000
)

// Errors of the directory.
var (
	ErrLocked = errors.New("another exporter keeps its history in the state directory")
	ErrLost   = errors.New("the state directory was removed or replaced")
)

// Dir is the state directory. Its methods may be called by several goroutines, also while
// it is closed. Every file in it is opened, renamed and removed by the
// directory's descriptor.
type Dir struct {
	path string
	root *os.Root
	lock *os.File // nil: it is only read
	name string   // of lock
}

// Open opens the state directory at path, which must exist, and locks it for the files of
// a kind: [ErrLocked] if another exporter writes these there.
func Open(path, kind string) (*Dir, error) {
	d, err := OpenToRead(path)
	if err != nil {
		return nil, err
	}
	d.name = kind + ".lock"
	if d.lock, err = d.open(d.name, os.O_RDWR|os.O_CREATE, 0); err == nil {
		err = syscall.Flock(int(d.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) //nolint:gosec // a descriptor fits an int
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrLocked
	}
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// OpenToRead opens the state directory at path, which must exist, without a lock.
func OpenToRead(path string) (*Dir, error) {
	root, err := safefile.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return &Dir{path: path, root: root}, nil
}

// Reader returns the same directory without its lock, for reading. It stays open when d is
// closed.
func (d *Dir) Reader() (*Dir, error) {
	root, err := d.root.OpenRoot(".")
	if err != nil {
		return nil, err
	}
	return &Dir{path: d.path, root: root}, nil
}

// Close closes the directory and frees its lock, so that another exporter may write to
// it.
func (d *Dir) Close() error {
	err := d.root.Close()
	if d.lock != nil {
		err = errors.Join(err, d.lock.Close())
	}
	return err
}

// Held returns nil if the directory still is the one at its path, and its lock file, if
// it has one, the one that was locked; else, also if that cannot be read, [ErrLost].
func (d *Dir) Held() error {
	at, err := os.Stat(d.path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrLost, err)
	}
	is, err := d.root.Stat(".")
	if err != nil || !os.SameFile(at, is) {
		return errors.Join(ErrLost, err)
	}
	if d.lock == nil {
		return nil
	}
	if at, err = d.root.Lstat(d.name); err == nil {
		is, err = d.lock.Stat()
	}
	if err != nil || !os.SameFile(at, is) {
		return errors.Join(ErrLost, err)
	}
	return nil
}

// Writable returns the error by which the exporter's user cannot make files in the
// directory; nil if it can.
func (d *Dir) Writable() error {
	f, err := d.root.Open(".")
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := unix.Faccessat(int(f.Fd()), ".", unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil { //nolint:gosec // a descriptor fits an int
		return &fs.PathError{Op: "write", Path: d.path, Err: err}
	}
	return nil
}

// Names returns the names in the directory, sorted; only some, without an error, beyond
// 10,000 of them, or if reading fails after some.
func (d *Dir) Names() ([]string, error) {
	f, err := d.root.Open(".")
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	names, err := f.Readdirnames(maxNames)
	slices.Sort(names)
	if len(names) > 0 || errors.Is(err, io.EOF) { // an empty directory
		err = nil
	}
	return names, err
}

// Read returns the content of a file. It returns an error if the file is larger than
// limit bytes, no regular one, has several names, or if anybody but root and the
// exporter's user can write it.
func (d *Dir) Read(name string, limit int64) ([]byte, error) {
	f, err := d.open(name, os.O_RDONLY, limit)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return safefile.ReadAll(f, limit)
}

// ReadTo appends to a slice what a file has when it is opened, at most limit bytes, and
// returns the slice; less if the file is cut off meanwhile. The errors are those of
// [Dir.Read].
func (d *Dir) ReadTo(into []byte, name string, limit int64) ([]byte, error) {
	f, err := d.open(name, os.O_RDONLY, limit)
	if err != nil {
		return into, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return into, err
	}
	before, size := len(into), int(min(info.Size(), limit))
	into = slices.Grow(into, size)
	n, err := io.ReadFull(f, into[before:before+size])
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) { // it was cut off meanwhile
		err = nil
	}
	return into[:before+n], err
}

// Size returns the size of a file in bytes; of a link that of the link itself.
func (d *Dir) Size(name string) (int64, error) {
	info, err := d.root.Lstat(name)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Replace replaces the file of a name by one with this content, and returns it open for
// appending. The old file stays until the new one is written as a whole, also after an
// error.
func (d *Dir) Replace(name string, content []byte) (*os.File, error) {
	fresh := name + newName
	if err := d.Remove(fresh); err != nil {
		return nil, err
	}
	f, err := d.root.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	if _, err = f.Write(content); err == nil {
		err = d.root.Rename(fresh, name)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), d.Remove(fresh))
	}
	return f, nil
}

// Append opens a file for appending, which it makes if there is none. It refuses the
// files that [Dir.Read] refuses.
func (d *Dir) Append(name string, limit int64) (*os.File, error) {
	return d.open(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, limit)
}

// SetAside renames a file that is damaged or unreadable to kind + [Damaged]. It replaces
// the last such file of the kind, so that one is kept.
func (d *Dir) SetAside(name, kind string) error { return d.root.Rename(name, kind+Damaged) }

// Rename renames a file. It replaces a file that has the new name.
func (d *Dir) Rename(from, to string) error { return d.root.Rename(from, to) }

// Remove removes a file. That there is none is no error.
func (d *Dir) Remove(name string) error {
	if err := d.root.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// open opens a file in the directory as [safefile.OpenOwn] does.
func (d *Dir) open(name string, flag int, limit int64) (*os.File, error) {
	return safefile.OpenOwn(d.root, name, flag, limit)
}
