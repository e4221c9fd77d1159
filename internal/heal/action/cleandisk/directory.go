package cleandisk

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
)

// directory is an open directory of the settings. Files are read, opened and removed by its
// descriptor and one name, so that nothing can lead elsewhere.
type directory struct {
	path string
	fd   int
	stat unix.Stat_t
}

// close closes the directory's descriptor.
func (d *directory) close() { _ = unix.Close(d.fd) }

// owner returns the id of the user whose files alone are removed; nil and no error if
// everybody's are. An unknown user is an error.
func (r *Action) owner() (*uint32, error) {
	if r.c.Owner == "" {
		return nil, nil //nolint:nilnil // documented
	}
	text := r.c.Owner
	if _, err := strconv.ParseUint(text, 10, 32); err != nil {
		u, err := user.Lookup(text)
		if err != nil {
			return nil, fmt.Errorf("look up the owner of the settings: %w", err)
		}
		text = u.Uid
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("owner: %w", err)
	}
	return new(uint32(n)), nil
}

// open opens a directory name by name from the root; the caller closes it. A refusal: it is
// denied, missing, no directory or behind a link, or [distrust] refuses a part of its path;
// nil owner: files of all users. An error, which counts first: it cannot be read.
func (r *Action) open(m *mounts, path string, owner *uint32) (*directory, action.Refusal, error) {
	refused := action.Refuse(action.CodeDirectoryDenied, "no file of %s may be removed", path)
	denied := r.denied(m)
	if r.isDenied(path) || denied.holds(m.locate(path)) {
		return nil, refused, nil
	}
	fd, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, action.Refusal{}, err
	}
	names := strings.Split(strings.Trim(path, "/"), "/")
	for i, name := range names {
		if why := distrust(fd, owner, false); why != "" {
			_ = unix.Close(fd)
			return nil, action.Refuse(action.CodeDirectoryUntrusted, "%s: /%s %s", path, strings.Join(names[:i], "/"), why), nil
		}
		next, err := unix.Openat(fd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		_ = unix.Close(fd)
		switch {
		case errors.Is(err, unix.ENOENT):
			return nil, action.Refuse(action.CodeNoDirectory, "%s does not exist", path), nil
		case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
			return nil, action.Refuse(action.CodeDirectoryUntrusted, "%s: %s is a link, or no directory: name the directory itself", path, name), nil
		case err != nil:
			return nil, action.Refusal{}, &os.PathError{Op: "open", Path: path, Err: err}
		}
		fd = next
		if is, err := denied.has(fd, i == len(names)-1); err != nil || is {
			_ = unix.Close(fd)
			return nil, refused, err
		}
	}
	d := &directory{path: path, fd: fd}
	if why := distrust(fd, owner, true); why != "" {
		d.close()
		return nil, action.Refuse(action.CodeDirectoryUntrusted, "%s %s", path, why), nil
	}
	if err := unix.Fstat(fd, &d.stat); err != nil {
		d.close()
		return nil, action.Refusal{}, err
	}
	return d, action.Refusal{}, nil
}

// distrust returns why a directory is not trusted, also that it cannot be read; "" if it
// is. It must belong to root, the exporter's user or owner, and nobody else may rename or
// remove its files: nobody can write to it, or it is sticky. In the last directory of a
// path strangers may write only if one user's files alone are removed.
func distrust(fd int, owner *uint32, last bool) string {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err.Error()
	}
	foreign := st.Uid != 0 && int64(st.Uid) != int64(os.Geteuid())
	switch {
	case foreign && (owner == nil || st.Uid != *owner):
		return fmt.Sprintf("belongs to uid %d", st.Uid)
	case st.Mode&0o022 == 0:
		return ""
	case st.Mode&unix.S_ISVTX == 0:
		return fmt.Sprintf("can be written to by others, its mode is %04o", st.Mode&0o7777)
	case last && owner == nil:
		return "can be written to by others: set owner"
	}
	return ""
}

// reopened returns a file with which the names of the directory can be read, which the
// caller closes.
func (d *directory) reopened() (*os.File, error) {
	fd, err := unix.Openat(d.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: d.path, Err: err}
	}
	return os.NewFile(uintptr(fd), d.path), nil
}

// space is that of the file system of a directory, in bytes.
type space struct{ used, available uint64 }

// usage returns the used share of what users other than root can use, from 0 to 1, as in
// df; 0 for a file system without blocks.
func (s space) usage() float64 {
	if s.used+s.available == 0 {
		return 0
	}
	return float64(s.used) / float64(s.used+s.available)
}

// space returns the used bytes, and those that are free for users other than root, of the
// directory's file system.
func (d *directory) space() (space, error) {
	f, err := d.reopened() // a descriptor of O_PATH has no fstatfs(2) before Linux 3.12
	if err != nil {
		return space{}, err
	}
	defer func() { _ = f.Close() }()
	var v unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &v); err != nil {
		return space{}, fmt.Errorf("space of %s: %w", d.path, err)
	}
	block := uint64(max(v.Bsize, 1))
	return space{(v.Blocks - min(v.Blocks, v.Bfree)) * block, v.Bavail * block}, nil
}
