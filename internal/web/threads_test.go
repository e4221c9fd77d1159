package web_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/web/waitstatus"
)

// lineSample is an app whose worker 0 waits for a row that a connection of worker
// 1 has locked, which waits for a server that nobody configured.
func lineSample() *model.State {
	s := troubleSample()
	open := 58.0
	pay := &model.Stack{
		View: "checkout", Method: "POST", Route: "/checkout/<int:id>", Started: moment.Add(-43 * time.Second),
		Own: model.Frame{Function: "pay", File: "/srv/shop/billing.py", Line: 88}, Inner: model.Frame{Function: "recv", File: "/usr/lib/python3/socket.py", Line: 9},
	}
	refund := &model.Stack{
		View: "refund", Own: model.Frame{Function: "refund", File: "/srv/shop/billing.py", Line: 131}, Started: moment.Add(-59 * time.Second),
	}
	w := s.Workers[0].Workers
	w[0].Threads = []model.Thread{
		{TID: 4713, On: "idle", Seconds: 90},
		{TID: 4710, Main: true, On: "mysql", Peer: "mysql:db", Seconds: 42, Socket: 77, Stack: pay},
		{TID: 4714, On: "gil", Seconds: 0.1, Stack: &model.Stack{Inner: model.Frame{Function: "run", File: "/usr/lib/python3/threading.py", Line: 3}}},
	}
	w[1].Threads = []model.Thread{{TID: 4711, Main: true, On: "upstream", Peer: "10.0.0.9:443", Kind: "https", Seconds: 3, Socket: 78, Stack: refund}}
	s.StoreConnections = []model.StoreConnection{
		{Server: "mysql:db", Socket: 77, Connection: model.Connection{ID: 807}, Digest: "UPDATE orders SET paid = ? WHERE id = ?"},
		{Server: "mysql:db", Socket: 79, Connection: model.Connection{ID: 812}, Transaction: &open},
	}
	s.StoreWaits = []model.StoreWait{{Server: "mysql:db", Waiter: 807, Blocker: 812, Kind: "row", Object: "shop.orders", Seconds: 42}}
	s.Chains = []model.Chain{{
		App: "shop", On: "mysql", Peer: "mysql:db", Kind: "row", Object: "shop.orders", Seconds: 42,
		Victims: []model.Link{{App: "shop", Slot: "0", PID: 4710, Server: "mysql:db", Connection: 807, On: "mysql", Peer: "mysql:db", Seconds: 42, Stack: pay}},
		Links:   []model.Link{{App: "shop", Slot: "1", PID: 4711, Server: "mysql:db", Connection: 812, On: "upstream", Peer: "10.0.0.9:443", Seconds: 3, Transaction: &open, Stack: refund}},
	}}
	return s
}

func TestThreadsInStatus(t *testing.T) {
	t.Parallel()
	var got struct {
		Apps []struct {
			Workers []struct {
				Threads []map[string]any
			}
		}
		Chains []struct {
			Victims, Links []map[string]any
			Seconds        float64
		}
	}
	if err := json.Unmarshal(get(t, serve(options(lineSample())), "/api/v1/status").Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	threads := got.Apps[0].Workers[0].Threads
	if len(threads) != 3 || threads[2]["state"] != "idle" {
		t.Fatalf("threads %v", threads)
	}
	for key, want := range map[string]any{
		"on": "mysql", "state": "waiting", "connection_id": 807.0, "blocker": 812.0, "digest": "UPDATE orders SET paid = ? WHERE id = ?", "view": "checkout",
		"function": "pay", "file": "billing.py", "line": 88.0, "method": "POST", "route": "/checkout/<int:id>", "request_age_seconds": 43.0, "path": nil,
	} {
		if threads[0][key] != want {
			t.Errorf("%s is %v, want %v", key, threads[0][key], want)
		}
	}
	if threads[1]["file"] != "threading.py" || threads[1]["connection_id"] != nil {
		t.Errorf("a thread without a frame of the app: %v", threads[1])
	}
	if len(got.Chains) != 1 || got.Chains[0].Seconds != 42 {
		t.Fatalf("chains %+v", got.Chains)
	}
	for key, want := range map[string]any{"slot": "1", "connection_id": 812.0, "peer": "10.0.0.9:443", "transaction_seconds": 58.0, "line": 131.0, "user": nil} {
		if v := got.Chains[0].Links[0][key]; v != want {
			t.Errorf("root: %s is %v, want %v", key, v, want)
		}
	}
}

// Of a worker with many threads the longest waits are listed.
func TestThreadsAreBounded(t *testing.T) {
	t.Parallel()
	s := lineSample()
	w := &s.Workers[0].Workers[0]
	w.Threads = nil
	for i := range 200 {
		w.Threads = append(w.Threads, model.Thread{TID: i + 1, On: "lock", Seconds: float64(i)})
	}
	var got struct {
		Apps []struct {
			Workers []struct{ Threads []struct{ TID int } }
		}
	}
	if err := json.Unmarshal(get(t, serve(options(s)), "/api/v1/status").Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if list := got.Apps[0].Workers[0].Threads; len(list) != 64 || list[0].TID != 200 {
		t.Errorf("%d threads, %s", len(list), fmt.Sprint(list[:2]))
	}
}

// The evidence of an action has the chains of its app or server, and the threads
// that have a request.
func TestEvidenceOfWaits(t *testing.T) {
	t.Parallel()
	s := lineSample()
	got := waitstatus.Of(s, moment, "shop", nil)
	if got == nil || len(got.Chains) != 1 || len(got.Workers["0"]) != 2 || len(got.Workers["1"]) != 1 || *got.Workers["1"][0].Line != 131 {
		t.Errorf("of its app: %+v", got)
	}
	if got := waitstatus.Of(s, moment, "", []string{"mysql:db"}); got == nil || len(got.Chains) != 1 || len(got.Workers) != 0 {
		t.Errorf("of a server: %+v", got)
	}
	if got := waitstatus.Of(s, moment, "blog", []string{"mysql:other"}); got != nil {
		t.Errorf("of another app: %+v", got)
	}
	for range 200 {
		s.Chains = append(s.Chains, s.Chains[0])
		s.Workers[0].Workers[1].Threads = append(s.Workers[0].Workers[1].Threads, model.Thread{On: "lock"})
	}
	got = waitstatus.Of(s, moment, "shop", nil)
	if n := len(got.Workers["0"]) + len(got.Workers["1"]); len(got.Chains) != 5 || n > 100 {
		t.Errorf("%d chains and %d threads", len(got.Chains), n)
	}
}
