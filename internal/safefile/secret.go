package safefile

import (
	"bytes"
	"errors"
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

// ReadSecret returns the one line of a file that holds a password or a token,
// without a byte order mark before it and line ends after it. The file must
// belong to root or to the exporter's user, or to one of owners, and nobody else
// may write to it.
func ReadSecret(path string, owners ...uint32) (string, error) {
	b, err := Read(path, Policy{MaxBytes: maxSecret, Owners: owners})
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
