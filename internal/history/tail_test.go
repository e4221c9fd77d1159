package history_test

import (
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/history"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// working returns a thread with a request.
func working(on, view string, line int, seconds float64) model.Thread {
	t := model.Thread{TID: 7, Main: true, On: on, Seconds: seconds, Socket: 99}
	if view != "" {
		t.Stack = &model.Stack{View: view, Own: model.Frame{Function: view, File: "/srv/shop.py", Line: line}}
	}
	return t
}

// The last words are those of the last sample that says what the request did.
func TestLastOf(t *testing.T) {
	idle := model.Thread{TID: 7, On: "idle"}
	left := model.Thread{TID: 7, Main: true, On: "cpu", Stack: &model.Stack{Inner: model.Frame{Function: "sys_exit", File: "/srv/base.py", Line: 8}}}
	pay, refund := working("mysql", "pay", 10, 20), working("sleep", "refund", 30, 1)
	for name, c := range map[string]struct {
		samples []model.Thread // each second, the last one at its end
		final   *model.Thread  // what the sampler has after the end
		late    time.Duration  // from the last sample to the end
		reason  string
		view    string // "": none
	}{
		"in one request":                       {[]model.Thread{idle, pay, pay}, &pay, 0, "signal", "pay"},
		"a younger one":                        {[]model.Thread{pay, pay, idle}, &refund, 500 * time.Millisecond, "signal", "refund"},
		"idle by then":                         {[]model.Thread{pay, pay, pay}, &idle, 500 * time.Millisecond, "signal", ""},
		"idle in the last sample":              {[]model.Thread{pay, pay, idle}, nil, 500 * time.Millisecond, "signal", ""},
		"not seen after its end":               {[]model.Thread{pay, pay, refund}, nil, 900 * time.Millisecond, "oom", "refund"},
		"its memory is gone by then":           {[]model.Thread{idle, pay}, &model.Thread{TID: 7, On: "cpu"}, 0, "oom", "pay"},
		"it computes in its end":               {[]model.Thread{pay}, new(working("cpu", "pay", 10, 0)), 100 * time.Millisecond, "signal", "pay"},
		"aborted, and runs code in its end":    {[]model.Thread{pay, pay, pay}, &idle, 100 * time.Millisecond, "timeout", "pay"},
		"aborted, and is in another line":      {[]model.Thread{pay, pay, refund}, &refund, 100 * time.Millisecond, "timeout", "pay"},
		"aborted, and needs long to end":       {[]model.Thread{pay, pay, left, left}, &left, 400 * time.Millisecond, "timeout", "pay"},
		"aborted, its stack is not read":       {[]model.Thread{pay, {TID: 7, On: "cpu"}, {TID: 7, On: "cpu"}, {TID: 7, On: "cpu"}}, nil, 400 * time.Millisecond, "timeout", "pay"},
		"aborted in another request":           {[]model.Thread{pay, idle, left, left}, &left, 400 * time.Millisecond, "timeout", "?"},
		"killed outside of a view":             {[]model.Thread{pay, pay, left}, nil, 400 * time.Millisecond, "signal", "?"},
		"exits":                                {[]model.Thread{pay, pay}, &idle, 400 * time.Millisecond, "exit", "pay"},
		"seen too long before":                 {[]model.Thread{pay}, nil, 11 * time.Second, "signal", ""},
		"aborted, and was idle for long":       {[]model.Thread{idle, idle, idle}, &idle, 0, "timeout", ""},
		"a loop whose requests are not listed": {[]model.Thread{{TID: 7, On: "loop"}}, nil, 0, "signal", "?"},
		"a helper alone":                       {[]model.Thread{{TID: 7, On: "cpu", Helper: true}}, nil, 0, "signal", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var now []model.WorkerThreads
			var after []model.Thread
			h := history.New(history.Options{
				Settings: settings(), Threads: func() []model.WorkerThreads { return now },
				ThreadsOf: func(int) ([]model.Thread, bool) { return after, after != nil },
			})
			at := noon()
			h.Observe(at.Add(-time.Second), &model.State{
				StoreConnections: []model.StoreConnection{{Socket: 99, Digest: "SELECT ?"}},
				Chains:           []model.Chain{{App: "shop", Victims: []model.Link{{PID: 7, TID: 7, On: "mysql"}}, Links: []model.Link{{Connection: 812}}}},
			})
			for i, th := range c.samples {
				at = noon().Add(time.Duration(i) * time.Second)
				now = []model.WorkerThreads{{App: "shop", Slot: "3", PID: 7, Threads: []model.Thread{th}}}
				h.Step(at)
			}
			end := at.Add(c.late)
			if c.final != nil {
				after = []model.Thread{*c.final}
			}
			h.Ending(7, end)
			got, ok := h.LastOf(7, end, c.reason)
			if ok != (c.view != "") {
				t.Fatalf("%v, %+v", ok, got)
			}
			if c.view == "?" && got.Thread.Stack != nil && got.Thread.Stack.View != "" {
				t.Errorf("%+v", got.Thread.Stack)
			}
			if !ok || c.view == "?" {
				return
			}
			if got.Thread.Stack == nil || got.Thread.Stack.View != c.view || got.App != "shop" || got.Slot != "3" || got.PID != 7 || got.Reason != c.reason || !got.Ended.Equal(end) {
				t.Errorf("%+v", got)
			}
			if waits := c.view == "pay" && got.Thread.On == "mysql"; waits != (got.Digest == "SELECT ?") || waits != (got.Blocker != nil && got.Blocker.Connection == 812) {
				t.Errorf("it waits for %q, %+v", got.Digest, got.Blocker)
			}
		})
	}
}

