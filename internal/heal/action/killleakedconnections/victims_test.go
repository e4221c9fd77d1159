package killleakedconnections_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/actiontest"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/killleakedconnections"
	"github.com/resp-exporter/resp-exporter/internal/heal/dbconn"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
)

// waiting are the connections of MySQL main that only wait.
type waiting []uint64

const reasonOfChain = "Worker 1 of shop waits for MySQL main for 42 s. Connection 9 of user ann holds it."

func (w *waiting) WhyConnection(server string, id uint64) string {
	if server == "mysql:main" && slices.Contains(*w, id) {
		return reasonOfChain
	}
	return ""
}

func sparing(f *actiontest.Database, w *waiting) *killleakedconnections.Action {
	return killleakedconnections.New(killleakedconnections.Deps{
		Apps: actiontest.Apps, Database: actiontest.Databases(f), Holders: f.HoldersOf,
		Victims: func(context.Context) dbconn.Victims { return w },
	}, leakCaps())
}

// A connection that waits, or whose worker does, for somebody else is not ended.
func TestKillLeakedNoVictim(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		waits   waiting
		want    []uint64
		refused action.Code
	}{
		"nobody waits": {nil, []uint64{2, 1}, ""}, "one waits": {waiting{2}, []uint64{1}, ""}, "both wait": {waiting{1, 2}, nil, action.CodeVictim}, "another one waits": {waiting{7}, []uint64{2, 1}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &actiontest.Database{ServerID: "s", Login: "resp", List: []mysql.Connection{actiontest.Asleep(1, 70), actiontest.Asleep(2, 90)}}
			p, err := sparing(f, &c.waits).Plan(t.Context(), action.PlanRequest{})
			if err != nil || !slices.Equal(actiontest.IDs(p), c.want) || p.Refused.Code != c.refused || p.Cleared || p.Measure != 2 {
				t.Errorf("%+v, %v", p, err)
			}
		})
	}
}

// Who becomes a victim between plan and act is not ended.
func TestKillLeakedNoVictimByNow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		waits   waiting
		ended   []uint64
		refused bool
	}{"one": {waiting{2}, []uint64{1}, false}, "all": {waiting{1, 2}, nil, true}, "none": {nil, []uint64{2, 1}, false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &actiontest.Database{ServerID: "s", Login: "resp", List: []mysql.Connection{actiontest.Asleep(1, 70), actiontest.Asleep(2, 90)}}
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
