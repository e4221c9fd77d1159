package healthy

import (
	"context"
	"fmt"
	"net/http"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// look scrapes the exporter once.
func (b *bench) look(ctx context.Context, n int) (Look, error) {
	l := Look{Stack: b.stack.Name, N: n, States: make(map[string]float64)}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url+"/metrics", nil)
	if err != nil {
		return l, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return l, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return l, fmt.Errorf("status %d", resp.StatusCode)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		return l, err
	}
	each := func(name string, f func(labels map[string]string, v float64)) {
		for _, m := range families[name].GetMetric() {
			labels := make(map[string]string)
			for _, p := range m.GetLabel() {
				labels[p.GetName()] = p.GetValue()
			}
			if labels["app"] == b.name {
				f(labels, m.GetGauge().GetValue())
			}
		}
	}
	each("resp_app_workers", func(labels map[string]string, v float64) { l.States[labels["state"]] = v })
	each("resp_health_status", func(labels map[string]string, v float64) {
		if v > l.Worst {
			l.Worst, l.Of = v, labels["component"]
		}
	})
	if len(l.States) == 0 {
		return l, fmt.Errorf("no resp_app_workers of %s", b.name)
	}
	return l, nil
}
