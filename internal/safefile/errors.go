package safefile

import "errors"

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

// Refused reports whether an error of this package says that a stranger could have shaped
// the file or its path, or that it is no file to be read: not that it is not there, or that
// the system failed.
func Refused(err error) bool {
	for _, e := range []error{ErrNotRegular, ErrTooLarge, ErrLink, ErrOwner, ErrMode, ErrMoved, ErrHardLink, ErrLinks, ErrReplaced, ErrOpenDirectory} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
