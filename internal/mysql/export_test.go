package mysql

import (
	"maps"
	"slices"
	"time"
)

// SetAgain sets the pause between two attempts to reach the primary.
func SetAgain(s *Server, d time.Duration) { s.refreshAfter = d }

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
