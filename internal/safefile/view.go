package safefile

import (
	"errors"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxSteps is how many names one path may have in a [View], with those of the links that it
// goes through.
const maxSteps = 256

// View is the directories from which another process finds its files. No path and no link
// leads above its root directory.
type View struct {
	Root, Dir int // descriptors of its root and working directory, opened with O_PATH
	// Check is called with a descriptor, opened with O_PATH, of each file and directory of
	// a path, before anything is asked of it. An error refuses it.
	Check func(fd int) error
}

// Read returns the content of the regular file at path, as [Read] does. Nothing but a regular
// file is opened: opening a device may have effects. A file that has nothing to read yet is an
// error, and is not waited for.
func (v View) Read(path string, p Policy) ([]byte, error) {
	at, err := v.find(path, p)
	if err != nil {
		return nil, refusal(path, err)
	}
	defer at.close()
	// It stays the file that was checked: its link in /proc leads to the inode.
	fd, err := unix.Open("/proc/self/fd/"+strconv.Itoa(at.fd), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer func() { _ = unix.Close(fd) }()
	if err := p.accept(fd, at.shared); err != nil {
		return nil, refusal(path, err)
	}
	b, err := ReadAll(descriptor(fd), p.limit())
	if err != nil {
		return nil, refusal(path, err)
	}
	return b, nil
}

// descriptor is an open file. An os.File would wait, if the file can be polled, until there
// is something to read.
type descriptor int

// Read implements [io.Reader]. EAGAIN is an error: nothing is there to read yet.
func (d descriptor) Read(b []byte) (int, error) {
	for {
		n, err := unix.Read(int(d), b)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, err
		case n == 0 && len(b) > 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// Has reports whether something is at path, of whatever kind. It is false too if the way to
// it is refused or cannot be read.
func (v View) Has(path string, p Policy) bool {
	at, err := v.find(path, p)
	if err == nil {
		at.close()
	}
	return err == nil || errors.Is(err, ErrNotRegular)
}

// inside is where the walk along a path in a View stands.
type inside struct {
	view   View
	policy Policy
	dir    int  // of the name that comes next
	shared bool // strangers can write in dir
	sticky bool // only its owner may remove a file there
	fd     int  // the regular file at the end; -1 before
}

// close closes both descriptors.
func (i *inside) close() {
	for _, fd := range []int{i.dir, i.fd} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

// find opens the regular file at path, through links too, with O_PATH, as fd of what it
// returns, which the caller closes. ErrNotRegular: at path is neither a file nor a link, such
// as a directory. ErrLink: a stranger can have made a link on the way.
func (v View) find(path string, p Policy) (*inside, error) {
	i := &inside{view: v, policy: p, dir: -1, fd: -1}
	todo, err := i.begin(path, true)
	for steps := 0; err == nil && i.fd < 0; steps++ {
		switch {
		case len(todo) == 0: // the path ends at a directory
			err = ErrNotRegular
		case steps == maxSteps:
			err = unix.ENAMETOOLONG
		default:
			todo, err = i.step(todo[0], todo[1:])
		}
	}
	if err != nil {
		i.close()
		return nil, err
	}
	return i, nil
}

// begin returns the names of a path, and goes to the root directory if it is an absolute one,
// to the working directory if it is relative and the first one. ENOENT: the path is "".
// ENAMETOOLONG: it has more than maxSteps names.
func (i *inside) begin(path string, first bool) ([]string, error) {
	if path == "" {
		return nil, unix.ENOENT
	}
	from := -1
	switch {
	case strings.HasPrefix(path, "/"):
		from = i.view.Root
	case first:
		from = i.view.Dir
	}
	names := strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
	if len(names) > maxSteps {
		return nil, unix.ENAMETOOLONG
	}
	if from < 0 {
		return names, nil
	}
	fd, err := unix.FcntlInt(uintptr(from), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := i.look(fd, &st); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	i.enter(fd, st)
	return names, nil
}

// step opens the next name of a path and returns the names that remain: those of a link come
// before rest. A regular file at the end of the path is in i.fd afterwards. ErrNotRegular: at
// the end is neither a file, a directory nor a link.
func (i *inside) step(name string, rest []string) ([]string, error) {
	if name == "." || name == ".." && i.atRoot() {
		return rest, nil
	}
	fd, err := unix.Openat(i.dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := i.look(fd, &st); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	switch kind := st.Mode & unix.S_IFMT; {
	case kind == unix.S_IFDIR:
		i.enter(fd, st)
		return rest, nil
	case kind == unix.S_IFREG && len(rest) == 0:
		i.fd = fd
		return nil, nil
	case kind == unix.S_IFLNK:
		defer func() { _ = unix.Close(fd) }()
		return i.follow(fd, st, rest)
	case kind == unix.S_IFREG || len(rest) > 0:
		err = unix.ENOTDIR
	default:
		err = ErrNotRegular
	}
	_ = unix.Close(fd)
	return nil, err
}

// look reads the state of a file into st. An error: the view does not allow it, or it cannot
// be read.
func (i *inside) look(fd int, st *unix.Stat_t) error {
	if err := i.view.Check(fd); err != nil {
		return err
	}
	return unix.Fstat(fd, st)
}

// enter makes an open directory the present one.
func (i *inside) enter(fd int, st unix.Stat_t) {
	if i.dir >= 0 {
		_ = unix.Close(i.dir)
	}
	i.dir = fd
	i.shared, i.sticky = !i.policy.trusts(st.Uid) || st.Mode&0o022 != 0, st.Mode&unix.S_ISVTX != 0
}

// follow returns the names behind a symbolic link and those that remain. ErrLink: a
// stranger can have made it.
func (i *inside) follow(fd int, st unix.Stat_t, rest []string) ([]string, error) {
	if i.shared && (!i.sticky || !i.policy.trusts(st.Uid)) {
		return nil, ErrLink
	}
	b := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", b)
	if err != nil {
		return nil, err
	}
	names, err := i.begin(string(b[:n]), false)
	return append(names, rest...), err
}

// atRoot reports whether the walk stands in the root directory, above which nothing is. It
// is true too if that cannot be read, so that nothing above is entered.
func (i *inside) atRoot() bool {
	var here, root unix.Stat_t
	return i.view.Check(i.view.Root) != nil || unix.Fstat(i.dir, &here) != nil || unix.Fstat(i.view.Root, &root) != nil || here.Dev == root.Dev && here.Ino == root.Ino
}
