package waitstatus_test

import (
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/web/waitstatus"
)

// Only the threads with a request count towards the bound of the evidence.
func TestEvidenceThreads(t *testing.T) {
	t.Parallel()
	threads := func(n int, on string) (out []model.Thread) {
		for i := range n {
			out = append(out, model.Thread{TID: i + 1, On: on})
		}
		return out
	}
	worker := func(slot string, list []model.Thread) model.Worker { return model.Worker{Slot: slot, Threads: list} }
	for name, c := range map[string]struct {
		workers []model.Worker
		want    map[string]int
	}{
		"after idle ones":    {[]model.Worker{worker("0", threads(64, "idle")), worker("1", threads(64, "")), worker("2", threads(1, "mysql"))}, map[string]int{"2": 1}},
		"too many":           {[]model.Worker{worker("0", threads(60, "mysql")), worker("1", threads(60, "redis")), worker("2", threads(1, "mysql"))}, map[string]int{"0": 60, "1": 40}},
		"none has a request": {[]model.Worker{worker("0", threads(3, "idle"))}, nil},
	} {
		st := &model.State{Workers: []model.AppWorkers{{App: "shop", Workers: c.workers}, {App: "blog", Workers: []model.Worker{worker("0", threads(9, "mysql"))}}}}
		got := waitstatus.Of(st, time.Unix(1_700_000_000, 0), "shop", nil)
		if got == nil {
			if c.want != nil {
				t.Errorf("%s: no evidence", name)
			}
			continue
		}
		if len(got.Workers) != len(c.want) {
			t.Errorf("%s: %d workers, not %d", name, len(got.Workers), len(c.want))
		}
		for slot, n := range c.want {
			if len(got.Workers[slot]) != n {
				t.Errorf("%s: worker %s has %d threads, not %d", name, slot, len(got.Workers[slot]), n)
			}
		}
	}
}
