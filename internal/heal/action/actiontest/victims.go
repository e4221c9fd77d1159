package actiontest

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
)

// Waiting are the connections of MySQL main that only wait.
type Waiting []uint64

// ReasonOfChain is why the connections of [Waiting] wait.
const ReasonOfChain = "Worker 1 of shop waits for MySQL main for 42 s. Connection 9 of user ann holds it."

// WhyConnection returns [ReasonOfChain] if a connection of the server "mysql:main" waits,
// else "".
func (w *Waiting) WhyConnection(server string, id uint64) string {
	if server == "mysql:main" && slices.Contains(*w, id) {
		return ReasonOfChain
	}
	return ""
}

// CheckSparesByNow checks that a connection that begins to wait between plan and act is not
// ended. start returns the action and a server on which it would end connections 2 and 1.
func CheckSparesByNow(t *testing.T, start func(w *Waiting) (action.Action, *Database)) {
	t.Helper()
	for name, c := range map[string]struct {
		waits   Waiting
		ended   []uint64
		refused bool
	}{"one": {Waiting{2}, []uint64{1}, false}, "all": {Waiting{1, 2}, nil, true}, "none": {nil, []uint64{2, 1}, false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var w Waiting
			k, f := start(&w)
			p, err := k.Plan(t.Context(), action.PlanRequest{})
			if err != nil || p.Total != 2 {
				t.Fatalf("%+v, %v", p, err)
			}
			w = c.waits
			done, err := k.Apply(t.Context(), p)
			why, refused := errors.AsType[action.Refusal](err)
			if done != len(c.ended) || !slices.Equal(f.Ended, c.ended) || refused != c.refused || refused && (why.Code != action.CodeVictim || !strings.Contains(why.Reason, ReasonOfChain)) || !refused && err != nil {
				t.Errorf("done %d, %v, ended %v", done, err, f.Ended)
			}
		})
	}
}
