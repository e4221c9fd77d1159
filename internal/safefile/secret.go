package safefile

import (
	"bytes"
	"errors"
	"io/fs"
	"unicode"
	"unicode/utf8"
)

// maxSecret is the most bytes of a password or token and of its file.
const maxSecret = 4 << 10

// Errors of a file that holds no secret.
var (
	ErrEmpty = errors.New("it is empty")
	ErrLines = errors.New("it has more than one line")
	ErrText  = errors.New("it holds a character that cannot be part of a secret")
)

// Cure is what an administrator does about a file of a secret that is refused.
const Cure = "one line of text without spaces around it in the file, then chown root and chmod 0400 (0440 with the exporter's group), or mount it read-only"

// Why returns the reason of a refusal without the path of the file.
func Why(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}

// ReadSecret returns the one line of a file that holds a password or a token,
// without a byte order mark before it and line ends after it. The file must
// belong to root or to the exporter's user, or to one of owners, or be on a
// read-only mount, and nobody else may write to it.
func ReadSecret(path string, owners ...uint32) (string, error) {
	b, err := Read(path, Policy{MaxBytes: maxSecret, Owners: owners, Mounted: true})
	if err != nil {
		return "", err
	}
	s, err := parseSecret(b)
	if err != nil {
		return "", refusal(path, err)
	}
	return s, nil
}

// parseSecret returns the one line of b.
func parseSecret(b []byte) (string, error) {
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
