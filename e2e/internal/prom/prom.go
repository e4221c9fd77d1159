// Package prom queries a Prometheus server.
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

// Series is one element of a range's result: its values in the order of time,
// without the steps at which there was none.
type Series struct {
	Labels map[string]string
	Values []float64
}

// Query evaluates expr now on the server at base, e.g. "http://127.0.0.1:9090".
// expr must give an instant vector; an empty one is no error.
func Query(ctx context.Context, base, expr string) ([]Value, error) {
	var data struct {
		Result []struct {
			Metric map[string]string
			Value  point
		}
	}
	if err := get(ctx, base+"/api/v1/query", url.Values{"query": {expr}}, &data); err != nil {
		return nil, fmt.Errorf("query %s: %w", expr, err)
	}
	var out []Value
	for _, r := range data.Result {
		out = append(out, Value{Labels: r.Metric, Value: float64(r.Value)})
	}
	return out, nil
}

// Range returns the values of expr at each step from one time to another, both included.
func Range(ctx context.Context, base, expr string, from, to time.Time, step time.Duration) ([]Series, error) {
	var data struct {
		Result []struct {
			Metric map[string]string
			Values []point
		}
	}
	seconds := func(s float64) []string { return []string{strconv.FormatFloat(s, 'f', 3, 64)} }
	if err := get(ctx, base+"/api/v1/query_range", url.Values{
		"query": {expr}, "start": seconds(float64(from.UnixMilli()) / 1000), "end": seconds(float64(to.UnixMilli()) / 1000), "step": seconds(step.Seconds()),
	}, &data); err != nil {
		return nil, fmt.Errorf("range query %s: %w", expr, err)
	}
	var out []Series
	for _, r := range data.Result {
		s := Series{Labels: r.Metric}
		for _, p := range r.Values {
			s.Values = append(s.Values, float64(p))
		}
		out = append(out, s)
	}
	return out, nil
}

// LabelValues returns the values that a label has in the series of a selector,
// from one time to another; without a selector, in all series.
func LabelValues(ctx context.Context, base, selector, label string, from, to time.Time) (values []string, err error) {
	ask := url.Values{"start": {strconv.FormatInt(from.Unix(), 10)}, "end": {strconv.FormatInt(to.Unix(), 10)}}
	if selector != "" {
		ask.Set("match[]", selector)
	}
	if err := get(ctx, base+"/api/v1/label/"+url.PathEscape(label)+"/values", ask, &values); err != nil {
		return nil, fmt.Errorf("values of the label %s in %s: %w", label, selector, err)
	}
	return values, nil
}

// point is [time, "value"] in an answer; the time is not kept.
type point float64

// UnmarshalJSON sets the value of a pair of a time and a number in quotes. An error: it is
// no such pair.
func (p *point) UnmarshalJSON(b []byte) error {
	var pair [2]any
	if err := json.Unmarshal(b, &pair); err != nil {
		return err
	}
	text, _ := pair[1].(string)
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return fmt.Errorf("value %q: %w", text, err)
	}
	*p = point(v)
	return nil
}

// patience is how long an answer may take if the context has no deadline.
const patience = 5 * time.Second

// get calls the API and reads the field data.
func get(ctx context.Context, address string, ask url.Values, into any) error {
	if _, ok := ctx.Deadline(); !ok {
		short, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		ctx = short
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"?"+ask.Encode(), nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 16<<20)).Decode(&answer); err != nil {
		return err
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s", answer.Error)
	}
	return json.Unmarshal(answer.Data, into)
}

// One evaluates expr, which must have at most one element; ok reports whether there is
// one.
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
