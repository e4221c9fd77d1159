package mysql

import (
	"errors"

	"github.com/resp-exporter/resp-exporter/internal/reason"
	"github.com/resp-exporter/resp-exporter/internal/secret"
)

// passwordError returns the [Error] for a password file that cannot be read, without the
// path of the file.
func passwordError(err error) *Error {
	e, ok := errors.AsType[*secret.Error](err)
	if !ok {
		return &Error{Reason: reason.Failed, Text: "its password_file cannot be read"}
	}
	return &Error{Reason: e.Reason(), Text: "its password_file cannot be read: " + e.Why(), Remedy: e.Remedy()}
}

// passwordChanged reports whether the password file has changed since the last
// attempt, so that the next one need not wait.
func (s *Server) passwordChanged() bool { return secret.VersionOf(s.o.PasswordFile) != s.password }
