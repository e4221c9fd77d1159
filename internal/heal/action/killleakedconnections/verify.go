package killleakedconnections

import (
	"context"
	"errors"
	"fmt"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/dbconn"
)

// Verify implements [action.Action]: while some of the planned roll back,
// [dbconn.RollbackOutcome]; else Verified if no connection is leaked now, or fewer are than when it
// was planned and one of the planned is no longer; else, and with an error, Unchanged. What counts
// as leaked is in the private part of the plan, and without one in the settings.
func (k *Action) Verify(ctx context.Context, p action.Plan) (action.Outcome, error) {
	rule, ok := k.plannedCriteria(p)
	if !ok {
		return action.Unchanged, errors.New("the pool is no longer in the configuration")
	}
	db, err := rule.Open(ctx, k.d.Database)
	if err != nil {
		return action.Unchanged, err
	}
	defer db.Close()
	before, err := db.Connections(ctx)
	if err != nil {
		return action.Unchanged, fmt.Errorf("list of connections: %w", err)
	}
	if rule.Owner, err = rule.Owner.Refresh(ctx, k.d.Holders, rule.Server); err != nil {
		return action.Unchanged, err
	}
	planned := dbconn.PlannedIDs(p.Victims, db.Server())
	rolling, leaked := rule.Remaining(before, planned)
	if len(rolling) > 0 {
		return dbconn.RollbackOutcome(ctx, db, rolling)
	}
	now := rule.choose(before, nil).leaked
	switch {
	case now == 0:
		return action.Verified, nil
	case len(planned) > 0 && leaked == len(planned):
		return action.Unchanged, nil
	case float64(now) < p.Measure:
		return action.Verified, nil
	default:
		return action.Unchanged, nil
	}
}

// plannedCriteria returns the criteria of a plan; for one from the journal those of its
// target. false: the target is no longer in the configuration.
func (k *Action) plannedCriteria(p action.Plan) (criteria, bool) {
	if private, ok := p.Private.(prepared); ok {
		return private.Criteria, true
	}
	r := k.settings()
	return r, r.FindTarget(k.d.Apps(), p.Target)
}
