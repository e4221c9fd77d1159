package safefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// Errors of [OpenOwn].
var (
	ErrLinks    = errors.New("it has several hard links")
	ErrReplaced = errors.New("it was replaced while it was opened")
)

// OpenOwn opens a file of a directory of the exporter, or creates it with [os.O_CREATE] in
// flag: a regular one of at most limit bytes with one name, which only root and the
// exporter's user can write. Otherwise the error wraps ErrNotRegular, ErrTooLarge,
// ErrOwner, ErrMode or [ErrLinks]. It follows no link and does not block. [ErrReplaced]:
// the name led elsewhere meanwhile.
func OpenOwn(root *os.Root, name string, flag int, limit int64) (*os.File, error) {
	before, err := root.Lstat(name)
	if err != nil && (flag&os.O_CREATE == 0 || !errors.Is(err, fs.ErrNotExist)) {
		return nil, withName(name, err)
	}
	return openSeen(root, name, flag, limit, before)
}

// openSeen opens the file that a name has led to; before is its state, nil if there was
// none, so that one is created. ErrReplaced: the name leads to another file by now.
func openSeen(root *os.Root, name string, flag int, limit int64, before fs.FileInfo) (*os.File, error) {
	create := flag&os.O_CREATE != 0
	if before == nil {
		flag |= os.O_EXCL
	} else {
		flag &^= os.O_CREATE // if it is gone by now no other one takes its place
		if err := acceptOwn(before, limit); err != nil {
			return nil, withName(name, err)
		}
	}
	f, err := root.OpenFile(name, flag|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0o600)
	if create && before != nil && errors.Is(err, fs.ErrNotExist) {
		return nil, withName(name, ErrReplaced)
	}
	if err != nil {
		return nil, err
	}
	is, err := f.Stat()
	if err == nil {
		err = acceptOwn(is, limit)
	}
	if err == nil && before != nil && !os.SameFile(before, is) {
		err = ErrReplaced
	}
	if err != nil {
		_ = f.Close()
		return nil, withName(name, err)
	}
	return f, nil
}

// acceptOwn returns why [OpenOwn] must not open a file; nil if it may.
func acceptOwn(info fs.FileInfo, limit int64) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular() || !ok:
		return ErrNotRegular
	case info.Size() > limit:
		return fmt.Errorf("%w: %d bytes, at most %d are read", ErrTooLarge, info.Size(), limit)
	case !Policy{}.trusts(st.Uid):
		return fmt.Errorf("%w: user id %d", ErrOwner, st.Uid)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("%w: its mode is %04o", ErrMode, info.Mode().Perm())
	case st.Nlink > 1:
		return ErrLinks
	}
	return nil
}

// withName returns err with the name in front, unless it has a path already.
func withName(name string, err error) error {
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return err
	}
	return refusal(name, err)
}
