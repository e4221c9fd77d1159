package mysql

import (
	"maps"
	"slices"
	"time"
)

// SetAgain sets the pause between two attempts to reach the primary.
func SetAgain(s *Server, d time.Duration) { s.refreshAfter = d }

// The errors of the guard.
var (
	ErrProtocol = errProtocol
	ErrTooLarge = errTooLarge
)

// Answers are the error numbers of servers that have sentences of their own.
func Answers() []uint16 { return slices.Collect(maps.Keys(answers)) }

// PasswordError explains why a password_file cannot be used.
func PasswordError(err error) error { return passwordError(err) }

// Explain returns the classified error.
func Explain(err error) *Error { return classify(err) }

// Backoff is the pause after n failures in a row.
func Backoff(n int, e *Error) time.Duration { return backoff(n, e) }

// SessionOf is the statement that sets up a session.
func SessionOf(v Version) string { return sessionSetup(v) }

// QuoteAccount writes an account as statements do.
func QuoteAccount(account string) string { return quoteAccount(account) }

// CheckPackets runs every check on a copy of p, and returns how many bytes the
// strings of a row that was accepted have.
func CheckPackets(p []byte, columns int) int {
	for _, check := range []func([]byte) error{
		checkGreeting, checkError, checkColumn, checkKey,
		func(p []byte) error { _, err := checkLogin(p); return err },
		func(p []byte) error { _, err := checkOK(p); return err },
		func(p []byte) error { _, err := checkEOF(p); return err },
	} {
		_ = check(append([]byte(nil), p...))
	}
	rest, ok := skipStrings(p, columns)
	if !ok {
		return 0
	}
	return len(p) - len(rest)
}
