package killblockingtransaction_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/actiontest"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/killblockingtransaction"
	"github.com/resp-exporter/resp-exporter/internal/heal/dbconn"
)

// waiting are the connections of MySQL main whose workers only wait.
type waiting []uint64

const reasonOfChain = "Worker 1 of shop waits for the app blog for 42 s."

func (w *waiting) WhyConnection(server string, id uint64) string {
	if server == "mysql:main" && slices.Contains(*w, id) {
		return reasonOfChain
	}
	return ""
}

func sparing(f *actiontest.Database, w *waiting) *killblockingtransaction.Action {
	return killblockingtransaction.New(killblockingtransaction.Deps{
		Apps: actiontest.Apps, Database: actiontest.Databases(f), Holders: f.HoldersOf,
		Victims: func(context.Context) dbconn.Victims { return w },
	}, limits())
}

// A root whose worker waits for somebody else is not ended, nor one that would not help
// because of it.
func TestVictimIsSpared(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pairs   []uint64
		waits   waiting
		want    []uint64
		refused action.Code
	}{
		"nobody waits": {[]uint64{10, 1, 11, 2}, nil, []uint64{2, 1}, ""}, "one waits": {[]uint64{10, 1, 11, 2}, waiting{2}, []uint64{1}, ""},
		"both wait":     {[]uint64{10, 1, 11, 2}, waiting{1, 2}, nil, action.CodeVictim},
		"one of a pair": {[]uint64{10, 1, 10, 2}, waiting{2}, nil, action.CodeVictim}, "who is no root": {[]uint64{10, 1}, waiting{10}, []uint64{1}, ""},
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
	for name, c := range map[string]struct {
		waits   waiting
		ended   []uint64
		refused bool
	}{"one": {waiting{2}, []uint64{1}, false}, "all": {waiting{1, 2}, nil, true}, "none": {nil, []uint64{2, 1}, false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := server(10, 1, 11, 2)
			var w waiting
			k := sparing(f, &w)
			p, err := k.Plan(t.Context(), action.PlanRequest{})
			if err != nil || p.Total != 2 {
				t.Fatalf("%+v, %v", p, err)
			}
			w = c.waits
			done, err := k.Apply(t.Context(), p)
			why, refused := errors.AsType[action.Refusal](err)
			if done != len(c.ended) || !slices.Equal(f.Ended, c.ended) || refused != c.refused || refused && (why.Code != action.CodeVictim || !strings.Contains(why.Reason, reasonOfChain)) || !refused && err != nil {
				t.Errorf("done %d, %v, ended %v", done, err, f.Ended)
			}
		})
	}
}
