package parts_test

import (
	"encoding/json"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/web/parts"
)

// TestLeakStatus: a worker that is suspected has the views in which its app loses memory.
func TestLeakStatus(t *testing.T) {
	slope, share := 1000.0, .5
	s := &model.State{
		MemoryLeaks: []model.MemoryLeak{{App: "shop", Slot: "0"}, {App: "shop", Slot: "1", Suspected: true, Slope: &slope, Confidence: &share}},
		LeakViews:   []model.LeakView{{App: "blog", View: "list", Growth: 1}, {App: "shop", View: "pay", Growth: 900, Error: 90, PerRequest: 50}},
	}
	for slot, want := range map[string]string{
		"0": `{"suspected":false,"slope_bytes_per_second":null,"confidence":null,"bytes_per_request":null,"seconds_to_limit":null,"views":[]}`,
		"1": `{"suspected":true,"slope_bytes_per_second":1000,"confidence":0.5,"bytes_per_request":null,"seconds_to_limit":null,` +
			`"views":[{"view":"pay","growth_bytes_per_second":900,"standard_error_bytes_per_second":90,"bytes_per_request":50}]}`,
		"2": `null`,
	} {
		got, err := json.Marshal(parts.LeakStatus(s, "shop", slot))
		if err != nil || string(got) != want {
			t.Errorf("%s: %s, %v", slot, got, err)
		}
	}
}
