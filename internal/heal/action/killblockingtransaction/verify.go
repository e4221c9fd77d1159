package killblockingtransaction

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/dbconn"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
)

// Verify implements [action.Action]: while some of the planned connections roll back,
// [dbconn.RollbackOutcome]; else Verified if they are gone, as after a restart of the server, and
// none waits for them; else, and with an error, Unchanged. It needs of the plan its target and its
// victims only.
func (k *Action) Verify(ctx context.Context, p action.Plan) (action.Outcome, error) {
	rule := k.settings()
	if !rule.FindTarget(k.d.Apps(), p.Target) {
		return action.Unchanged, errors.New("the pool is no longer in the configuration")
	}
	db, err := rule.Open(ctx, k.d.Database)
	if err != nil {
		return action.Unchanged, err
	}
	defer db.Close()
	waits, err := db.Waits(ctx)
	if err != nil {
		return action.Unchanged, fmt.Errorf("waits for locks: %w", err)
	}
	list, err := db.Connections(ctx)
	if err != nil {
		return action.Unchanged, fmt.Errorf("list of connections: %w", err)
	}
	planned := dbconn.PlannedIDs(p.Victims, db.Server())
	if rolling, _ := rule.Remaining(list, planned); len(rolling) > 0 {
		return dbconn.RollbackOutcome(ctx, db, rolling)
	}
	there := func(c mysql.Connection) bool { return planned[c.ID] }
	waitedFor := func(w mysql.ConnectionWait) bool { return planned[w.Blocker] }
	if slices.ContainsFunc(list, there) || slices.ContainsFunc(waits, waitedFor) {
		return action.Unchanged, nil
	}
	return action.Verified, nil
}
