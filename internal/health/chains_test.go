package health_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/model/modeltest"
)

// lockChain returns a chain: the workers 0 and 1 of shop wait for a row that worker 2
// holds, which waits for an address.
func lockChain() model.Chain {
	victim := func(slot string, pid int, id uint64) model.Link {
		return model.Link{App: "shop", Slot: slot, PID: pid, Server: "mysql:main", Connection: id, On: "mysql", Peer: "mysql:main", Seconds: 42}
	}
	open := 58.0
	return model.Chain{
		App: "shop", On: "mysql", Peer: "mysql:main", Kind: "row", Object: "shop.orders", Workers: 3, Seconds: 42,
		Victims: []model.Link{victim("0", 4710, 11), victim("1", 4711, 12)},
		Links: []model.Link{{
			App: "shop", Slot: "2", PID: 4712, Server: "mysql:main", Connection: 13, On: "upstream", Peer: "10.0.0.9:443", Seconds: 57, Transaction: &open,
			Stack: &model.Stack{View: "refund", Own: model.Frame{Function: "refund", File: "/srv/shop/billing.py", Line: 131}},
		}},
	}
}

// The chain is the first advice of the workers, the pool and the server, and the only
// one about its root: today's lines about the lock, and about the worker that holds
// it, do not say it again.
func TestAdviceOfChains(t *testing.T) {
	facts := slices.Concat(appOf("shop", 9, "stuck", "stuck", "stuck"), []modeltest.Fact{
		fact("resp_up", 1, "mysql:main"), fact("resp_mysql_longest_query_seconds", 41, "main"),
		waiting("0", "mysql", "mysql:main"), waiting("1", "mysql", "mysql:main"), waiting("2", "upstream", "10.0.0.9:443"),
		held("11", "0", "13", "shop", "2", "4712", "sleeping"), held("12", "1", "13", "shop", "2", "4712", "sleeping"),
		fact("resp_pool_connections", 2, "shop", "main", "in_use"), fact("resp_pool_connections", 1, "shop", "main", "leaked"),
		fact("page.pool_leak", 58, "shop", "main", "main", "13", "2", "4712"), fact("resp_pool_utilization_ratio", 1, "shop", "main"),
	})
	x := newTrial()
	x.in.MySQL = []string{"main"}
	x.in.Parts = []health.Part{{App: "shop", Component: "pool", Name: "main", Store: "mysql:main"}}
	x.in.State = modeltest.State(facts)
	before, _ := health.Evaluate(x.in, health.State{})
	if line := before.Recommendations()[0]; strings.Contains(line, "billing.py") || !strings.Contains(line, "KILL 13") {
		t.Fatalf("without a chain: %q", before.Recommendations())
	}
	x.in.State.Chains = []model.Chain{lockChain()}
	j, _ := health.Evaluate(x.in, health.State{})
	for who, lines := range map[string][]string{"all": j.Recommendations(), "shop": j.Of("shop").Recommendations, "stores": j.Host.Recommendations} {
		if len(lines) == 0 {
			t.Errorf("%s: no advice", who)
			continue
		}
		for _, part := range []string{"billing.py:131", "KILL 13 on MySQL main", "Do not end workers 0 and 1 of shop"} {
			if !strings.Contains(lines[0], part) {
				t.Errorf("%s: no %q in %q", who, part, lines[0])
			}
		}
		if strings.Contains(lines[0], "2 of 3 workers of shop wait") {
			t.Errorf("%s: the verdict says it already: %q", who, lines[0])
		}
		for i, l := range lines {
			if strings.Contains(l, "kill -QUIT 471") || i > 0 && (strings.Contains(l, "Connection 13") || strings.Contains(l, "10.0.0.9:443")) {
				t.Errorf("%s: %q", who, l)
			}
		}
	}
}

// A chain that no verdict has is described completely: the second one of an app.
func TestAdviceOfSecondChain(t *testing.T) {
	x := newTrial()
	x.in.State = modeltest.State(slices.Concat(appOf("shop", 9, "stuck", "stuck", "stuck", "stuck"), []modeltest.Fact{waiting("3", "upstream", "10.0.0.8:443")}))
	other := lockChain()
	other.Victims, other.Links = slices.Clone(other.Victims[:1]), slices.Clone(other.Links)
	other.Victims[0].Slot, other.Links[0].Slot, other.Links[0].Connection = "3", "4", 99
	x.in.State.Chains = []model.Chain{lockChain(), other}
	j, _ := health.Evaluate(x.in, health.State{})
	lines := j.Of("shop").Recommendations
	if len(lines) != 2 || strings.Contains(lines[0], " wait for MySQL main") || !strings.Contains(lines[0], "KILL 13") ||
		!strings.Contains(lines[1], "of shop wait") || !strings.Contains(lines[1], "KILL 99") {
		t.Errorf("%q", lines)
	}
}

