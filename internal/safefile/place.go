package safefile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// ErrOpenDirectory says that a stranger could replace or remove what is at a path.
var ErrOpenDirectory = errors.New("others can write in its directory or rename one above it")

// Place is a name in a directory. What is at the name is to be read, changed
// and removed by the directory's descriptor.
type Place struct {
	Dir  *os.File // opened with O_PATH
	Name string   // not followed: it may be a symbolic link, or not be there
	// Shared reports that strangers can create files in the directory. It is
	// sticky then, so that they cannot remove or rename a file of others.
	Shared bool
}

// Locate opens the directory of path, in which the caller will make and remove a file, and
// returns it with the last name of path, where there may be nothing yet. The caller closes
// it. No stranger may be able to rename or remove that file, nor any directory above it:
// else the error wraps [ErrOpenDirectory], or [ErrLink] for a link that a stranger may have
// made.
func Locate(path string) (*Place, error) {
	w, err := walk(filepath.Dir(path), Policy{})
	if err != nil {
		return nil, err
	}
	if w.name != "." {
		if err := w.enter(Policy{}); err != nil {
			w.close()
			return nil, &fs.PathError{Op: "open", Path: filepath.Dir(path), Err: err}
		}
	}
	if w.moved {
		w.close()
		return nil, refusal(path, ErrOpenDirectory)
	}
	return &Place{Dir: os.NewFile(uintptr(w.dir), filepath.Dir(path)), Name: filepath.Base(path), Shared: w.open}, nil
}

// Stat returns the state of what is at the name; of a symbolic link, that of the link
// itself. The error wraps [fs.ErrNotExist] if there is nothing.
func (p *Place) Stat() (unix.Stat_t, error) {
	var st unix.Stat_t
	err := unix.Fstatat(int(p.Dir.Fd()), p.Name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		err = &fs.PathError{Op: "stat", Path: p.path(), Err: err}
	}
	return st, err
}

// Remove removes the name if it was still that inode right before; nil too if it is another
// one, or gone. An error: it cannot be read or removed.
func (p *Place) Remove(dev, ino uint64) error {
	st, err := p.Stat()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case st.Dev != dev || st.Ino != ino:
		return nil
	}
	if err := unix.Unlinkat(int(p.Dir.Fd()), p.Name, 0); err != nil {
		return &fs.PathError{Op: "remove", Path: p.path(), Err: err}
	}
	return nil
}

// Chmod sets the mode of the inode at the name. It is an error if that is another inode
// by now. No link is followed, and nothing but that inode is ever changed.
func (p *Place) Chmod(dev, ino uint64, mode uint32) error {
	fd, err := unix.Openat(int(p.Dir.Fd()), p.Name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: p.path(), Err: err}
	}
	f := os.NewFile(uintptr(fd), p.path())
	defer func() { _ = f.Close() }()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return &fs.PathError{Op: "stat", Path: p.path(), Err: err}
	}
	if st.Dev != dev || st.Ino != ino || st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return refusal(p.path(), errors.New("it was replaced"))
	}
	// A descriptor of O_PATH has no fchmod(2); its link in /proc leads to the inode.
	return unix.Chmod("/proc/self/fd/"+strconv.Itoa(fd), mode)
}

// Close closes the directory.
func (p *Place) Close() error { return p.Dir.Close() }

// path returns the path of the file.
func (p *Place) path() string { return filepath.Join(p.Dir.Name(), p.Name) }
