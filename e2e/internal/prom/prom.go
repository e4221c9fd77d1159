// Package prom asks a Prometheus server.
package prom

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Value is one element of an instant vector.
type Value struct {
	Labels map[string]string
	Value  float64
}

// Query evaluates expr now on the server at base, e.g. "http://127.0.0.1:9090".
// expr must give an instant vector; an empty one is no error.
func Query(ctx context.Context, base, expr string) ([]Value, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/api/v1/query?query="+url.QueryEscape(expr), nil)
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", expr, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", expr, err)
	}
	defer func() { _ = resp.Body.Close() }()
	var answer struct {
		Status, Error string
		Data          struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 4<<20)).Decode(&answer); err != nil {
		return nil, fmt.Errorf("query %s: %w", expr, err)
	}
	if answer.Status != "success" {
		return nil, fmt.Errorf("query %s: %s", expr, answer.Error)
	}
	var out []Value
	for _, r := range answer.Data.Result {
		text, _ := r.Value[1].(string)
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("query %s: value %q: %w", expr, text, err)
		}
		out = append(out, Value{Labels: r.Metric, Value: v})
	}
	return out, nil
}

// One evaluates expr and wants at most one element; ok says whether there is one.
func One(ctx context.Context, base, expr string) (v float64, ok bool, err error) {
	vs, err := Query(ctx, base, expr)
	if err != nil || len(vs) == 0 {
		return 0, false, err
	}
	if len(vs) > 1 {
		return 0, false, fmt.Errorf("query %s: %d results, want one", expr, len(vs))
	}
	return vs[0].Value, true, nil
}
