package web_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// The times of a chain are those of the moment at which it is shown, as long as its
// victims wait.
func TestTimesOfChains(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		victim                     model.Thread // by now
		seconds, root, transaction float64
	}{
		"still waits":          {model.Thread{TID: 4710, On: "mysql", Peer: "mysql:db", Seconds: 46}, 46, 7, 62},
		"waits anew":           {model.Thread{TID: 4710, On: "mysql", Peer: "mysql:db", Seconds: 1}, 42, 3, 58},
		"waits for other data": {model.Thread{TID: 4710, On: "redis", Peer: "redis:cache", Seconds: 46}, 42, 3, 58},
		"another thread":       {model.Thread{TID: 4799, On: "mysql", Peer: "mysql:db", Seconds: 46}, 42, 3, 58},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := lineSample()
			s.Chains[0].Victims[0].TID, s.Chains[0].Links[0].TID = 4710, 4711
			o := options(s)
			o.Now = func() time.Time { return moment.Add(4 * time.Second) }
			o.Threads = func(pid int) ([]model.Thread, bool) {
				if pid == 4710 {
					return []model.Thread{c.victim}, true
				}
				return []model.Thread{{TID: 4711, On: "upstream", Peer: "10.0.0.9:443", Seconds: 7}}, true
			}
			var got struct {
				Chains []struct {
					Seconds        float64
					Victims, Links []struct {
						Seconds     float64
						Transaction *float64 `json:"transaction_seconds"`
					}
				}
			}
			if err := json.Unmarshal(get(t, serve(o), "/api/v1/status").Body.Bytes(), &got); err != nil || len(got.Chains) != 1 {
				t.Fatal(got, err)
			}
			x := got.Chains[0]
			if root := x.Links[0]; x.Seconds != c.seconds || x.Victims[0].Seconds != c.seconds || root.Seconds != c.root || root.Transaction == nil || *root.Transaction != c.transaction {
				t.Errorf("%+v", x)
			}
			if s.Chains[0].Seconds != 42 || s.Chains[0].Links[0].Seconds != 3 || *s.Chains[0].Links[0].Transaction != 58 {
				t.Error("the state of the gather was changed")
			}
		})
	}
}

// The age of a request is that of the moment at which its thread was sampled.
func TestAgeOfRequests(t *testing.T) {
	t.Parallel()
	o := options(lineSample())
	o.Now = func() time.Time { return moment.Add(4 * time.Second) }
	o.Threads = func(pid int) ([]model.Thread, bool) {
		return []model.Thread{{TID: pid, On: "sleep", Seconds: 46, Stack: &model.Stack{View: "pay", Started: moment.Add(-43 * time.Second)}}}, true
	}
	var got struct {
		Apps []struct {
			Workers []struct {
				Threads []struct {
					Age *float64 `json:"request_age_seconds"`
				}
			}
		}
	}
	if err := json.Unmarshal(get(t, serve(o), "/api/v1/status").Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, a := range got.Apps {
		for _, w := range a.Workers {
			for _, x := range w.Threads {
				if n++; x.Age == nil || *x.Age != 47 {
					t.Errorf("%+v", x)
				}
			}
		}
	}
	if n == 0 {
		t.Error("no thread")
	}
}
