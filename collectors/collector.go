// Package collectors holds every metric that this exporter gives of the
// watched system, one file a source. A collector returns what it read; it
// never sends, prints or keeps time of its own.
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

// Collector reads one source once. It returns, never sends, so that a late one
// can be left behind.
type Collector interface {
	// Name is the flag, the label value and the golden's name.
	Name() string
	// Descs lists each metric that Collect may return.
	Descs() []*prometheus.Desc
	// Collect must return soon after ctx ends, and may be called while an
	// earlier call that was left behind still hangs. With an error it may still
	// return what it had; an [Unavailable] in the error's tree says why the rest
	// cannot be had.
	Collect(ctx context.Context) (Sample, error)
}

// Sample is what one source gave at one moment, as metrics and as typed state.
type Sample struct {
	Metrics []prometheus.Metric
	State   model.State
}

// Reason is why a collector cannot give all it should.
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

// lackOf returns what an error that states nothing says of a server.
func lackOf(kind, name string, err error) *Unavailable {
	u := fault(err)
	u.Of, u.Short, u.Detail = kind+":"+name, u.Detail, kind+" "+name+": "+u.Detail
	return u
}

// Error implements error.
func (u *Unavailable) Error() string { return string(u.Reason) + ": " + u.Detail }

// Lacks lists everything that an error's tree says is missing, in its order.
// What is no [Unavailable] becomes one, [Timeout] or [Failed].
func Lacks(err error) []*Unavailable {
	if err == nil {
		return nil
	}
	if out := stated(err); len(out) > 0 {
		return append(out, unforeseen(err)...)
	}
	return []*Unavailable{fault(err)}
}

// stated finds each [Unavailable] in an error's tree.
func stated(err error) []*Unavailable {
	switch x := err.(type) { //nolint:errorlint // this is the walk that errors.As does for one
	case *Unavailable:
		return []*Unavailable{x}
	case interface{ Unwrap() []error }:
		var out []*Unavailable
		for _, e := range x.Unwrap() {
			out = append(out, stated(e)...)
		}
		return out
	case interface{ Unwrap() error }:
		return stated(x.Unwrap())
	}
	return nil
}

// unforeseen returns the parts of a joined error that state nothing.
func unforeseen(err error) []*Unavailable {
	joined, ok := err.(interface{ Unwrap() []error }) // one that wraps a joined one is not taken apart
	if !ok {
		return nil
	}
	var out []*Unavailable
	for _, e := range joined.Unwrap() {
		if len(stated(e)) == 0 {
			out = append(out, fault(e))
			continue
		}
		out = append(out, unforeseen(e)...)
	}
	return out
}

func fault(err error) *Unavailable {
	if errors.Is(err, context.DeadlineExceeded) {
		return &Unavailable{Reason: Timeout, Detail: "no response within the time budget of the scrape"}
	}
	return &Unavailable{Reason: Failed, Detail: err.Error()}
}

// maxDetails bounds the sentences of one reason: as many as there are servers
// of one kind.
const maxDetails = 20

// ReasonOf returns the first reason in an error's tree and the sentences of all
// that is missing, each once; what is [Unavailable.Optional] does not count.
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
