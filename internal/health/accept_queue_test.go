package health_test

import (
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/health/measures"
	"github.com/resp-exporter/resp-exporter/internal/model/modeltest"
)

// A full queue is reported for any queues of the other listeners.
func TestQueuesAreJudgedOneByOne(t *testing.T) {
	type listener struct {
		name          string
		length, limit float64
		fullest       float64 // socket at that address
	}
	for name, c := range map[string]struct {
		list    []listener
		fullest string
		level   health.Level
	}{
		"an idle control socket":      {[]listener{{":8000", 9, 8, 0}, {"unix:/run/gunicorn.ctl", 0, 100, 0}}, ":8000", health.Critical},
		"an idle second bind":         {[]listener{{":8000", 0, 2048, 0}, {"unix:/run/shop.sock", 8, 8, 0}}, "unix:/run/shop.sock", health.Critical},
		"one of two sockets is full":  {[]listener{{":8000", 9, 16, 1.125}}, ":8000", health.Critical},
		"many wait where many may":    {[]listener{{":8000", 7, 8, 0}, {":8001", 60, 2048, 0}}, ":8000", health.Warning},
		"few at each, many in all":    {[]listener{{":8000", 30, 2048, 0}, {":8001", 30, 2048, 0}}, ":8000", health.Healthy},
		"a limit of none is no limit": {[]listener{{":8000", 1, 0, 0}, {":8001", 0, 128, 0}}, ":8000", health.Healthy},
	} {
		rs := []modeltest.Fact{fact("resp_up", 1, "app:shop"), fact("resp_app_workers", 1, "shop", "idle")}
		for _, l := range c.list {
			rs = append(rs, fact("resp_listener_queue_length", l.length, "shop", l.name), fact("resp_listener_queue_limit", l.limit, "shop", l.name))
			if l.fullest > 0 {
				rs = append(rs, fact("page.listener_fullness", l.fullest, "shop", l.name))
			}
		}
		in := modeltest.State(rs)
		x := newTrial()
		got := x.look(0, rs...).Apps[0].Components["request_queue"]
		if q := measures.Fullest(in.Listeners[0].Listeners); q == nil || q.Name != c.fullest {
			t.Errorf("%s: the fullest is %+v", name, q)
		}
		if got != c.level {
			t.Errorf("%s: %v, want %v", name, got, c.level)
		}
	}
	if q := measures.Fullest(nil); q != nil {
		t.Errorf("no listener, and %+v", q)
	}
}
