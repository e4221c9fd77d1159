package control

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/safefile"
)

const (
	suffix    = ".json"
	prefixNew = ".new." // of a file that is renamed when it is whole; no app has such a name
	maxNames  = 4096    // names of the directory that are looked at

	// A request to an app waits so long for an exporter that has the lock of another one's
	// directory for a moment, as it starts.
	lockTries = 5
	lockPause = 50 * time.Millisecond
)

// directory is the open and locked directory. Every file in it is written, renamed and
// removed through root.
type directory struct {
	root *os.Root
	self *os.File // locked
}

// openDirectory opens and locks the directory at path. It makes it, and the one above it,
// where they are not there. [ErrLocked]: another process has it.
func openDirectory(path string) (*directory, error) {
	above, err := safefile.MakeReadableRoot(filepath.Dir(path))
	if err == nil {
		_ = above.Close()
	}
	root, err := safefile.MakeReadableRoot(path) // has the error of the one above too, if it matters
	if err != nil {
		return nil, err
	}
	return lock(root)
}

// openExisting opens the directory as [openDirectory] does, but does not create it: the
// error wraps [fs.ErrNotExist] if there is none.
func openExisting(path string) (*directory, error) {
	root, err := safefile.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return lock(root)
}

// lock locks an open directory without waiting. With an error, which is [ErrLocked] if
// another process has the lock, root is closed.
func lock(root *os.Root) (*directory, error) {
	d := &directory{root: root}
	var err error
	if d.self, err = root.Open("."); err == nil {
		err = d.flock()
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrLocked
	}
	if err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

// flock locks the directory. The error is EWOULDBLOCK if another process has the lock.
func (d *directory) flock() error {
	return syscall.Flock(int(d.self.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) //nolint:gosec // a descriptor fits an int
}

// close closes the directory's descriptors, which releases its lock.
func (d *directory) close() {
	_ = d.root.Close()
	if d.self != nil {
		_ = d.self.Close()
	}
}

// held reports whether the path still leads to the directory; false too if that cannot be
// read.
func (d *directory) held(path string) bool {
	at, err := os.Stat(path)
	if err != nil {
		return false
	}
	is, err := d.self.Stat()
	return err == nil && os.SameFile(at, is)
}

// put writes the file of an app, or removes it if there is no request. A worker sees the
// old file or the new one, never a part.
func (d *directory) put(app string, a Asked) error {
	name := app + suffix
	if a.empty() {
		return d.remove(name)
	}
	data, err := a.encode()
	if err != nil {
		return err
	}
	if err := d.remove(prefixNew + name); err != nil {
		return err
	}
	f, err := d.root.OpenFile(prefixNew+name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(data, '\n'))
	err = errors.Join(err, f.Chmod(0o644), f.Close()) // whatever the umask is
	if err == nil {
		err = d.root.Rename(prefixNew+name, name)
	}
	if err != nil {
		return errors.Join(err, d.remove(prefixNew+name))
	}
	return nil
}

// remove removes a file; one that is not there is no error.
func (d *directory) remove(name string) error {
	if err := d.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// clear removes the files of apps, finished or not, among the first maxNames names, and
// returns how many it has removed. What is no regular file stays. The error has all that
// could not be removed.
func (d *directory) clear() (n int, err error) {
	names, err := d.self.Readdirnames(maxNames)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	var errs []error
	for _, name := range names {
		app, ok := strings.CutSuffix(strings.TrimPrefix(name, prefixNew), suffix)
		if !ok || CheckName(app) != nil {
			continue
		}
		if info, err := d.root.Lstat(name); err != nil || !info.Mode().IsRegular() {
			continue
		}
		if err := d.remove(name); err != nil {
			errs = append(errs, err)
			continue
		}
		n++
	}
	return n, errors.Join(errs...)
}

// probe returns why a file could not be written in the directory at path; nil: it could,
// also if the directory is still to be made. It makes nothing, and locks nothing: whoever
// has the lock would be kept from it.
func probe(path string) error {
	root, err := safefile.OpenRoot(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(filepath.Dir(path)); errors.Is(err, fs.ErrNotExist) {
			path = filepath.Dir(path)
		}
		return safefile.CanMake(path)
	}
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	self, err := root.Open(".")
	if err != nil {
		return err
	}
	defer func() { _ = self.Close() }()
	if err := unix.Faccessat(int(self.Fd()), ".", unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil { //nolint:gosec // a descriptor fits an int
		return &fs.PathError{Op: "write in", Path: path, Err: err}
	}
	return nil
}
