package killleakedconnections

import (
	"context"
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/dbconn"
)

// sharedUser returns why connections whose holder is unknown must not be ended by their
// user: pools of two apps have that user on one server, or that cannot be excluded, as for
// a pool without a user. zero: no pool of another app in the configuration has it.
func sharedUser(ctx context.Context, r *dbconn.Sleepers, apps []config.App, db func(name string) dbconn.Database, me dbconn.Session) action.Refusal {
	for _, a := range apps {
		for _, p := range a.Pools {
			if a.Name == r.App || p.User != "" && !slices.Contains(r.Users, p.User) {
				continue
			}
			same, err := dbconn.SameDatabase(ctx, r.Server, p.MySQL, db, me)
			switch {
			case err != nil:
				return action.Refuse(action.CodeShareUnknown, "app %s has a pool with the same user, and it is not known if it is on the same server: %s", a.Name, err)
			case same:
				return action.Refuse(action.CodeSharedUser, "app %s uses the same user on the same server: with clients: user their connections cannot be distinguished", a.Name)
			}
		}
	}
	return action.Refusal{}
}
