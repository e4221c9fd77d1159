package killleakedconnections

import (
	"context"
	"errors"
	"fmt"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/dbconn"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
	"github.com/resp-exporter/resp-exporter/internal/retry"
)

// Verify implements [action.Action]. It needs of the plan its target, its victims and
// its measure only.
func (k *Action) Verify(ctx context.Context, p action.Plan) (action.Outcome, error) {
	rule, ok := k.plannedCriteria(p)
	if !ok {
		return action.Unchanged, errors.New("the pool is no longer in the configuration")
	}
	db, err := k.open(ctx, rule)
	if err != nil {
		return action.Unchanged, err
	}
	defer db.Close()
	before, err := db.Connections(ctx)
	if err != nil {
		return action.Unchanged, fmt.Errorf("list of connections: %w", err)
	}
	if rule.owner, err = rule.owner.Refresh(ctx, k.d.Holders, rule.server); err != nil {
		return action.Unchanged, err
	}
	planned := dbconn.PlannedIDs(p.Victims, db.Server())
	rolling, leaked := remaining(before, rule, planned)
	if len(rolling) > 0 {
		if !retry.Sleep(ctx, rollbackInterval) {
			return action.Unchanged, context.Cause(ctx)
		}
		after, err := db.Connections(ctx)
		if err != nil {
			return action.Unchanged, fmt.Errorf("list of connections: %w", err)
		}
		return rollbackOutcome(rolling, after), nil
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

// plannedCriteria returns the criteria of a plan; after a crash those of its target.
func (k *Action) plannedCriteria(p action.Plan) (criteria, bool) {
	if private, ok := p.Private.(prepared); ok {
		return private.criteria, true
	}
	for _, app := range k.d.Apps() {
		for _, pool := range app.Pools {
			r, _ := k.criteria(action.Alert{})
			r.users, r.minIdle = k.c.Users, k.c.MinIdle
			r.setPool(app.Name, pool)
			if r.target() == p.Target {
				return r, true
			}
		}
	}
	return criteria{}, false
}

// remaining returns those victims that roll back, and counts those that still sleep.
func remaining(list []mysql.Connection, r criteria, planned map[uint64]bool) (rolling []mysql.Connection, leaked int) {
	for _, c := range list {
		switch {
		case !planned[c.ID]:
		case dbconn.IsRollingBack(c):
			rolling = append(rolling, c)
		case r.leaked(c):
			leaked++
		}
	}
	return rolling, leaked
}

// rollbackOutcome compares two readings of connections that were ended: it is
// progress when one has gone, has not begun to roll back yet, or has fewer
// changes left to undo.
func rollbackOutcome(before, after []mysql.Connection) action.Outcome {
	later := make(map[uint64]mysql.Connection, len(after))
	for _, c := range after {
		later[c.ID] = c
	}
	for _, c := range before {
		now, there := later[c.ID]
		if !there || !now.InTransaction || now.TrxState != "ROLLING BACK" || now.Rows < c.Rows {
			return action.InProgress
		}
	}
	return action.Unchanged
}
