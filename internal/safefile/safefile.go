// Package safefile opens and reads files at paths that a stranger may have
// shaped: pid files, secrets, settings of other programs, the state directory.
//
// A symbolic link is followed only where no stranger can have put it. What is
// opened must be a regular file of bounded size with an owner that the caller
// trusts; a FIFO, a device and a socket are refused without being waited for.
package safefile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxLinks is how many symbolic links one path may go through, as in the kernel.
const maxLinks = 40

// Policy says what a file must be to be opened.
type Policy struct {
	// MaxBytes bounds its size; 0: 64 KiB.
	MaxBytes int64
	// Owners are the user ids that may own it, beside root and the effective user
	// of the exporter.
	Owners []uint32
	// AnyOwner accepts every owner. The content is then the claim of a stranger.
	AnyOwner bool
	// Mounted accepts every owner of a file on a read-only mount: who runs a
	// container mounts files of their own into it, and no stranger can mount.
	Mounted bool
	// Administrator is for a file that an administrator named on the command line,
	// such as one that Kubernetes mounts through links in a directory of mode 0777:
	// every link and owner is accepted. A file to which everybody can write is
	// refused when the exporter is root.
	Administrator bool
	// Settled refuses a path of which strangers can rename a part, and so put
	// another file of a trusted owner in its place.
	Settled bool
}

const defaultMax = 64 << 10

// limit returns the greatest size in bytes that a file may have: MaxBytes, or 64 KiB
// without one.
func (p Policy) limit() int64 {
	if p.MaxBytes > 0 {
		return p.MaxBytes
	}
	return defaultMax
}

// trusts reports whether uid is root, the exporter's own, or one of Owners.
func (p Policy) trusts(uid uint32) bool {
	return uid == 0 || int64(uid) == int64(os.Geteuid()) || slices.Contains(p.Owners, uid)
}

// Read returns the content of the regular file at path, which the policy must allow.
// ErrTooLarge: it is larger than the policy allows; it is never cut.
func Read(path string, p Policy) ([]byte, error) {
	f, err := Open(path, p)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	b, err := ReadAll(f, p.limit())
	if errors.Is(err, ErrTooLarge) {
		return nil, refusal(path, err)
	}
	return b, err
}

// ReadAll returns all that r holds. ErrTooLarge: it is more than limit bytes, of which
// nothing is returned.
func ReadAll(r io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, limit)
	}
	return b, nil
}

