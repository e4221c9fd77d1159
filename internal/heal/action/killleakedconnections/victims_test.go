package killleakedconnections_test

import (
	"context"
	"slices"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/actiontest"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/killleakedconnections"
	"github.com/resp-exporter/resp-exporter/internal/heal/dbconn"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
)

func sparing(f *actiontest.Database, w *actiontest.Waiting) *killleakedconnections.Action {
	return killleakedconnections.New(killleakedconnections.Deps{
		Apps: actiontest.Apps, Database: actiontest.Databases(f), Holders: f.HoldersOf,
		Victims: func(context.Context) dbconn.Victims { return w },
	}, leakCaps())
}

// twoAsleep returns a server with the connections 1 and 2, which are asleep.
func twoAsleep() *actiontest.Database {
	return &actiontest.Database{ServerID: "s", Login: "resp", List: []mysql.Connection{actiontest.Asleep(1, 70), actiontest.Asleep(2, 90)}}
}

// A connection that waits for another component, or whose worker does, is not ended.
func TestKillLeakedNoVictim(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		waits   actiontest.Waiting
		want    []uint64
		refused action.Code
	}{
		"nobody waits": {nil, []uint64{2, 1}, ""}, "one waits": {actiontest.Waiting{2}, []uint64{1}, ""}, "both wait": {actiontest.Waiting{1, 2}, nil, action.CodeVictim}, "another one waits": {actiontest.Waiting{7}, []uint64{2, 1}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := sparing(twoAsleep(), &c.waits).Plan(t.Context(), action.PlanRequest{})
			if err != nil || !slices.Equal(actiontest.IDs(p), c.want) || p.Refused.Code != c.refused || p.Cleared || p.Measure != 2 {
				t.Errorf("%+v, %v", p, err)
			}
		})
	}
}

// Who becomes a victim between plan and act is not ended.
func TestKillLeakedNoVictimByNow(t *testing.T) {
	t.Parallel()
	actiontest.CheckSparesByNow(t, func(w *actiontest.Waiting) (action.Action, *actiontest.Database) {
		f := twoAsleep()
		return sparing(f, w), f
	})
}
