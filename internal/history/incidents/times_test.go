package incidents

import (
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// An incident begins when the wait in its chain did, and without a chain at the look
// before, unless its harm is known at once. It ends at the last look with harm.
func TestTimes(t *testing.T) {
	const first, last = 4, 10 // looks with harm
	at := func(look int) time.Time { return noon().Add(time.Duration(5*look) * time.Second) }
	latency, tasks := model.Harm{Latency: model.Known(3)}, model.Harm{Tasks: model.Known(70)}
	for name, c := range map[string]struct {
		harm    model.Harm
		chain   *model.Chain
		unknown bool // the app is new
		start   time.Time
	}{
		"slow requests":            {latency, nil, false, at(first - 1)},
		"slow requests, new app":   {latency, nil, true, at(first)},
		"a chain":                  {latency, &model.Chain{App: "shop", Seconds: 7, Links: make([]model.Link, 1)}, false, at(first).Add(-7 * time.Second)},
		"tasks":                    {tasks, nil, false, at(first)},
		"tasks and slow requests":  {model.Harm{Tasks: tasks.Tasks, Latency: latency.Latency}, nil, false, at(first - 1)},
		"a chain that has not age": {latency, &model.Chain{App: "shop", Links: make([]model.Link, 1)}, false, at(first)},
	} {
		t.Run(name, func(t *testing.T) {
			r := New(Options{})
			for i := range 20 {
				s := &model.State{}
				if !c.unknown || i >= first {
					s.Apps = []model.App{{Name: "shop"}}
				}
				if i >= first && i <= last {
					s.Bottlenecks = []model.Bottleneck{{App: "shop", Cause: model.CauseDBSlow, Harm: c.harm, Chain: c.chain}}
				}
				r.Observe(at(i), s)
			}
			got := r.Incidents(0)
			if len(got) != 1 || !got[0].Start.Equal(c.start) || !got[0].End.Equal(at(last)) {
				t.Errorf("%+v, want from %s to %s", got, c.start, at(last))
			}
		})
	}
}
