package webhook

import (
	"context"

	"github.com/resp-exporter/resp-exporter/internal/heal"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

// Runner plans and runs the actions.
type Runner interface {
	Take(ctx context.Context, alerts []action.Alert) ([]journal.Decision, error)
	Snapshot() heal.Snapshot
	RunByID(id string) (journal.Run, error)
	Approve(ctx context.Context, id, plan string) (journal.Run, error)
	Pause(p journal.Pause) error
	Resume() error
}
