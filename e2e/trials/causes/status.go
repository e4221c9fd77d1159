package causes

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// The parts of /api/v1/status that are compared.
type status struct {
	LastCheck *time.Time `json:"last_check"`
	Host      struct {
		Memory *float64 `json:"memory_usage_percent"`
		CPU    *float64 `json:"cpu_usage_percent"`

		Pressure []struct {
			Resource, Kind string
			Waiting        *float64 `json:"waiting_percent"`
		} `json:"pressure"`
	} `json:"host"`
	Apps []struct {
		Name        string           `json:"name"`
		Resources   map[string]any   `json:"resources"`
		Performance map[string]any   `json:"performance"`
		Bottleneck  *Bottleneck      `json:"bottleneck"`
		Tasks       []map[string]any `json:"tasks"`
		Workers     []struct {
			State   string
			Seconds float64
			Threads []struct {
				On, Peer string
				Seconds  float64
			}
		} `json:"workers"`
		Health struct {
			Alerts []struct{ Name, Component, Severity string }
		} `json:"health"`
	} `json:"apps"`
	LockWaits []any                                       `json:"lock_waits"`
	Chains    []struct{ On, Peer, Kind, Sentence string } `json:"chains"`
	Health    *struct {
		Alerts []struct{ Name, Component, Severity string } `json:"alerts"`
	} `json:"health"`
}

// Bottleneck is a judgement as the exporter reports it.
type Bottleneck struct {
	Cause    *string         `json:"cause"`
	Peer     *string         `json:"peer"`
	Share    *float64        `json:"share"`
	Sentence *string         `json:"sentence"`
	Harm     json.RawMessage `json:"harm"`
	Evidence json.RawMessage `json:"evidence"`
}

// status returns the exporter's status, within 8 s.
func (r *rig) status(ctx context.Context) (s status, err error) {
	ctx, cancel := context.WithTimeout(ctx, 8*time.Second)
	defer cancel()
	return s, run.GetJSON(ctx, r.client, r.exporter+"/api/v1/status", &s)
}

// cause returns the cause that is told; "" for none.
func (s *status) cause() (string, *Bottleneck) {
	if len(s.Apps) != 1 || s.Apps[0].Bottleneck == nil {
		return "", nil
	}
	b := s.Apps[0].Bottleneck
	if b.Cause == nil {
		return "", b
	}
	return *b.Cause, b
}

// detail returns in one line what a person reads to judge a judgement: its numbers, what
// the threads do, who waits for whom, and whether the host has a processor left.
func (s *status) detail() string {
	if len(s.Apps) != 1 {
		return ""
	}
	var out strings.Builder
	a := &s.Apps[0]
	if b := a.Bottleneck; b != nil {
		fmt.Fprintf(&out, "%s %s ", b.Harm, b.Evidence)
	}
	for _, of := range [...]any{a.Resources["request_queue_size"], a.Performance["avg_response_time"], a.Performance["throughput_rps"]} {
		fmt.Fprintf(&out, "%v ", of)
	}
	for _, w := range a.Workers {
		fmt.Fprintf(&out, "| %s %.1f:", w.State, w.Seconds)
		for _, t := range w.Threads {
			if t.On != "idle" {
				fmt.Fprintf(&out, " %s %s %.1f", t.On, t.Peer, t.Seconds)
			}
		}
	}
	for _, c := range s.Chains {
		fmt.Fprintf(&out, " | chain %s %s %s: %s", c.On, c.Peer, c.Kind, c.Sentence)
	}
	for _, p := range s.Host.Pressure {
		if p.Kind == "some" && p.Waiting != nil {
			fmt.Fprintf(&out, " | %s pressure %.0f %%", p.Resource, *p.Waiting)
		}
	}
	return out.String()
}

// starved reports whether tasks of the host waited for a processor for most of the time.
func (s *status) starved() bool {
	for _, p := range s.Host.Pressure {
		if p.Resource == "cpu" && p.Kind == "some" && p.Waiting != nil && *p.Waiting >= 60 {
			return true
		}
	}
	return false
}

// byThresholds returns the cause that the largest excess over a threshold names: what one
// reads off a dashboard with limits.
func (s *status) byThresholds() string {
	best, excess := "", 1.0
	take := func(cause string, v any, limit float64) {
		if f, ok := v.(float64); ok && f/limit >= excess {
			best, excess = cause, f/limit
		}
	}
	if len(s.Apps) != 1 {
		return ""
	}
	a := &s.Apps[0]
	take("cpu", a.Resources["cpu_usage_percent"], 80)
	take("memory", a.Resources["memory_usage_percent"], 80)
	take("workers", a.Resources["request_queue_size"], 50)
	take("pool", a.Resources["connection_pool_utilization"], 0.8)
	take("db_slow", a.Performance["database_query_time"], 2)
	for _, q := range a.Tasks {
		take("tasks", q["oldest_age_seconds"], 15)
	}
	take("db_lock", float64(len(s.LockWaits)), 1)
	if s.Host.CPU != nil {
		take("cpu", *s.Host.CPU, 80)
	}
	if s.Host.Memory != nil {
		take("memory", *s.Host.Memory, 80)
	}
	if s.Health != nil {
		for _, x := range s.Health.Alerts { // a store that is down is beyond any number
			switch x.Component {
			case "mysql":
				return "db_down"
			case "redis":
				return "redis"
			}
		}
	}
	return best
}
