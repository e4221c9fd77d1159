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
	errLinks  = errors.New("it has several hard links")
)

// Dir is the state directory. Every file in it is opened, renamed and removed by the
// directory's descriptor.
type Dir struct {
	path string
	root *os.Root
	lock *os.File // nil: it is only read
	name string   // of lock
}

// Open opens the state directory at path, which must exist, for the one exporter that
// writes the files of a kind there.
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

// OpenToRead opens the state directory at path, which must exist.
func OpenToRead(path string) (*Dir, error) {
	root, err := safefile.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return &Dir{path: path, root: root}, nil
}

// Close closes the directory, and lets another exporter write to it.
func (d *Dir) Close() error {
	err := d.root.Close()
	if d.lock != nil {
		err = errors.Join(err, d.lock.Close())
	}
	return err
}

// Held returns [ErrLost] unless the directory is the one at its path, and its lock file
// the one that was locked.
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

// Writable returns why the exporter's user cannot make files in the directory; nil: it can.
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

// Names returns the names in the directory, sorted, at most 10,000 of them.
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

// Read returns the content of a file, which must be a regular one of at most limit
// bytes with one name, that nobody but root and the exporter's user can write.
func (d *Dir) Read(name string, limit int64) ([]byte, error) {
	f, err := d.open(name, os.O_RDONLY, limit)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return safefile.ReadAll(f, limit)
}

// Replace writes a file with the given content in place of the one with the name, and
// returns it open for appending. Until it is whole, the old one stays.
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

// Append opens a file for appending, as [Dir.Read] does; it makes one that is not there.
func (d *Dir) Append(name string, limit int64) (*os.File, error) {
	return d.open(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, limit)
}

// SetAside renames a file that is damaged or may not be read: [Damaged] is added to
// the name that all such files of its kind get, so that one of them is kept.
func (d *Dir) SetAside(name, kind string) error { return d.root.Rename(name, kind+Damaged) }

// Rename renames a file, over one that has the name.
func (d *Dir) Rename(from, to string) error { return d.root.Rename(from, to) }

// Remove removes a file; one that is not there is no error.
func (d *Dir) Remove(name string) error {
	if err := d.root.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// open opens a file if it is acceptable. Nothing is waited for, and no link followed.
func (d *Dir) open(name string, flag int, limit int64) (*os.File, error) {
	info, err := d.root.Lstat(name)
	switch {
	case err == nil:
		err = acceptable(info, limit)
	case flag&os.O_CREATE != 0 && errors.Is(err, fs.ErrNotExist):
		err = nil
		flag |= os.O_EXCL
	}
	if err != nil {
		return nil, unusable(name, err)
	}
	f, err := d.root.OpenFile(name, flag|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0o600)
	if err != nil {
		return nil, err
	}
	is, err := f.Stat()
	if err == nil {
		err = acceptable(is, limit)
	}
	if err == nil && info != nil && !os.SameFile(info, is) {
		err = errors.New("it was replaced while it was opened")
	}
	if err != nil {
		_ = f.Close()
		return nil, unusable(name, err)
	}
	return f, nil
}

// acceptable returns why a file is not used; nil: it is.
func acceptable(info fs.FileInfo, limit int64) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular() || !ok:
		return safefile.ErrNotRegular
	case info.Size() > limit:
		return safefile.ErrTooLarge
	case st.Uid != 0 && int64(st.Uid) != int64(os.Geteuid()):
		return safefile.ErrOwner
	case info.Mode().Perm()&0o022 != 0:
		return safefile.ErrMode
	case st.Nlink > 1:
		return errLinks
	}
	return nil
}

func unusable(name string, err error) error {
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return err
	}
	return &fs.PathError{Op: "open safely", Path: name, Err: err}
}
