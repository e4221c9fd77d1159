// Package collectors has the collectors of the exporter: each reads one source and
// returns metrics and typed state. [Catalog] lists them, and a [Set] reads them for a
// scrape. A collector has no timer of its own.
package collectors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/reason"
)

// Collector reads one source once. It returns its metrics instead of sending them, so
// that a late read can be abandoned.
type Collector interface {
	// Name returns the name in the flag, the label collector and the golden file.
	Name() string
	// Descs returns the descriptor of each metric that Collect may return.
	Descs() []*prometheus.Desc
	// Collect must return soon after ctx ends, and may be called while an earlier,
	// abandoned call still hangs. With an error it may also return a sample; each
	// [Unavailable] in the error's tree is a lack.
	Collect(ctx context.Context) (Sample, error)
}

// Sample is the result of one read of one source, as metrics and as typed state.
type Sample struct {
	Metrics []Metric
	State   model.State
}

// Reason is why something is missing from a sample.
type Reason = reason.Reason

// The reasons, by their names in package reason.
const (
	OK          = reason.OK
	Disabled    = reason.Disabled
	Permission  = reason.Permission
	Unsupported = reason.Unsupported
	NotFound    = reason.NotFound
	InUse       = reason.InUse
	Untrusted   = reason.Untrusted
	Malformed   = reason.Malformed
	Misnamed    = reason.Misnamed
	Busy        = reason.Busy
	Timeout     = reason.Timeout
	Failed      = reason.Failed
)

// Unavailable is a lack as an error. Its field Collector is empty: the [Set] sets
// it.
type Unavailable model.Lack

// lackOf returns an error of a server that has no [Unavailable] in it as one, with reason
// [Timeout] or [Failed] and the server's name. kind is "mysql" or "redis".
func lackOf(kind, name string, err error) *Unavailable {
	u := asUnavailable(err)
	u.Of, u.Short, u.Detail = kind+":"+name, u.Detail, kind+" "+name+": "+u.Detail
	return u
}

// Error implements error.
func (u *Unavailable) Error() string { return string(u.Reason) + ": " + u.Detail }

// Lacks returns all [Unavailable]s in an error, then the errors that are joined with them
// as [Unavailable]s with reason [Timeout] or [Failed], unless the joined error is wrapped
// in another one. Of an error without any it is that one; nil for nil.
func Lacks(err error) []*Unavailable {
	if err == nil {
		return nil
	}
	if out := unavailablesIn(err); len(out) > 0 {
		return append(out, otherErrors(err)...)
	}
	return []*Unavailable{asUnavailable(err)}
}

// unavailablesIn returns all [Unavailable]s that are wrapped or joined in an error, in
// their order; nil if there is none.
func unavailablesIn(err error) []*Unavailable {
	switch x := err.(type) { //nolint:errorlint // this is the walk that errors.As does for one
	case *Unavailable:
		return []*Unavailable{x}
	case interface{ Unwrap() []error }:
		var out []*Unavailable
		for _, e := range x.Unwrap() {
			out = append(out, unavailablesIn(e)...)
		}
		return out
	case interface{ Unwrap() error }:
		return unavailablesIn(x.Unwrap())
	}
	return nil
}

// otherErrors returns those parts of a joined error as [Unavailable]s that have none in
// them; nil if the error is not joined.
func otherErrors(err error) []*Unavailable {
	joined, ok := err.(interface{ Unwrap() []error }) // one that wraps a joined one is not taken apart
	if !ok {
		return nil
	}
	var out []*Unavailable
	for _, e := range joined.Unwrap() {
		if len(unavailablesIn(e)) == 0 {
			out = append(out, asUnavailable(e))
			continue
		}
		out = append(out, otherErrors(e)...)
	}
	return out
}

// asUnavailable returns an error that has no [Unavailable] in it as one. Its reason is
// [Timeout] if a deadline was exceeded, else [Failed].
func asUnavailable(err error) *Unavailable {
	if errors.Is(err, context.DeadlineExceeded) {
		return &Unavailable{Reason: Timeout, Detail: "no response within the time budget of the scrape"}
	}
	return &Unavailable{Reason: Failed, Detail: err.Error()}
}

// maxDetails is the maximum number of sentences for one reason: as many as servers of
// one kind can be configured.
const maxDetails = 20

// ReasonOf returns the reason of the first lack in an error, [OK] if there is none, and
// the texts of the lacks, each once, separated by "; ": at most 20, then "and N more".
// Optional lacks do not count.
func ReasonOf(err error) (Reason, string) {
	first := OK
	var details []string
	more := 0
	for _, u := range Lacks(err) {
		if u.Optional || slices.Contains(details, u.Detail) {
			continue
		}
		if first == OK {
			first = u.Reason
		}
		if len(details) < maxDetails {
			details = append(details, u.Detail)
		} else {
			more++
		}
	}
	if more > 0 {
		details = append(details, fmt.Sprintf("and %d more", more))
	}
	return first, strings.Join(details, "; ")
}
