package recycleworker_test

import (
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/actiontest"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/recycleworker"
)

// TestLeaking shows that the worker that loses memory fastest is planned for, and nobody
// if none does.
func TestLeaking(t *testing.T) {
	for name, c := range map[string]struct {
		slopes map[int]float64 // by slot
		slot   string
	}{
		"the fastest": {map[int]float64{0: 500, 1: 2000}, "1"},
		"none":        {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f, _ := actiontest.StartWorkers(t, cmdline.Gunicorn)
			d := recycleworker.Deps{Processes: f, ProcRoot: "/proc", Memory: func(app string, slot, pid int) (float64, bool) {
				v, ok := c.slopes[slot]
				return v, ok && app == "shop" && pid == f.Snap.Apps[0].Workers[slot].PID
			}}
			p, err := recycleworker.New(d, config.Recycle{App: "shop", Pick: config.PickLeaking, ImportCheck: []string{"/bin/true"}}).Plan(t.Context(), action.PlanRequest{})
			if err != nil || !p.Refused.IsZero() {
				t.Fatalf("%+v, %v", p, err)
			}
			switch {
			case c.slot == "" && (len(p.Victims) > 0 || !p.Cleared):
				t.Errorf("%+v", p)
			case c.slot != "" && (len(p.Victims) != 1 || p.Victims[0].ID != c.slot || p.Victims[0].Info["of"] != "leaking"):
				t.Errorf("%+v", p)
			}
		})
	}
}