// Open opens the regular file at path for reading, if the policy allows it: else the
// error wraps ErrNotRegular, ErrTooLarge, ErrOwner, ErrMode, ErrLink or another of this
// package. It does not wait for the other end of a FIFO, and follows no link that a
// stranger can have made.
func Open(path string, p Policy) (*os.File, error) {
	w, err := walk(path, p)
	if err != nil {
		return nil, err
	}
	defer w.close()
	if p.Settled && w.moved {
		return nil, refusal(path, ErrMoved)
	}
	fd, err := unix.Openat(w.dir, w.name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	if err := p.accept(fd, w.open); err != nil {
		_ = unix.Close(fd)
		return nil, refusal(path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// accept returns why the policy does not allow an open file: ErrNotRegular, ErrTooLarge,
// ErrOwner (not if Mounted, on a read-only mount), ErrMode or, if shared (strangers can
// write in its directory), ErrHardLink. AnyOwner and Administrator check only kind and
// size, Administrator of root also that not everybody can write to it.
func (p Policy) accept(fd int, shared bool) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return ErrNotRegular
	case st.Size > p.limit():
		return fmt.Errorf("%w: %d bytes, at most %d are read", ErrTooLarge, st.Size, p.limit())
	case p.Administrator && os.Geteuid() == 0 && st.Mode&0o002 != 0:
		return fmt.Errorf("%w: its mode is %04o; chmod o-w", ErrMode, st.Mode&0o7777)
	case p.AnyOwner, p.Administrator:
		return nil
	case !p.trusts(st.Uid) && (!p.Mounted || !readOnly(fd)):
		return fmt.Errorf("%w: user id %d", ErrOwner, st.Uid)
	case st.Mode&0o022 != 0:
		return fmt.Errorf("%w: its mode is %04o", ErrMode, st.Mode&0o7777)
	case shared && st.Nlink > 1:
		return ErrHardLink
	}
	return nil
}

// readOnly reports whether a file is on a mount that cannot be written to; false if that
// cannot be read.
func readOnly(fd int) bool {
	var fs unix.Statfs_t
	return unix.Fstatfs(fd, &fs) == nil && fs.Flags&unix.ST_RDONLY != 0
}

// OpenRoot opens a directory that belongs to root or to the exporter's user, where nobody
// else can write, and to which no stranger can redirect path: neither by a link nor by
// moving a directory above it. Any other is an error: ErrOwner, ErrMode or that of the
// path. Open its files through the result, not by their paths.
func OpenRoot(path string) (*os.Root, error) {
	w, err := walk(path, Policy{})
	if err != nil {
		return nil, err
	}
	defer w.close()
	if w.moved {
		return nil, refusal(path, errors.New("others can write in a directory above it"))
	}
	var st unix.Stat_t
	if err := unix.Fstatat(w.dir, w.name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return nil, refusal(path, unix.ENOTDIR)
	case !Policy{}.trusts(st.Uid):
		return nil, refusal(path, fmt.Errorf("%w: user id %d", ErrOwner, st.Uid))
	case st.Mode&0o022 != 0:
		return nil, refusal(path, fmt.Errorf("%w: its mode is %04o", ErrMode, st.Mode&0o7777))
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	info, err := root.Stat(".")
	if err == nil && !same(info, st) {
		err = refusal(path, errors.New("it was replaced while it was opened"))
	}
	if err != nil {
		_ = root.Close()
		return nil, err
	}
	return root, nil
}

// MakeRoot opens the directory at path as [OpenRoot] does. If there is none, it makes the
// directory, with mode 0700, if its parent is there and no stranger can move the parent.
func MakeRoot(path string) (*os.Root, error) { return makeRoot(path, 0o700) }

// MakeReadableRoot creates a directory as [MakeRoot] does, with mode 0755: every user may
// read its files.
func MakeReadableRoot(path string) (*os.Root, error) { return makeRoot(path, 0o755) }

// makeRoot opens a directory, and creates it with the mode if it does not exist.
func makeRoot(path string, mode uint32) (*os.Root, error) {
	w, err := walk(path, Policy{})
	if err != nil {
		return nil, err
	}
	if !w.moved {
		if err = unix.Mkdirat(w.dir, w.name, mode); err == nil {
			err = unix.Fchmodat(w.dir, w.name, mode, 0) // whatever the umask is
		}
	}
	w.close()
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, &fs.PathError{Op: "mkdir", Path: path, Err: err}
	}
	return OpenRoot(path)
}

// CanMake returns why [MakeRoot] cannot make the directory at path, which does not exist;
// nil if it can.
func CanMake(path string) error {
	w, err := walk(path, Policy{})
	if err != nil {
		return err
	}
	defer w.close()
	if w.moved {
		return refusal(path, errors.New("others can write in a directory above it"))
	}
	if err := unix.Faccessat(w.dir, ".", unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return &fs.PathError{Op: "mkdir", Path: path, Err: err}
	}
	return nil
}

// Closed returns nil if nobody but root and the exporter's user can create, replace or
// remove a file in the directory of path, nor lead path elsewhere; else an error.
func Closed(path string) error {
	w, err := walk(path, Policy{})
	if err != nil {
		return err
	}
	defer w.close()
	if w.open || w.moved {
		return refusal(path, errors.New("others can write in a directory of its path"))
	}
	return nil
}

// way is a path that was followed to its last name.
type way struct {
	dir   int    // descriptor of the directory that holds name
	name  string // "." for the root directory
	open  bool   // strangers can write in dir
	moved bool   // strangers can rename a directory on the way
	links int    // that were followed
}

// close closes the directory.
func (w *way) close() { _ = unix.Close(w.dir) }

// walk follows path to its last name, which need not exist, and returns that name with its
// directory, which the caller closes. It opens one directory after the other, so that each
// is checked by the descriptor that is used and nothing changes between check and use.
// ErrLink: there is a link that a stranger can have made.
func walk(path string, p Policy) (*way, error) {
	if path == "" {
		return nil, &fs.PathError{Op: "open", Path: path, Err: unix.ENOENT}
	}
	w := &way{dir: -1}
	todo, err := w.begin(path, nil)
	for err == nil && len(todo) > 0 {
		w.name, todo = todo[0], todo[1:]
		todo, err = w.step(todo, p)
	}
	switch {
	case err == nil:
		return w, nil
	case w.dir >= 0:
		w.close()
	}
	if errors.Is(err, ErrLink) {
		return nil, refusal(path, err)
	}
	return nil, &fs.PathError{Op: "open", Path: path, Err: err}
}

// step enters the directory with the next name, or follows it if it is a link, and returns
// the names that remain. The last name is not opened unless it is a link, and need not
// exist. ErrLink: the link may not be followed. ELOOP: there are more than maxLinks.
func (w *way) step(rest []string, p Policy) ([]string, error) {
	to, st, err := w.look()
	switch {
	case err != nil && len(rest) == 0 && errors.Is(err, unix.ENOENT):
		return nil, nil
	case err != nil:
		return nil, err
	case to == "" && len(rest) == 0:
		return nil, nil
	case to == "":
		return rest, w.enter(p)
	case !w.follows(p, st.Uid):
		return nil, ErrLink
	}
	if w.links++; w.links > maxLinks {
		return nil, unix.ELOOP
	}
	return w.begin(to, rest)
}

// follows reports whether w may follow a symbolic link of that owner: if only trusted users
// can have put it there, or an administrator named the path.
func (w *way) follows(p Policy, owner uint32) bool {
	return p.Administrator || !w.open || w.sticky() && p.trusts(owner)
}

// begin starts at / or, for a relative path, where w stands or else the working directory. It
// returns the names of path, and rest behind them. An error: the directory cannot be opened.
func (w *way) begin(path string, rest []string) ([]string, error) {
	from := ""
	switch {
	case strings.HasPrefix(path, "/"):
		from = "/"
	case w.dir < 0:
		from = "."
	}
	if from != "" {
		fd, err := unix.Open(from, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		if w.dir >= 0 {
			w.close()
		}
		w.dir, w.name = fd, "."
		if err := w.judge(Policy{}); err != nil {
			return nil, err
		}
	}
	names := slices.DeleteFunc(strings.Split(path, "/"), func(s string) bool { return s == "" || s == "." })
	return append(names, rest...), nil
}

// look returns the state of the name and, if it is a symbolic link, its target; else to is
// "". An error: there is nothing (ENOENT), or it cannot be read.
func (w *way) look() (to string, st unix.Stat_t, err error) {
	if err = unix.Fstatat(w.dir, w.name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil || st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return "", st, err
	}
	b := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(w.dir, w.name, b)
	if err == nil && n == 0 {
		err = unix.ENOENT
	}
	return string(b[:max(0, n)]), st, err
}

// enter opens the directory with the name, and makes it the one where w stands.
func (w *way) enter(p Policy) error {
	fd, err := unix.Openat(w.dir, w.name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	w.close()
	w.dir = fd
	return w.judge(p)
}

// judge records whether other users can write in the directory or rename its files; an error:
// that cannot be read.
func (w *way) judge(p Policy) error {
	var st unix.Stat_t
	if err := unix.Fstat(w.dir, &st); err != nil {
		return err
	}
	own := p.trusts(st.Uid)
	w.open = !own || st.Mode&0o022 != 0
	w.moved = w.moved || !own || st.Mode&0o022 != 0 && st.Mode&unix.S_ISVTX == 0
	return nil
}

// sticky reports whether in the directory only a file's owner, or the directory's, may
// remove the file; false if that cannot be read.
func (w *way) sticky() bool {
	var st unix.Stat_t
	return unix.Fstat(w.dir, &st) == nil && st.Mode&unix.S_ISVTX != 0
}

// same reports whether both are of the same file, by device and inode; false too if info
// has neither.
func same(info fs.FileInfo, st unix.Stat_t) bool {
	now, ok := info.Sys().(*syscall.Stat_t)
	return ok && now.Dev == st.Dev && now.Ino == st.Ino
}

// refusal returns the error for a path that is not opened.
func refusal(path string, err error) error {
	return &fs.PathError{Op: "open safely", Path: path, Err: err}
}