// A chain that ends at a server or an address says no more than the advice about it.
func TestAdviceOfChainsWithoutRoot(t *testing.T) {
	x := newTrial()
	x.in.State = modeltest.State(slices.Concat(appOf("shop", 0, "stuck"), []modeltest.Fact{waiting("0", "upstream", "10.0.0.9:443")}))
	without, _ := health.Evaluate(x.in, health.State{})
	x.in.State.Chains = []model.Chain{
		{App: "shop", On: "upstream", Peer: "10.0.0.9:443", Victims: []model.Link{{App: "shop", Slot: "0", PID: 4710, On: "upstream", Peer: "10.0.0.9:443"}}, Links: []model.Link{{Peer: "10.0.0.9:443"}}},
		{App: "shop"},
	}
	with, _ := health.Evaluate(x.in, health.State{})
	if !slices.Equal(with.Recommendations(), without.Recommendations()) || len(with.Recommendations()) == 0 {
		t.Errorf("%q, without %q", with.Recommendations(), without.Recommendations())
	}
}

// A busy worker in a deadlock of its own process is advised about at once.
func TestAdviceOfDeadlock(t *testing.T) {
	x := newTrial()
	x.in.State = modeltest.State(slices.Concat(appOf("shop", 9, "busy"), []modeltest.Fact{waiting("0", "lock", "")}))
	thread := func(tid int, file string) model.Link {
		return model.Link{App: "shop", Slot: "0", PID: 4710, TID: tid, On: "lock", Seconds: 20, Stack: &model.Stack{Own: model.Frame{Function: "f", File: file, Line: 3}}}
	}
	both := []model.Link{thread(1, "a.py"), thread(2, "b.py")}
	x.in.State.Chains = []model.Chain{{App: "shop", On: "lock", Kind: "lock", Workers: 1, Seconds: 20, Victims: both, Links: both, Deadlock: true}}
	j, _ := health.Evaluate(x.in, health.State{})
	lines := j.Of("shop").Recommendations
	if len(lines) != 1 || !strings.Contains(lines[0], "End ") || !strings.Contains(lines[0], "a.py:3") {
		t.Errorf("%q", lines)
	}
}

// What holds up an app is the first advice about it, once, though a chain says the same.
func TestCauseIsTheFirstAdvice(t *testing.T) {
	chain := model.Chain{
		App: "shop", On: "mysql", Peer: "mysql:main", Kind: "row", Workers: 2, Seconds: 42,
		Victims: []model.Link{{App: "shop", Slot: "0", PID: 100, TID: 100, On: "mysql", Peer: "mysql:main", Seconds: 42}},
		Links:   []model.Link{{Server: "mysql:main", Connection: 99, User: "root", Host: "localhost"}},
	}
	s := &model.State{
		Apps:        []model.App{{Name: "shop", Up: true, CPU: new(0.99)}},
		Chains:      []model.Chain{chain},
		Bottlenecks: []model.Bottleneck{{App: "blog"}, {App: "shop", Cause: model.CauseDBLock, Peer: "mysql:main", Chain: &chain, Share: 1, Harm: model.Harm{Latency: new(42.0)}}},
	}
	e, _ := health.Evaluate(health.Input{State: s, At: time.Unix(1_700_000_000, 0), Limits: config.Default().Thresholds, Interval: 30 * time.Second}, health.State{})
	advice := e.Advice()
	if len(advice) < 2 || advice[0].Cause != "mysql:main/connection:99" || !strings.HasPrefix(advice[0].Text, "shop is held up by a lock in MySQL main.") {
		t.Fatalf("%+v", advice)
	}
	for _, a := range advice[1:] {
		if a.Cause == advice[0].Cause {
			t.Errorf("twice: %+v", a)
		}
	}
	if r := e.Of("shop").Recommendations; len(r) == 0 || r[0] != advice[0].Text {
		t.Errorf("%q", r)
	}
}
