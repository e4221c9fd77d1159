package health_test

import (
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// TestAdviceOfBottleneck checks that the first advice about an app that is held up says
// what can be ended, where that is known, and that it is said once.
func TestAdviceOfBottleneck(t *testing.T) {
	t.Parallel()
	stuck := func(on, peer string) []model.Worker {
		return []model.Worker{{Slot: "0", PID: 101, State: "stuck", Seconds: 60, Wait: &model.Wait{On: on, Peer: peer}}}
	}
	query := model.Query{Connection: model.Connection{Owner: model.Owner{App: "shop", Slot: "0", PID: 101}, ID: 12}, Server: "main", Statement: "SELECT", Seconds: 60}
	foreign := query
	foreign.Owner, foreign.ID = model.Owner{}, 13
	for name, c := range map[string]struct {
		cause    model.Cause
		peer     string
		evidence []model.Evidence
		workers  []model.Worker
		queries  []model.Query
		ended    bool // there is no harm any more
		want     string
		never    string
	}{
		"slow statements":             {cause: model.CauseDBSlow, peer: "mysql:main", workers: stuck("mysql", "mysql:main"), queries: []model.Query{foreign, query}, want: "KILL QUERY 12", never: "KILL QUERY 13"},
		"those of others":             {cause: model.CauseDBSlow, peer: "mysql:main", workers: stuck("mysql", "mysql:main"), queries: []model.Query{foreign}, want: "SHOW FULL PROCESSLIST", never: "KILL QUERY"},
		"over":                        {cause: model.CauseDBSlow, peer: "mysql:main", workers: stuck("mysql", "mysql:main"), queries: []model.Query{query}, ended: true, want: "KILL QUERY 12", never: "held up"},
		"an upstream server":          {cause: model.CauseUpstream, peer: "10.0.0.9:443", workers: stuck("upstream", "10.0.0.9:443"), want: "101", never: "10.0.0.8"},
		"workers that wait elsewhere": {cause: model.CauseUpstream, peer: "10.0.0.9:443", workers: stuck("upstream", "10.0.0.8:443"), want: "timeout", never: "101"},
		"requests that compute":       {cause: model.CauseCPU, evidence: []model.Evidence{{Code: "computing_workers", Value: 1}}, workers: stuck("cpu", ""), want: "101", never: "cheaper"},
		"a lack of processors":        {cause: model.CauseCPU, workers: stuck("cpu", ""), want: "cores", never: "101"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := model.Bottleneck{App: "shop", Cause: c.cause, Peer: c.peer, Evidence: c.evidence, Share: 1}
			if !c.ended {
				b.Harm = model.Harm{Stuck: new(1.0)}
			}
			s := &model.State{
				Apps:        []model.App{{Name: "shop", Up: true}},
				Workers:     []model.AppWorkers{{App: "shop", Counts: &model.WorkerCounts{Stuck: 1}, Workers: c.workers}},
				Queries:     c.queries,
				Bottlenecks: []model.Bottleneck{b},
			}
			e, _ := health.Evaluate(health.Input{State: s, At: time.Unix(1_700_000_000, 0), Limits: config.Default().Thresholds, Interval: 30 * time.Second, MySQL: []string{"main"}}, health.State{})
			advice := e.Advice()
			if len(advice) == 0 || !strings.Contains(advice[0].Text, c.want) || strings.Contains(advice[0].Text, c.never) {
				t.Fatalf("want %q first and not %q, got %+v", c.want, c.never, advice)
			}
			for _, a := range advice[1:] {
				if a.Cause == advice[0].Cause {
					t.Errorf("twice: %+v", a)
				}
			}
		})
	}
}
