package cleandisk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
)

// matching returns the files of a directory that match, have one link, and are older than
// min_age and untouched for an hour, the oldest first, without the keep_newest newest ones. A
// refusal: there are too many names, or more than max_fraction of the files match. With an
// owner the files of others count nowhere: they could let a wrong pattern seem right.
func (r *Action) matching(ctx context.Context, d *directory, owner *uint32, now time.Time) ([]file, action.Refusal, error) {
	var match []file
	names, files := 0, 0
	err := d.eachName(ctx, func(name string) bool {
		f, ok := d.stated(name)
		if ok = ok && (owner == nil || f.uid == *owner); ok {
			files++
		}
		if ok && r.matches(name) && f.belongs(d) {
			match = append(match, f)
		}
		names++
		return files <= maxEntries && names <= maxNames && (owner != nil || names <= maxEntries)
	})
	switch {
	case err != nil:
		return nil, action.Refusal{}, err
	case files > maxEntries, owner == nil && names > maxEntries:
		return nil, action.Refuse(action.CodeTooManyFiles, "%s has more than %d entries", d.path, maxEntries), nil
	case names > maxNames:
		return nil, action.Refuse(action.CodeTooManyFiles, "%s has more than %d entries, with those of others", d.path, maxNames), nil
	}
	slices.SortFunc(match, file.compare)
	match = match[:max(0, len(match)-r.c.KeepNewest)]
	match = slices.DeleteFunc(match, func(f file) bool { return now.Sub(f.written) < r.c.MinAge || now.Sub(f.changed) < untouched })
	if n := len(match); n > 0 && float64(n) > r.c.MaxFraction*float64(files) {
		return nil, action.Refuse(action.CodeOverFraction, "%d of %d files in %s match, more than max_fraction", n, files, d.path), nil
	}
	return match, action.Refusal{}, nil
}

// eachName calls visit with each name in a directory, until visit returns false or ctx
// ends, which is an error.
func (d *directory) eachName(ctx context.Context, visit func(name string) bool) error {
	const batch = 4096
	f, err := d.reopened()
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	for {
		names, err := f.Readdirnames(batch)
		for _, name := range names {
			if !visit(name) {
				return nil
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read the names in %s: %w", d.path, err)
		case ctx.Err() != nil:
			return ctx.Err()
		}
	}
}

// stated returns the state of a regular file. false: it is another kind of file, is
// gone, or cannot be read.
func (d *directory) stated(name string) (file, bool) {
	var st unix.Stat_t
	if err := unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return file{}, false
	}
	return d.fileOf(name, &st), true
}

// fileOf returns a file of the directory with what stat(2) says of it; its bytes are those on
// the disk.
func (d *directory) fileOf(name string, st *unix.Stat_t) file {
	return file{
		dir: d.path, name: name, dev: st.Dev, ino: st.Ino, uid: st.Uid, bytes: st.Blocks * 512,
		links:   uint64(st.Nlink), //nolint:unconvert // it has 32 bits on arm64
		written: time.Unix(st.Mtim.Unix()), changed: time.Unix(st.Ctim.Unix()),
	}
}

// belongs reports whether a file may be removed: it is on the device of its directory, and
// has one link.
func (f file) belongs(d *directory) bool { return f.dev == d.stat.Dev && f.links == 1 }

// compare compares two files by age, the oldest first, as slices.SortFunc takes it.
func (f file) compare(g file) int {
	return cmp.Or(f.written.Compare(g.written), cmp.Compare(f.dir, g.dir), cmp.Compare(f.name, g.name))
}

// matches reports whether a name matches one of the patterns. As in a shell, a first * or ?
// matches no dot.
func (r *Action) matches(name string) bool {
	for _, p := range r.c.Patterns {
		if ok, err := path.Match(p, name); err == nil && ok && (name[0] != '.' || strings.HasPrefix(p, ".")) {
			return true
		}
	}
	return false
}

// errInUse means that another process has a file open, or has mapped it.
var errInUse = errors.New("another process has it open")

// lease returns a descriptor of a file that no other process has open; errInUse if one has,
// errChanged if it is another file. While the lease is held, the kernel lets no process open
// the file (F_SETLEASE, fcntl(2)). It requires the file's owner, or CAP_LEASE.
func (d *directory) lease(f file) (fd int, err error) {
	if fd, err = d.opened(f); err != nil {
		return -1, err
	}
	if _, err = unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		_ = unix.Close(fd)
		if errors.Is(err, unix.EAGAIN) {
			err = errInUse
		}
		return -1, err
	}
	return fd, nil
}

// opened returns a descriptor of a file, and never of a device or FIFO that was put in
// its place. errChanged: another file has the name. errInUse: another process has a lease.
// Another error: there is none, or it may not be opened. The descriptor is the only one:
// before Linux 5.3, one of O_PATH counts as a use of the file.
func (d *directory) opened(f file) (fd int, err error) {
	at, err := unix.Openat(d.fd, f.name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer func() { _ = unix.Close(at) }()
	if err := d.checkSame(at, f); err != nil {
		return -1, err
	}
	fd, err = unix.Open(fmt.Sprintf("/proc/self/fd/%d", at), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		return -1, errInUse // somebody has a lease
	case err != nil:
		return -1, err
	}
	if err := d.checkSame(fd, f); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// checkSame returns [errChanged] unless a descriptor is that of f and nothing of the file
// has changed.
func (d *directory) checkSame(fd int, f file) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || !d.fileOf(f.name, &st).same(f) {
		return errChanged
	}
	return nil
}

// errChanged means that a file is not the planned one any more.
var errChanged = errors.New("the file has changed or is gone")

// remove removes a file that no other process has open. errInUse: one has. [errChanged]:
// it is not the planned file any more.
func (d *directory) remove(f file) error {
	fd, err := d.lease(f)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	if now, ok := d.stated(f.name); !ok || !now.same(f) {
		return errChanged
	}
	return unix.Unlinkat(d.fd, f.name, 0)
}
