package mysql

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/reason"
	"github.com/resp-exporter/resp-exporter/internal/safefile"
)

// stamp tells one state of the password file from another.
type stamp struct {
	modified time.Time
	size     int64
}

// readPassword reads a password file.
func readPassword(path string) (config.Secret, error) {
	password, err := safefile.ReadSecret(path)
	if err != nil {
		return "", passwordError(err)
	}
	return config.Secret(password), nil
}

func passwordError(err error) *Error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return &Error{Reason: reason.Permission, Text: "the exporter's user may not read the password file"}
	case errors.Is(err, fs.ErrNotExist):
		return &Error{Reason: reason.NotFound, Text: "the password file is not there"}
	case errors.Is(err, safefile.ErrTooLarge):
		return &Error{Reason: reason.Failed, Text: "the password file is larger than 4 KiB"}
	case errors.Is(err, safefile.ErrOwner), errors.Is(err, safefile.ErrMode), errors.Is(err, safefile.ErrLink):
		return &Error{Reason: reason.Permission, Text: "the password file is refused: " + safefile.Why(err), Cure: safefile.Cure}
	default:
		return &Error{Reason: reason.Failed, Text: "the password file is refused: " + safefile.Why(err), Cure: safefile.Cure}
	}
}

func (s *Server) stampOf() stamp {
	if s.o.PasswordFile == "" {
		return stamp{}
	}
	info, err := os.Stat(s.o.PasswordFile)
	if err != nil {
		return stamp{}
	}
	return stamp{info.ModTime(), info.Size()}
}

// passwordChanged reports whether a connect that was refused is worth another
// try before its time.
func (s *Server) passwordChanged() bool { return s.stampOf() != s.password }
