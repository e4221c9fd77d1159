package bench

import (
	"context"
	"fmt"
	"net/http"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Page is one scrape of the exporter.
type Page map[string]*dto.MetricFamily

// Scrape reads /metrics. Another status than 200 is an error.
func (b *Bench) Scrape(ctx context.Context) (Page, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(resp.Body)
}

// Each calls f with the labels and the value of each gauge or counter of one
// name and, unless app is empty, of one app.
func (p Page) Each(name, app string, f func(labels map[string]string, v float64)) {
	for _, m := range p[name].GetMetric() {
		labels := make(map[string]string)
		for _, l := range m.GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		if app == "" || labels["app"] == app {
			f(labels, m.GetGauge().GetValue()+m.GetCounter().GetValue())
		}
	}
}

// States returns how many workers of the app are in each state; none: the
// exporter has no such app.
func (p Page) States(app string) map[string]float64 {
	states := make(map[string]float64)
	p.Each("resp_app_workers", app, func(labels map[string]string, v float64) { states[labels["state"]] = v })
	return states
}
