// Package logs has what all parts need of a logger that is passed in.
//
// The keys: err is an error or why something is missing; app, collector, mysql,
// redis, pool, rule, action, target and run are names; file and dir are paths;
// listen is an address of the configuration.
package logs

import (
	"fmt"
	"log/slog"
	"runtime/debug"
)

// Or returns l, or a logger that writes nothing if l is nil. Every constructor
// that takes a logger calls it, so that none must be given.
func Or(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}

// Panic is a panic that was recovered. Whoever reports it logs its stack.
type Panic struct {
	Value any
	Stack string
}

// Recovered returns the error of what recover() returned, with the stack of the
// goroutine. It is to be called in the deferred function.
func Recovered(value any) *Panic { return &Panic{value, string(debug.Stack())} }

// Error implements error.
func (p *Panic) Error() string { return fmt.Sprintf("panic: %v", p.Value) }
