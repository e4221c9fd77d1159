package cause_test

import (
	"bytes"
	"flag"
	"fmt"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/diagnosis/cause"
	"github.com/resp-exporter/resp-exporter/internal/golden"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

var update = flag.Bool("update", false, "write the golden file instead of comparing with it")

// What people read of each cause, with and without a peer.
func TestSentences(t *testing.T) {
	peers := map[model.Cause]string{
		model.CauseDBDown: "mysql:main", model.CauseDBLock: "mysql:main", model.CauseDBSlow: "mysql:main", model.CausePool: "mysql:main",
		model.CauseRedis: "redis:cache", model.CauseUpstream: "10.0.0.9:443", model.CauseTasks: "default",
	}
	var got bytes.Buffer
	add := func(b model.Bottleneck) {
		fmt.Fprintf(&got, "%s (%s)\n  %s\n  %s\n", b.Cause, cause.ID(&b), cause.Sentence(&b), cause.Advice(&b))
	}
	for _, c := range cause.All() {
		b := model.Bottleneck{App: "shop", Cause: c, Peer: peers[c], Share: 0.9, Harm: model.Harm{Queue: new(12.0)}}
		switch c {
		case model.CauseTasks:
			b.Harm = model.Harm{Tasks: new(400.0)}
			b.Evidence = []model.Evidence{{Code: "task_age", Of: "default", Value: 400}, {Code: "tasks", Of: "default", Value: 3}, {Code: "task_workers", Of: "default"}}
		case model.CauseWorkers:
			b.Evidence = []model.Evidence{{Code: "utilization", Value: 0.99}, {Code: "queue", Value: 12}, {Code: "threads", Value: 4}}
		default:
			b.Evidence = []model.Evidence{{Code: "lost_threads", Value: 3.6}, {Code: "threads", Value: 4}, {Code: "waiting_threads", Value: 4}, {Code: "longest_wait", Value: 7.5}, {Code: "queue", Value: 12}}
		}
		if c == model.CausePool {
			b.Evidence = append(b.Evidence, model.Evidence{Code: "pool_in_use", Of: "main", Value: 1}, model.Evidence{Code: "pool_in_transaction", Of: "main", Value: 2}, model.Evidence{Code: "pool_leaked", Of: "main", Value: 7})
		}
		add(b)
		if peers[c] != "" {
			b.Peer, b.Evidence, b.Harm = "", nil, model.Harm{Latency: new(9.0)}
			add(b)
		}
	}
	harm := model.Harm{Latency: new(9.0)}
	add(model.Bottleneck{App: "shop", Cause: model.CauseUpstream, Peer: "app:blog", Harm: harm})
	add(model.Bottleneck{App: "shop", Cause: model.CauseCPU, Harm: harm, Evidence: []model.Evidence{
		{Code: "lost_threads", Value: 3.6}, {Code: "threads", Value: 4}, {Code: "computing_workers", Of: "shop:report", Value: 3}, {Code: "longest_request", Of: "shop:report", Value: 12},
	}})
	add(model.Bottleneck{App: "shop", Cause: model.CauseDBLock, Harm: harm, Peer: "mysql:main", Chain: &model.Chain{
		App: "shop", On: "mysql", Peer: "mysql:main", Kind: "row", Object: "shop.orders", Workers: 4, Seconds: 42,
		Victims: []model.Link{{App: "shop", Slot: "0", PID: 100, TID: 100, On: "mysql", Peer: "mysql:main", Seconds: 42}},
		Links:   []model.Link{{Server: "mysql:main", Connection: 99, User: "root", Host: "localhost", Command: "Sleep", Seconds: 50, Transaction: new(58.0)}},
	}})
	calm := model.Bottleneck{App: "shop", Cause: model.CauseDBLock, Peer: "mysql:main", Chain: &model.Chain{Kind: "row"}}
	add(calm)
	golden.Check(t, "sentences.txt", got.Bytes(), *update)
	if s := cause.Advice(&calm); s != "" {
		t.Errorf("advice about what is over: %q", s)
	}
	if s := cause.Sentence(&model.Bottleneck{App: "shop"}); s != "" {
		t.Errorf("without a cause: %q", s)
	}
}
