// Package secret reads files that hold one password or one token.
package secret

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/resp-exporter/resp-exporter/internal/reason"
	"github.com/resp-exporter/resp-exporter/internal/safefile"
)

// maxBytes bounds a password or token and its file.
const maxBytes = 4 << 10

// Errors of a file that holds no secret.
var (
	ErrEmpty = errors.New("it is empty")
	ErrLines = errors.New("it has more than one line")
	ErrText  = errors.New("it holds a character that cannot be part of a secret")
)

// placeholder stands for the file in a remedy.
const placeholder = "FILE"

// remedy is what an administrator does about a file that is refused.
const remedy = "one line of text without spaces around it in " + placeholder + ", then chown root and chmod 0400 (0440 with the exporter's group), or mount it read-only"

// Error says why a file cannot be used as a secret.
type Error struct {
	File string // its path; do not publish it
	Err  error
}

// Error implements error. It names the file.
func (e *Error) Error() string { return e.File + ": " + e.Why() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Why returns the cause without the path of the file.
func (e *Error) Why() string {
	if at, ok := errors.AsType[*fs.PathError](e.Err); ok {
		return at.Err.Error()
	}
	return e.Err.Error()
}

// Reason returns permission if the file may not be read, or its owner, its mode or a link
// of its path is not trusted; not_found if there is none; else failed, such as for a file
// without a secret.
func (e *Error) Reason() reason.Reason {
	for _, refused := range []error{safefile.ErrMode, safefile.ErrOwner, safefile.ErrLink} {
		if errors.Is(e.Err, refused) {
			return reason.Permission
		}
	}
	return reason.OfFile(e.Err)
}

// Remedy returns the command with which an administrator solves the error, with FILE for
// the path, see [RemedyWithPath]; "" if the exporter's user may not read the file, or there
// is no file.
func (e *Error) Remedy() string {
	if errors.Is(e.Err, fs.ErrPermission) || errors.Is(e.Err, fs.ErrNotExist) {
		return ""
	}
	return remedy
}

// RemedyWithPath returns a remedy of [Error.Remedy] with the path of the file; any other
// text unchanged.
func RemedyWithPath(text, file string) string {
	if text != remedy {
		return text
	}
	return strings.ReplaceAll(text, placeholder, file)
}

// Read returns the only line of a file with a password or a token, of at most 4 KiB,
// without a byte order mark and line ends; spaces stay. The file must belong to root or to
// the exporter's user, or be on a read-only mount, and nobody else may write to it. Its
// error is an [*Error].
func Read(path string) (string, error) {
	b, err := safefile.Read(path, safefile.Policy{MaxBytes: maxBytes, Mounted: true})
	if err != nil {
		return "", &Error{path, err}
	}
	s, err := parse(b)
	if err != nil {
		return "", &Error{path, err}
	}
	return s, nil
}

// parse returns the one line of b, else ErrEmpty, ErrLines or ErrText.
func parse(b []byte) (string, error) {
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	b = bytes.TrimRight(b, "\r\n")
	switch {
	case len(bytes.TrimSpace(b)) == 0:
		return "", ErrEmpty
	case bytes.ContainsAny(b, "\r\n"):
		return "", ErrLines
	case !utf8.Valid(b), bytes.ContainsFunc(b, unicode.IsControl), bytes.ContainsRune(b, '\ufeff'):
		return "", ErrText
	}
	return string(b), nil
}

// Version distinguishes the contents of a file, by its time and size.
type Version struct {
	modified time.Time
	size     int64
}

// VersionOf returns the version of the file at path; the zero value if path is empty, there
// is no file, or its state cannot be read.
func VersionOf(path string) Version {
	info, err := os.Stat(path)
	if err != nil {
		return Version{}
	}
	return Version{info.ModTime(), info.Size()}
}
