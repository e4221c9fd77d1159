// Package collectors holds every metric that this exporter gives of the
// watched system, one file a source. A collector returns what it read; it
// never sends, prints or keeps time of its own.
package collectors

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/resp-exporter/resp-exporter/internal/health"
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

// Sample is what one source gave at one moment.
type Sample struct {
	Metrics  []prometheus.Metric
	Readings []health.Reading
}

// Reason is why a collector cannot give all it should: a small fixed set.
type Reason string

// The reasons, as values of the label reason of resp_collector_available.
const (
	OK          Reason = "ok"          // it can
	Disabled    Reason = "disabled"    // switched off by flag or configuration
	Permission  Reason = "permission"  // the kernel or a server refuses
	Unsupported Reason = "unsupported" // this kernel or server has no such thing
	NotFound    Reason = "not_found"   // what it looks at is not there
	InUse       Reason = "in_use"      // somebody else holds the address
	Busy        Reason = "busy"        // a server has no time or no place for one more
	Timeout     Reason = "timeout"     // no answer within the budget
	Failed      Reason = "failed"      // anything else; the log says what
)

// Unavailable is an error that names why a source, or a part of it, cannot be
// read, in an enumerated reason and a sentence for people.
type Unavailable struct {
	Reason Reason
	Detail string // a sentence without a full stop, e.g. "wait states of shop need CAP_SYS_PTRACE or the app's uid"
}

// Error implements error.
func (u *Unavailable) Error() string { return string(u.Reason) + ": " + u.Detail }

// ReasonOf finds the reason in an error's tree.
func ReasonOf(err error) (Reason, string) {
	if err == nil {
		return OK, ""
	}
	var u *Unavailable
	switch {
	case errors.As(err, &u):
		return u.Reason, u.Detail
	case errors.Is(err, context.DeadlineExceeded):
		return Timeout, "it did not answer within the scrape's budget"
	default:
		return Failed, err.Error()
	}
}
