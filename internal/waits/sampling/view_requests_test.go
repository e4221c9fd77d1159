package sampling

import (
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/leak/views"
	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
)

// The requests of a view are counted once each, however many samples show them.
func TestViewRequests(t *testing.T) {
	t.Parallel()
	w, v := &worker{}, newViewThread()
	w.threads = []*thread{v.thread}
	v.counted = true
	pay, list := &ledger.View{Name: "pay"}, &ledger.View{Name: "list"}
	see := func(view *ledger.View, age, run time.Duration) {
		v.pass(run)
		started := time.Time{}
		if age >= 0 {
			started = v.now.Add(-age)
		}
		v.sampleView(view, started, ledger.Lock)
		v.on = ledger.Lock
		w.countRequest(v.thread, ledger.Lock, v.now)
	}
	idle := func() {
		v.pass(0)
		v.sampleIdle()
		v.on = ledger.Idle
		w.countRequest(v.thread, ledger.Idle, v.now)
	}
	see(pay, 10*msec, msec)
	see(pay, 110*msec, 90*msec) // the same
	see(pay, 5*msec, msec)      // the next
	if w.inHand() != true {
		t.Error("no request in hand")
	}
	idle()
	see(list, -1, 0) // a start that is not known
	see(list, -1, 0) // the same: it has not run
	see(list, -1, 50*msec)
	idle()
	see(list, -1, 0)
	v.pass(0)
	v.stack.known = false // a look that was not believed
	w.countRequest(v.thread, ledger.Lock, v.now)
	idle()
	if w.inHand() {
		t.Error("a request in hand")
	}
	w.requests.Looks = 12
	seen := w.requests.Take()
	var ages views.Ages
	for _, age := range []time.Duration{10 * msec, 110 * msec, 5 * msec} {
		ages.Add(age)
	}
	if seen.Looks != 12 || len(seen.Views) != 2 || seen.Views[0].Name != "pay" || seen.Views[0].Requests != 2 || seen.Views[0].Ages != ages ||
		seen.Views[1].Requests != 3 || seen.Views[1].Ages != (views.Ages{}) {
		t.Errorf("%+v", seen)
	}
	if again := w.requests.Take(); again.Looks != 0 || len(again.Views) != 0 {
		t.Errorf("%+v", again)
	}
}
