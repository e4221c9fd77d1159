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
		MemoryLeaks: []model.MemoryLeak{{App: "shop", Slot: "0"}, {App: "shop", Slot: "1", Suspected: true, Slope: &slope, Confidence: &share}, {App: "shop", Slot: "3", Suspected: true, Slope: &slope, Confidence: &share}},
		Heaps: []model.HeapCensus{
			{App: "blog", Slot: "1", Outcome: model.HeapNotPython}, {
				App: "shop", Slot: "1", Outcome: model.HeapGrows, Censuses: 3, Seconds: 600, Objects: 1000, CPU: .25, Growth: 5e6,
				Types:      []model.HeapGrowth{{Name: "Order", Count: 300, PerHour: 60}},
				Containers: []model.HeapGrowth{{Name: "shop.cache", Kind: "list", Of: "Order", Count: 299, PerHour: 59}},
			},
			{App: "shop", Slot: "3", Outcome: model.HeapUnknown, Reason: model.HeapAwake},
		},
		LeakViews: []model.LeakView{{App: "blog", View: "list", Growth: 1}, {App: "shop", View: "pay", Growth: 900, Error: 90, PerRequest: 50}},
	}
	for slot, want := range map[string]string{
		"0": `{"suspected":false,"slope_bytes_per_second":null,"confidence":null,"bytes_per_request":null,"seconds_to_limit":null,"views":[],"census":null}`,
		"1": `{"suspected":true,"slope_bytes_per_second":1000,"confidence":0.5,"bytes_per_request":null,"seconds_to_limit":null,` +
			`"views":[{"view":"pay","growth_bytes_per_second":900,"standard_error_bytes_per_second":90,"bytes_per_request":50}],` +
			`"census":{"outcome":"grows","reason":null,"censuses":3,"seconds":600,"objects":1000,"growth_bytes":5000000,"cpu_seconds":0.25,` +
			`"types":[{"name":"Order","count":300,"per_hour":60}],"containers":[{"name":"shop.cache","kind":"list","of":"Order","items":299,"per_hour":59}]}}`,
		"3": `{"suspected":true,"slope_bytes_per_second":1000,"confidence":0.5,"bytes_per_request":null,"seconds_to_limit":null,` +
			`"views":[{"view":"pay","growth_bytes_per_second":900,"standard_error_bytes_per_second":90,"bytes_per_request":50}],` +
			`"census":{"outcome":"unknown","reason":"awake","censuses":0,"seconds":0,"objects":0,"growth_bytes":0,"cpu_seconds":0,"types":[],"containers":[]}}`,
		"2": `null`,
	} {
		got, err := json.Marshal(parts.LeakStatus(s, "shop", slot))
		if err != nil || string(got) != want {
			t.Errorf("%s: %s, %v", slot, got, err)
		}
	}
}
