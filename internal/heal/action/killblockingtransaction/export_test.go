package killblockingtransaction

import (
	"context"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/dbconn"
)

// Found is what an action finds on a server: the obstacle of each root and what it
// blocks, by its connection.
type Found struct {
	Obstacles        map[uint64]string
	Blocked          map[uint64][]uint64
	Waiting, Circles int
}

// Find looks at a server as [Action.Plan] does.
func Find(ctx context.Context, k *Action, db dbconn.Session) (Found, error) {
	rule := k.settings()
	_ = rule.FindPool(k.d.Apps(), action.Alert{}, k.c.App, k.c.Pool)
	found, err := k.look(ctx, db, &rule)
	out := Found{map[uint64]string{}, map[uint64][]uint64{}, found.waiting, found.circles}
	for _, x := range found.roots {
		out.Obstacles[x.ID], out.Blocked[x.ID] = string(x.obstacle), x.blocked
	}
	return out, err
}
