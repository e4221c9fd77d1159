package collectors_test

import (
	"errors"
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
	a.Views = []ledger.View{{Name: "checkout"}, {Name: "index"}}
	a.Views[0].Seconds[ledger.Redis] = 2
	t.InFlight = map[string]map[string]int{"shop": {"checkout": 1}}
	t.Stacks = map[string]uint64{"ok": 7, "torn": 1}
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

// An interpreter that cannot be read is said, and lacks nothing that a sound app
// has.
func TestWaitsUnsupported(t *testing.T) {
	totals := fakeTotals{Unsupported: map[string]error{"shop": errors.New("the process runs PyPy")}}
	_, err := collectors.NewWaits(fakeApps{snap: shop()}, totals, nil).Collect(t.Context())
	lacks := collectors.Lacks(err)
	if len(lacks) != 1 || lacks[0].Reason != collectors.Unsupported || !lacks[0].Optional || lacks[0].Of != "app:shop" {
		t.Errorf("%+v", lacks)
	}
	if got, _ := collectors.ReasonOf(err); got != collectors.OK {
		t.Errorf("the collector is %q", got)
	}
}

// A request is as old as its server says, where that is more than what is seen of
// its worker.
func TestOldestRequest(t *testing.T) {
	snap := shop()
	snap.Apps[1].Workers[1].RequestThreads = []model.Thread{{Stack: &model.Stack{Started: snap.Time.Add(-20 * time.Second)}}}
	s, err := collectors.NewWaits(fakeApps{snap: snap}, fakeTotals{}, nil).Collect(t.Context())
	if err != nil || len(s.State.Waits) != 1 || *s.State.Waits[0].Oldest != 20 {
		t.Errorf("%v, %+v", err, s.State.Waits)
	}
}

// The request threads of a worker are in the state.
func TestWorkerThreads(t *testing.T) {
	snap := shop()
	snap.Apps[1].Workers[1].RequestThreads = []model.Thread{{TID: 7, Main: true, On: "mysql", Peer: "mysql:main", Seconds: 3}}
	s, err := collectors.NewWorkers(fakeApps{snap: snap}, fakeEnds{}).Collect(t.Context())
	if err != nil || len(s.State.Workers) != 1 {
		t.Fatal(err)
	}
	if got := s.State.Workers[0].Workers[1].Threads; len(got) != 1 || got[0].TID != 7 || got[0].On != "mysql" {
		t.Errorf("%+v", got)
	}
}
