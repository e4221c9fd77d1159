package collectors_test

import (
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/ingest"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
	"github.com/resp-exporter/resp-exporter/internal/waits/sampling"
)

// fakeTotals is what a sampler has added up.
type fakeTotals sampling.Totals

func (f fakeTotals) Totals() sampling.Totals { return sampling.Totals(f) }

// shopTotals returns the totals of the workers of shop.
func shopTotals() fakeTotals {
	var t fakeTotals
	u := 0.25
	a := ledger.AppTotals{App: "shop", Utilization: &u, Slots: []ledger.SlotTotals{{Slot: 0, Loop: true, Blocked: 1.5}, {Slot: 1}}}
	a.Slots[0].Seconds[ledger.CPU], a.Slots[0].Seconds[ledger.Idle] = 2, 98
	a.Slots[1].Seconds[ledger.MySQL], a.Slots[1].Seconds[ledger.Throttled] = 40, 0.5
	t.Apps, t.Rate, t.CPU, t.DroppedSockets = []ledger.AppTotals{a}, 10, 1500*time.Millisecond, 3
	return t
}

func TestWaits(t *testing.T) {
	clock := newFakeClock()
	r := collectors.NewRequests(collectors.RequestsOptions{Now: clock.Now})
	collect(t, r)
	clock.advance(10 * time.Second)
	feed(r, "shop.gunicorn.request.status.200:100|c", ingest.Source{})
	collect(t, r)
	golden(t, collectors.NewWaits(fakeApps{snap: shop()}, shopTotals(), r))
}

// What is not known has no series.
func TestWaitsUnknown(t *testing.T) {
	snap := shop()
	snap.Apps[1].Workers[0].State = ""
	s, err := collectors.NewWaits(fakeApps{snap: snap}, fakeTotals{}, nil).Collect(t.Context())
	if err != nil || len(s.State.Waits) != 0 {
		t.Errorf("%v, %+v", err, s.State.Waits)
	}
}

// The request threads of a worker are in the state.
func TestWorkerThreads(t *testing.T) {
	snap := shop()
	snap.Apps[1].Workers[1].RequestThreads = []model.Thread{{TID: 7, Main: true, On: "mysql", Peer: "mysql:main", Seconds: 3}}
	s, err := collectors.NewWorkers(fakeApps{snap: snap}).Collect(t.Context())
	if err != nil || len(s.State.Workers) != 1 {
		t.Fatal(err)
	}
	if got := s.State.Workers[0].Workers[1].Threads; len(got) != 1 || got[0].TID != 7 || got[0].On != "mysql" {
		t.Errorf("%+v", got)
	}
}
