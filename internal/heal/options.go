package heal

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
)

// Errors of [Runner.Take]: nothing of the alert is kept, and it is to be sent again.
var (
	ErrFull      = errors.New("the queue is full")
	ErrUnwritten = errors.New("the journal cannot be written")
)

// Errors of [Runner.Approve] and [Runner.RunByID].
var (
	ErrUnknownRun = errors.New("no such run")
	ErrNotWaiting = errors.New("the run does not wait for approval")
	ErrOtherPlan  = errors.New("the plan of the run has changed: read the run again")
)

// Fleet is the state of all exporters that share a Redis.
type Fleet struct {
	Members   int // exporters that live
	Firing    int // exporters that requested the action within five minutes
	Repairing int // exporters that hold a lease for it
	// Storm is for how long nothing may begin, because too few were healthy; 0: it may.
	Storm time.Duration
}

// Leases are shared by all exporters of a fleet. With an error the state of the fleet is
// unknown, and nothing is done.
type Leases interface {
	// Heartbeat registers this exporter as alive.
	Heartbeat(ctx context.Context) error
	// Request registers that this exporter requests an action, and returns the fleet.
	Request(ctx context.Context, action string) (Fleet, error)
	// Acquire acquires the lease of a key for a run. held is false when another run has it.
	Acquire(ctx context.Context, l Lease) (held bool, f Fleet, err error)
	// Release releases it, if the run has it.
	Release(ctx context.Context, l Lease) error
	// Hold keeps all exporters from beginning anything for a time. An error that wraps
	// [fs.ErrExist] says that one of them has begun that before, and it goes on for the
	// time. With any other, which is also that the list of exporters may lack some that
	// live, it does not.
	Hold(ctx context.Context, d time.Duration) error
	// Failures returns how often in a row an action failed for a cause, on any exporter.
	Failures(ctx context.Context, action, cause string) (int, error)
	// Learn records whether an action helped against a cause.
	Learn(ctx context.Context, action, cause string, helped bool) error
}

// Lease is the right to do one action to one target.
type Lease struct {
	Action, Key, Run string
	For              time.Duration // it expires after that
}

// Builder returns the action of a step.
type Builder func(config.HealingStep) (action.Action, error)

// Options are what a [Runner] needs.
type Options struct {
	StateDir    string
	JournalSize int64                                                    // bytes of one file of the journal; 0: 8 MiB
	Leases      func(redis string) Leases                                // of a server in the section redis
	Evidence    func(ctx context.Context, target string) json.RawMessage // nil: none is kept
	Settle      time.Duration                                            // between asking the fleet and acting, so that others ask too
	Logger      *slog.Logger
}
