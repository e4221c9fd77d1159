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

// Errors that say why a file is refused. They are wrapped with its path.
var (
	ErrNotRegular = errors.New("it is not a regular file")
	ErrTooLarge   = errors.New("it is too large")
	ErrLink       = errors.New("its path has a symbolic link in a directory where others can write")
	ErrOwner      = errors.New("it belongs to another user")
	ErrMode       = errors.New("others can write to it")
	ErrMoved      = errors.New("others can rename a directory of its path")
	ErrHardLink   = errors.New("it has several hard links, one of them in a directory where others can write")
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

// Read returns the content of the regular file at path. A file that is larger
// than the policy allows is an error, never cut.
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

// ReadAll returns all that r holds. More than limit bytes are an [ErrTooLarge],
// never cut.
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

// Open opens the regular file at path for reading. It does not wait for the
// other end of a FIFO, and it follows no link that a stranger can have made.
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

// accept checks an open file; shared says that strangers can write in its directory.
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

// readOnly reports whether a file is on a mount that cannot be written to.
func readOnly(fd int) bool {
	var fs unix.Statfs_t
	return unix.Fstatfs(fd, &fs) == nil && fs.Flags&unix.ST_RDONLY != 0
}

// OpenRoot opens a directory that belongs to root or to the exporter's user and
// where nobody else can write, and through which no stranger can lead: neither
// by a link nor by a directory above it that could be moved away. Files are to
// be opened through what it returns, not by their paths.
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

// MakeRoot opens the directory at path as [OpenRoot] does. It makes the directory,
// with mode 0700, where its parent is there and no stranger can move the parent.
func MakeRoot(path string) (*os.Root, error) {
	w, err := walk(path, Policy{})
	if err != nil {
		return nil, err
	}
	if !w.moved {
		err = unix.Mkdirat(w.dir, w.name, 0o700)
	}
	w.close()
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, &fs.PathError{Op: "mkdir", Path: path, Err: err}
	}
	return OpenRoot(path)
}

// CanMake reports what keeps [MakeRoot] from making the directory at path, which
// is not there.
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

// Closed reports whether nobody but root and the exporter's user can create,
// replace or remove a file in the directory of path, nor lead path elsewhere.
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

func (w *way) close() { _ = unix.Close(w.dir) }

// walk follows path one name after the other, so that each directory is checked
// by the descriptor that is used and nothing changes between check and use.
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

// step follows the name at hand and returns the names that remain. That the
// last one is not there is for the caller to judge.
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

// follows reports whether a symbolic link of that owner may be followed where w
// stands: nobody but those who are trusted can have put it there.
func (w *way) follows(p Policy, owner uint32) bool {
	return p.Administrator || !w.open || w.sticky() && p.trusts(owner)
}

// begin starts at / or, for a relative path, where w stands, and returns the names to follow.
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

// look returns the target of the name where it is a symbolic link, and its state.
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

// enter goes into the directory with the name.
func (w *way) enter(p Policy) error {
	fd, err := unix.Openat(w.dir, w.name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	w.close()
	w.dir = fd
	return w.judge(p)
}

// judge notes whether strangers can write in the directory or rename what is in it.
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

// sticky reports whether only its owner may remove a file in the directory.
func (w *way) sticky() bool {
	var st unix.Stat_t
	return unix.Fstat(w.dir, &st) == nil && st.Mode&unix.S_ISVTX != 0
}

func same(info fs.FileInfo, st unix.Stat_t) bool {
	now, ok := info.Sys().(*syscall.Stat_t)
	return ok && now.Dev == st.Dev && now.Ino == st.Ino
}

func refusal(path string, err error) error {
	return &fs.PathError{Op: "open safely", Path: path, Err: err}
}
