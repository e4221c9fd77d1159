package killblockingtransaction_test

import (
	"context"
	"slices"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/actiontest"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/killblockingtransaction"
	"github.com/resp-exporter/resp-exporter/internal/heal/dbconn"
)

func sparing(f *actiontest.Database, w *actiontest.Waiting) *killblockingtransaction.Action {
	return killblockingtransaction.New(killblockingtransaction.Deps{
		Apps: actiontest.Apps, Database: actiontest.Databases(f), Holders: f.HoldersOf,
		Victims: func(context.Context) dbconn.Victims { return w },
	}, limits())
}

// A root whose worker waits for another component is not ended, nor one whose end would
// therefore not help.
func TestVictimIsSpared(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pairs   []uint64
		waits   actiontest.Waiting
		want    []uint64
		refused action.Code
	}{
		"nobody waits": {[]uint64{10, 1, 11, 2}, nil, []uint64{2, 1}, ""}, "one waits": {[]uint64{10, 1, 11, 2}, actiontest.Waiting{2}, []uint64{1}, ""},
		"both wait":     {[]uint64{10, 1, 11, 2}, actiontest.Waiting{1, 2}, nil, action.CodeVictim},
		"one of a pair": {[]uint64{10, 1, 10, 2}, actiontest.Waiting{2}, nil, action.CodeVictim}, "who is no root": {[]uint64{10, 1}, actiontest.Waiting{10}, []uint64{1}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := sparing(server(c.pairs...), &c.waits).Plan(t.Context(), action.PlanRequest{})
			if err != nil || !slices.Equal(actiontest.IDs(p), c.want) || p.Refused.Code != c.refused || p.Cleared {
				t.Errorf("%+v, %v", p, err)
			}
		})
	}
}

// Who becomes a victim between plan and act is not ended.
func TestVictimByNowIsSpared(t *testing.T) {
	t.Parallel()
	actiontest.CheckSparesByNow(t, func(w *actiontest.Waiting) (action.Action, *actiontest.Database) {
		f := server(10, 1, 11, 2)
		return sparing(f, w), f
	})
}
