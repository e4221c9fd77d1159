package handover_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/actiontest"
	"github.com/resp-exporter/resp-exporter/internal/heal/handover"
)

// FuzzNew: any alert becomes one object of the fixed form, with clean strings.
func FuzzNew(f *testing.F) {
	for name, v := range actiontest.Payloads() {
		f.Add(name, v)
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		a := action.Alert{Labels: map[string]string{name: value, "alertname": value}}
		h, err := handover.New(action.PlanRequest{Alert: a, RunID: "r-1"}, "run_command", "command")
		if err != nil {
			t.Fatal(err)
		}
		b := h.Body
		var got map[string]any
		if err := json.Unmarshal(b, &got); err != nil || len(got) != 4 || len(b) > 64<<10 {
			t.Fatalf("%v: %s", err, b)
		}
		labels := got["alert"].(map[string]any)["labels"].(map[string]any)
		for k, v := range labels {
			if strings.ContainsFunc(k, func(r rune) bool { return r > 'z' || r < '0' }) || strings.ContainsFunc(v.(string), func(r rune) bool { return r < ' ' }) {
				t.Errorf("%q: %q", k, v)
			}
		}
	})
}
