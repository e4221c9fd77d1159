package collectors_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/ingest"
)

// optionalLacks returns the optional lacks of one scrape, as "of reason detail".
func optionalLacks(t *testing.T, r *collectors.Requests) []string {
	t.Helper()
	_, err := r.Collect(context.Background())
	var out []string
	for _, u := range collectors.Lacks(err) {
		if u.Optional {
			out = append(out, u.Of+" "+string(u.Reason)+" "+u.Detail)
		}
	}
	return out
}

// attributing returns a collector that attributes senders by process id or inode.
func (w *fakeKernel) attributing(apps map[uint64]string) *collectors.Requests {
	o := w.options(20)
	o.Attribute = func(_ context.Context, asked []ingest.Source) map[ingest.Source]string {
		w.lock.Lock()
		defer w.lock.Unlock()
		w.attributes++
		out := map[ingest.Source]string{}
		for _, s := range asked {
			if name := apps[max(uint64(s.PID), s.Inode)]; name != "" {
				out[s] = name
			}
		}
		return out
	}
	return collectors.NewRequests(o)
}

func TestMalformedLinesOfAnApp(t *testing.T) {
	w := newFakeKernel(map[string][]uint32{"shop": {1000}, "till": {1001}})
	r := w.attributing(map[uint64]string{11: "shop", 700: "shop", 12: "till"})
	shop, port, other := local(11, 1000), w.bind(7000, 1000, 700), local(99, 1000)
	stranger, foreign := local(66, 5000), w.bind(6600, 5000, 660)
	for range 3 {
		r.ObserveFault(ingest.FaultShape, shop)
	}
	r.ObserveFault(ingest.FaultValue, port)
	r.ObserveFault(ingest.FaultRate, other)        // of the same user, and of no app
	r.ObserveFault(ingest.FaultType, stranger)     // of no app
	r.ObserveFault(ingest.FaultSize, foreign)      // of no app, by UDP
	r.ObserveFault(ingest.Faults, local(12, 1001)) // no such fault
	optionalLacks(t, r)
	want := []string{"app:shop malformed shop sent malformed StatsD lines (shape 3, value 1), the last one within 10 min"}
	if got := optionalLacks(t, r); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if s, err := r.Collect(t.Context()); err != nil {
		if reason, _ := collectors.ReasonOf(err); reason != collectors.OK || len(s.Metrics) == 0 {
			t.Errorf("%v", err)
		}
	}
	w.advance(5 * time.Minute)
	r.ObserveFault(ingest.FaultShape, shop)
	if got := optionalLacks(t, r); len(got) != 1 || !strings.Contains(got[0], "(shape 4, value 1)") {
		t.Errorf("later: %q", got)
	}
	w.advance(11 * time.Minute)
	if got := optionalLacks(t, r); len(got) != 0 {
		t.Errorf("long after: %q", got)
	}
}

// A name of no watched app is an optional lack, as long as it is used.
func TestMisnamedLines(t *testing.T) {
	w := newFakeKernel(map[string][]uint32{"shop": {1000}, "till": {1000}})
	r := w.attributing(map[uint64]string{11: "shop", 12: "till"})
	shop, till, stranger := local(11, 1000), local(12, 1000), local(66, 5000)
	for range 2 {
		w.send(r, shop, "prod.shop.gunicorn.request.status.200:1|c")
		w.send(r, till, "till.gunicorn.request.status.200:1|c")
		w.send(r, stranger, "mine.gunicorn.request.status.200:1|c")
		optionalLacks(t, r)
	}
	want := []string{"app:shop misnamed the StatsD lines of shop name prod.shop, which is not a watched app; they are counted under that name"}
	w.send(r, shop, "prod.shop.gunicorn.request.status.200:1|c")
	if got := optionalLacks(t, r); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	looked := w.attributes
	w.send(r, shop, "prod.shop.gunicorn.request.status.200:1|c")
	optionalLacks(t, r)
	if w.attributes != looked {
		t.Error("a sender that is known is looked up again")
	}
	for range 2 {
		w.send(r, shop, "shop.gunicorn.request.status.200:1|c")
		optionalLacks(t, r)
	}
	if got := optionalLacks(t, r); len(got) != 0 {
		t.Errorf("after the remedy: %q", got)
	}
}

// Senders without an app cause no lookup, for any number of them.
func TestStrangersAreNotTraced(t *testing.T) {
	w := newFakeKernel(map[string][]uint32{"shop": {1000}})
	r := w.attributing(nil)
	for i := range int32(5000) {
		r.ObserveFault(ingest.FaultShape, local(i+100, 5000))
	}
	optionalLacks(t, r)
	optionalLacks(t, r)
	if w.attributes != 0 {
		t.Errorf("%d lookups", w.attributes)
	}
	for i := range int32(500) {
		r.ObserveFault(ingest.FaultShape, local(i+10_000, 1000))
	}
	if got := optionalLacks(t, r); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

func BenchmarkRefused(b *testing.B) {
	w := newFakeKernel(map[string][]uint32{"shop": {1000}})
	r := w.requests(20)
	from := local(11, 1000)
	b.ReportAllocs()
	for b.Loop() {
		r.ObserveFault(ingest.FaultShape, from)
	}
}

// proofs returns how often Prove was called.
func (w *fakeKernel) proofs() int {
	w.lock.Lock()
	defer w.lock.Unlock()
	return w.asked
}
