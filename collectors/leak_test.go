package collectors_test

import (
	"math"
	"testing"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/leak"
	"github.com/resp-exporter/resp-exporter/internal/leak/views"
	"github.com/resp-exporter/resp-exporter/internal/leak/watch"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// fakeVerdicts: worker 1 of shop leaks, worker 0 does not.
type fakeVerdicts struct{ perRequest float64 }

func (v fakeVerdicts) Of(app string, slot, pid int) (watch.Found, bool) {
	f := watch.Found{Slot: slot, PID: pid, Anon: 50e6, Verdict: leak.Verdict{Leak: slot == 1, Slope: 1000, Confidence: .75, BytesPerRequest: v.perRequest}}
	return f, app == "shop" && (pid == 101 || pid == 102)
}

func (fakeVerdicts) Dropped() uint64 { return 3 }

func (fakeVerdicts) Views(app string) []views.Growth {
	if app != "shop" {
		return nil
	}
	return []views.Growth{{View: "checkout", PerRequest: 50e3, Error: 5e3, PerSecond: 900}}
}

func (fakeVerdicts) DroppedViews() uint64 { return 4 }

// fakeHeaps: the list cache of shop grows.
type fakeHeaps struct{}

func (fakeHeaps) Of(app string) (model.HeapCensus, bool) {
	return model.HeapCensus{
		App: app, Slot: "1", Outcome: model.HeapGrows, Containers: []model.HeapGrowth{{Name: "shop.cache", Kind: "list", Of: "Order", Count: 90}},
	}, app == "shop"
}

func (fakeHeaps) Dropped() uint64 { return 5 }

func TestLeak(t *testing.T) {
	golden(t, collectors.NewLeak(fakeApps{snap: shop()}, fakeVerdicts{500}, fakeHeaps{}, groups(t), total))
	goldenAs(t, collectors.NewLeak(fakeApps{snap: shop()}, fakeVerdicts{math.NaN()}, fakeHeaps{}, groups(t), total), "leak_no_requests")
}
