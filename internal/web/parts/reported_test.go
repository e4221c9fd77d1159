package parts_test

import (
	"encoding/json"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/web/parts"
)

// TestReportedStatus: an app has what its own workers report.
func TestReportedStatus(t *testing.T) {
	lines := []model.MemoryLine{{File: "/srv/shop/cart.py", Line: 42, Blocks: 7, Bytes: 5e6}}
	s := &model.State{Reported: []model.Reported{
		{App: "blog"}, {App: "shop", SessionPrefix: "shop:", SessionLifetime: model.Known(7200), Traces: []model.MemoryTrace{{Run: "t-1", PID: 4711, Lines: lines}}},
	}}
	for app, want := range map[string]string{
		"none": `null`,
		"blog": `{"sessions":null,"memory_traces":[]}`,
		"shop": `{"sessions":{"prefix":"shop:","lifetime_seconds":7200},"memory_traces":[{"run":"t-1","pid":4711,"lines":[{"file":"/srv/shop/cart.py","line":42,"blocks":7,"bytes":5000000}]}]}`,
	} {
		got, err := json.Marshal(parts.ReportedStatus(s, app))
		if err != nil || string(got) != want {
			t.Errorf("%s: %s, %v", app, got, err)
		}
	}
}
