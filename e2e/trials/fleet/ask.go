package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/dashboards"
)

// window is the range of the dashboards' queries.
const window = 5 * time.Minute

// Query is a query of a dashboard with All chosen, over five minutes.
type Query struct {
	Dashboard, Where string
	Series, Bytes    int
	Seconds          float64
}

// get reads an answer of Prometheus.
func (p *server) get(ctx context.Context, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<30))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %.200s", path, resp.Status, body)
	}
	return body, err
}

// answer reads the data of an answer of the API.
func (p *server) answer(ctx context.Context, path string, data any) error {
	body, err := p.get(ctx, path)
	if err != nil {
		return err
	}
	return json.Unmarshal(body, &struct{ Data any }{data})
}

// samples returns how many samples an evaluation of a query reads.
func (p *server) samples(ctx context.Context, expr string) (float64, error) {
	var data struct {
		Stats struct {
			Samples struct{ TotalQueryableSamples *float64 }
		}
	}
	if err := p.answer(ctx, "/api/v1/query?"+url.Values{"query": {expr}, "stats": {"all"}}.Encode(), &data); err != nil {
		return 0, err
	}
	if data.Stats.Samples.TotalQueryableSamples == nil {
		return 0, errors.New("this Prometheus does not count samples: 2.35 or newer is needed")
	}
	return *data.Stats.Samples.TotalQueryableSamples, nil
}

// groups returns the groups of rules and the time of their last evaluation.
func (p *server) groups(ctx context.Context) (out []Group, err error) {
	var data struct {
		Groups []struct {
			Name           string
			EvaluationTime float64
			Rules          []struct{ Name, LastError string }
		}
	}
	if err := p.answer(ctx, "/api/v1/rules", &data); err != nil {
		return nil, err
	}
	for _, g := range data.Groups {
		out = append(out, Group{Name: g.Name, Last: g.EvaluationTime})
		for _, r := range g.Rules {
			if r.LastError != "" {
				return nil, fmt.Errorf("%s: %s", r.Name, r.LastError)
			}
		}
	}
	return out, nil
}

// dashboards runs the queries of all panels, and of the annotations that are drawn.
func (p *server) dashboards(ctx context.Context, dir string) (out []Query, err error) {
	boards, err := dashboards.Load(dir)
	if err != nil {
		return nil, err
	}
	values := dashboards.Values{Range: window, Step: every}
	for _, d := range boards {
		d.Annotations = slices.DeleteFunc(d.Annotations, func(a dashboards.Annotation) bool { return !a.Enable })
		d.Variables = slices.Clone(d.Variables)
		for _, q := range d.Queries() {
			if _, _, ok := dashboards.LabelValues(q.Expr); ok {
				continue
			}
			one, err := p.timed(ctx, &q, values)
			if err != nil {
				return nil, err
			}
			out = append(out, one)
		}
	}
	slices.SortFunc(out, func(a, b Query) int { return b.Series - a.Series })
	return out, nil
}

// timed runs a query and returns how long it took and what the server read for it.
func (p *server) timed(ctx context.Context, q *dashboards.Query, v dashboards.Values) (Query, error) {
	ask := url.Values{"query": {q.Fill(v)}}
	path := "/api/v1/query?"
	if !q.Instant {
		now := time.Now()
		path = "/api/v1/query_range?"
		ask.Set("start", strconv.FormatInt(now.Add(-window).Unix(), 10))
		ask.Set("end", strconv.FormatInt(now.Unix(), 10))
		ask.Set("step", strconv.FormatFloat(q.Step(v).Seconds(), 'f', -1, 64))
	}
	from := time.Now()
	body, err := p.get(ctx, path+ask.Encode())
	if err != nil {
		return Query{}, fmt.Errorf("%s: %s: %w", q.Dashboard, q.Where, err)
	}
	took := time.Since(from).Seconds()
	var answer struct {
		Data struct{ Result []json.RawMessage }
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return Query{}, err
	}
	return Query{Dashboard: q.Dashboard, Where: q.Where, Series: len(answer.Data.Result), Bytes: len(body), Seconds: took}, nil
}
