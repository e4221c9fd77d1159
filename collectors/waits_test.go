package collectors_test

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/ingest"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/pystack/image"
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
	t.Apps, t.Rate, t.CPU, t.DroppedSockets, t.DroppedViews = []ledger.AppTotals{a}, 10, 1500*time.Millisecond, 3, 4
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
	threads := shopTotals() // without an event loop
	threads.Apps[0].Slots[0].Loop = false
	goldenAs(t, collectors.NewWaits(fakeApps{snap: shop()}, threads, r), "waits_threads")
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

// Stacks that cannot be read are a note with the reason; the collector lacks nothing that
// a sound app has.
func TestWaitsWithoutStacks(t *testing.T) {
	t.Parallel()
	denied := map[string]error{"shop": unix.EPERM}
	cases := map[string]struct {
		totals fakeTotals
		reason collectors.Reason // "": none
		remedy bool
	}{
		"permission":             {fakeTotals{Denied: denied}, collectors.Permission, true},
		"of an app that is gone": {fakeTotals{Denied: map[string]error{"other": unix.EPERM}, Unsupported: map[string]error{"down": unix.EPERM}}, "", false},
		"neither":                {fakeTotals{}, "", false},
	}
	for _, why := range []image.Reason{
		image.NotPython, image.PyPy, image.FreeThreaded, image.Musl, image.Bits, image.Architecture, image.OldOrNew, image.Stripped, image.FUSE, image.BadFile, image.Layout,
	} {
		cases[string(why)] = struct {
			totals fakeTotals
			reason collectors.Reason
			remedy bool
		}{fakeTotals{Unsupported: map[string]error{"shop": &image.Unsupported{Reason: why}}, Denied: denied}, collectors.Unsupported, false}
	}
	seen := make(map[string]string)
	for name, c := range cases {
		_, err := collectors.NewWaits(fakeApps{snap: shop()}, c.totals, nil).Collect(t.Context())
		if got, _ := collectors.ReasonOf(err); got != collectors.OK {
			t.Errorf("%s: the collector is %q", name, got)
		}
		lacks := collectors.Lacks(err)
		if c.reason == "" {
			if len(lacks) != 0 {
				t.Errorf("%s: %+v", name, lacks)
			}
			continue
		}
		if len(lacks) != 1 || lacks[0].Reason != c.reason || !lacks[0].Optional || lacks[0].Of != "app:shop" || (lacks[0].Remedy != "") != c.remedy {
			t.Errorf("%s: %+v", name, lacks)
			continue
		}
		if other, ok := seen[lacks[0].Detail]; ok {
			t.Errorf("%s and %s have the same sentence", name, other)
		}
		seen[lacks[0].Detail] = name
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

// Where request threads end, and what a new connection waits: the numbers of a rate of ten
// requests a second.
func TestCapacity(t *testing.T) {
	clock := newFakeClock()
	r := collectors.NewRequests(collectors.RequestsOptions{Now: clock.Now})
	collect(t, r)
	clock.advance(10 * time.Second)
	feed(r, "shop.gunicorn.request.status.200:100|c", ingest.Source{})
	collect(t, r)
	for name, c := range map[string]struct {
		use              float64
		loop, silent     bool
		queue            []int // of its listeners; -1: not known
		saturation, wait float64
	}{
		"in use":               {0.8, false, false, []int{3, 1, 0}, 12.5, 0.4},
		"used up":              {1, false, false, []int{50, -1, 0}, 10, 5},
		"idle":                 {0.005, false, false, []int{0, 0, 0}, -1, 0},
		"an event loop":        {0.8, true, false, []int{3, 1, 0}, -1, 0.4},
		"no requests":          {0.8, false, true, []int{3, 1, 0}, -1, -1},
		"no request, no queue": {0.8, false, true, []int{0, 0, 0}, -1, 0},
		"queues not known":     {0.5, false, false, []int{-1, -1, -1}, 20, -1},
	} {
		snap := shop()
		for i, n := range c.queue {
			l := &snap.Apps[1].Listeners[i]
			l.HasQueue, l.Queue = n >= 0, uint32(max(n, 0))
		}
		totals := shopTotals()
		totals.Apps[0].Utilization, totals.Apps[0].Slots[0].Loop = &c.use, c.loop
		from := r
		if c.silent {
			from = nil
		}
		s, err := collectors.NewWaits(fakeApps{snap: snap}, totals, from).Collect(t.Context())
		if err != nil || len(s.State.Waits) != 1 {
			t.Fatal(err)
		}
		got := s.State.Waits[0]
		for what, v := range map[string]struct {
			got  *float64
			want float64
		}{"saturation": {got.Saturation, c.saturation}, "queue wait": {got.QueueWait, c.wait}, "utilization": {got.Utilization, c.use}} {
			if (v.got == nil) != (v.want < 0) || v.got != nil && *v.got != v.want {
				t.Errorf("%s: %s is %v, want %v", name, what, v.got, v.want)
			}
		}
	}
}
