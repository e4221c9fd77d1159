package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/resp-exporter/resp-exporter/internal/safefile"
)

// The files of the state directory.
const (
	journalFile = "journal.jsonl"
	olderFile   = "journal.1.jsonl"
	pauseFile   = "pause.json"
	lockFile    = "lock"
	suffixNew   = ".new" // of a file that is renamed when it is whole
)

// The bounds of the journal, in bytes.
const (
	FileSize = 8 << 20   // of one file before the next is begun; two are kept
	LineSize = 256 << 10 // of one line
)

// Bounds of the files in the state directory, in bytes.
const (
	maxJournal = 4 * FileSize
	maxPause   = 64 << 10
)

// Errors of the state directory.
var (
	ErrLocked = errors.New("another exporter uses the state directory")
	// ErrLost is permanent: another exporter may have the directory now and act on the same alerts.
	ErrLost   = errors.New("the state directory is no longer the one that was opened; healing stays off until the exporter is restarted")
	ErrClosed = errors.New("the state directory is closed")
)

// stateDir is the open and locked state directory. Every file in it is opened,
// renamed and removed through root.
type stateDir struct {
	path string
	root *os.Root
	self *os.File // the directory; locked, because its lock file could be replaced
	lock *os.File // locked too: older versions lock nothing else
}

// openState opens and locks the directory at path, which it makes if its parent is there.
// ErrLocked: another exporter holds it.
func openState(path string) (*stateDir, error) {
	root, err := safefile.MakeRoot(path)
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	d := &stateDir{path: path, root: root}
	if err := d.lockAll(); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

// lockAll locks the directory and the lock file, and tries to remove the rights of group
// and others on the directory. ErrLocked: another process, or this one, holds one of the
// two.
func (d *stateDir) lockAll() (err error) {
	if d.self, err = d.root.Open("."); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	if info, err := d.self.Stat(); err == nil && info.Mode().Perm()&0o077 != 0 {
		_ = d.self.Chmod(0o700) // a process that can open it can lock it
	}
	if d.lock, err = d.open(lockFile, os.O_RDWR|os.O_CREATE, maxPause); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	for _, f := range []*os.File{d.lock, d.self} {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) //nolint:gosec // a descriptor fits an int
		switch {
		case errors.Is(err, syscall.EWOULDBLOCK):
			return ErrLocked
		case err != nil:
			return fmt.Errorf("lock the state directory: %w", err)
		}
	}
	return nil
}

// close closes the directory's descriptors, which releases the locks.
func (d *stateDir) close() error {
	err := d.root.Close()
	for _, f := range []*os.File{d.lock, d.self} {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return err
}

// open opens a file of the directory as [safefile.OpenOwn] does. ErrLost: meanwhile the
// name leads to another file, or to none.
func (d *stateDir) open(name string, flag int, limit int64) (*os.File, error) {
	f, err := safefile.OpenOwn(d.root, name, flag, limit)
	if errors.Is(err, safefile.ErrReplaced) {
		return nil, fmt.Errorf("%w: %s was replaced", ErrLost, name)
	}
	if err != nil {
		return nil, err
	}
	if err := d.checkSame(name, f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// checkSame returns ErrLost unless the open file is the one that has the name now; another
// error if that cannot be read.
func (d *stateDir) checkSame(name string, f *os.File) error {
	at, err := d.root.Lstat(name)
	return checkSameFile(name, at, err, f)
}

// checkSameFile returns nil if the file that is now at a name is the open one; at and err are
// of a stat of the name. ErrLost if it was removed or replaced; else the error of a stat.
func checkSameFile(name string, at fs.FileInfo, err error, f *os.File) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return fmt.Errorf("%w: %s was removed", ErrLost, name)
	}
	if err != nil {
		return err
	}
	is, err := f.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(at, is) {
		return fmt.Errorf("%w: %s was replaced", ErrLost, name)
	}
	return nil
}

// checkHeld returns nil if the path still leads to the directory that is locked, its mode
// lets neither group nor others write, and its lock file is the one that is locked.
// ErrLost: one of the two was replaced or removed.
func (d *stateDir) checkHeld() error {
	at, err := os.Stat(d.path)
	if err := checkSameFile("the directory", at, err, d.self); err != nil {
		return err
	}
	if at.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("state directory: %w: its mode is %04o", safefile.ErrMode, at.Mode().Perm())
	}
	return d.checkSame(lockFile, d.lock)
}

// write writes a new file in place of one of that name, and returns it open once it is on
// the disk.
func (d *stateDir) write(name string, data []byte) (*os.File, error) {
	if err := d.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := d.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), d.root.Remove(name))
	}
	return f, nil
}