// A statement and a root belong to a wait that had begun when they were read.
func TestJoin(t *testing.T) {
	thread := working("mysql", "pay", 10, 3)
	h := history.New(history.Options{Settings: settings(), Threads: func() []model.WorkerThreads {
		return []model.WorkerThreads{
			{App: "shop", Slot: "0", PID: 7, Threads: []model.Thread{thread, {TID: 8, On: "idle"}}},
			{App: "loop", Slot: "0", PID: 9, Threads: []model.Thread{{TID: 9, On: "loop"}, {TID: 9, On: "loop", Task: true, Seconds: 1}}},
		}
	}})
	state := &model.State{
		StoreConnections: []model.StoreConnection{{Socket: 99, Digest: "SELECT ?"}},
		Chains: []model.Chain{{
			App: "shop", Victims: []model.Link{{PID: 7, TID: 7, On: "mysql"}},
			Links: []model.Link{{App: "shop", Slot: "2", PID: 5, Connection: 812, Server: "mysql:main", User: "u", Stack: &model.Stack{View: "refund", Inner: model.Frame{File: "b.py", Line: 2}}}},
		}},
	}
	for i, c := range []struct {
		age  time.Duration
		want bool
	}{{2 * time.Second, true}, {4 * time.Second, false}, {40 * time.Second, false}} {
		at := noon().Add(time.Duration(i) * time.Minute)
		h.Observe(at.Add(-c.age), state)
		h.Step(at)
		m := h.At("shop", at, 10)
		if len(m.Requests) != 1 || m.Requests[0].View != "pay" || m.Requests[0].Line.Line != 10 || m.Requests[0].Seconds != 3 {
			t.Fatalf("%+v", m)
		}
		r := m.Requests[0]
		if joined := r.Digest == "SELECT ?" && r.Blocker != nil && r.Blocker.Connection == 812 && r.Blocker.View == "refund" && r.Blocker.Line.Line == 2; joined != c.want {
			t.Errorf("%s after the gather: %+v", c.age, r)
		}
		if m := h.At("loop", at, 10); len(m.Requests) != 1 || !m.Requests[0].Task {
			t.Errorf("%+v", m)
		}
	}
}
