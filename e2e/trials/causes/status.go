package causes

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// The parts of /api/v1/status that are compared.
type status struct {
	LastCheck *time.Time `json:"last_check"`
	Host      struct {
		Memory *float64 `json:"memory_usage_percent"`
		CPU    *float64 `json:"cpu_usage_percent"`
	} `json:"host"`
	Apps []struct {
		Name        string           `json:"name"`
		Resources   map[string]any   `json:"resources"`
		Performance map[string]any   `json:"performance"`
		Bottleneck  *Bottleneck      `json:"bottleneck"`
		Tasks       []map[string]any `json:"tasks"`
		Health      struct {
			Alerts []struct{ Name, Component, Severity string }
		} `json:"health"`
	} `json:"apps"`
	LockWaits []any `json:"lock_waits"`
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

func (r *rig) status(ctx context.Context) (s status, err error) {
	ctx, cancel := context.WithTimeout(ctx, 8*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.exporter+"/api/v1/status", nil)
	if err != nil {
		return s, err
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return s, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return s, fmt.Errorf("status: %s", resp.Status)
	}
	return s, json.NewDecoder(resp.Body).Decode(&s)
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
