package files

import (
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/safefile"
)

// Remedy returns what to do about an error of the state directory at the path dir; "" if
// nothing is known to help.
func Remedy(dir string, err error) string {
	switch {
	case errors.Is(err, ErrLocked):
		return "another --state.dir for each exporter"
	case errors.Is(err, fs.ErrNotExist):
		return "install -d -m 0700 " + dir + ", for the exporter's user; with systemd: StateDirectory=resp-exporter"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, safefile.ErrOwner), errors.Is(err, safefile.ErrMode), errors.Is(err, safefile.ErrMoved):
		return "chown " + dir + " to the exporter's user, and chmod 0700 " + dir
	}
	return ""
}

// lacks is several errors in one line.
type lacks []error

// Join returns errors as one, as errors.Join does, but in one line, and errors with the
// same text once. nil: there is none.
func Join(errs ...error) error {
	var out lacks
	for _, err := range errs {
		if err != nil && !slices.ContainsFunc(out, func(x error) bool { return x.Error() == err.Error() }) {
			out = append(out, err)
		}
	}
	switch len(out) {
	case 0:
		return nil
	case 1:
		return out[0]
	}
	return out
}

// Error implements error.
func (l lacks) Error() string {
	texts := make([]string, len(l))
	for i, err := range l {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

// Unwrap returns the errors, for [errors.Is].
func (l lacks) Unwrap() []error { return l }
