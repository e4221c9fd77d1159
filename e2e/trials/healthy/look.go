package healthy

import (
	"context"
	"fmt"
)

// Unread is the beginning of what stands for a component that the exporter
// reports as one that it could not read.
const Unread = "unread: "

// look scrapes the exporter once and returns what it says of the app.
func (t *trial) look(ctx context.Context, n int) (Look, error) {
	page, err := t.Scrape(ctx)
	if err != nil {
		return Look{}, err
	}
	l := Look{Stack: t.stack.Name, N: n, States: page.States(t.Name)}
	page.Each("resp_health_status", t.Name, func(labels map[string]string, v float64) {
		if v > l.Worst || v == l.Worst && v > 0 && l.Of == "overall" {
			l.Worst, l.Of = v, labels["component"]
		}
	})
	if l.Of == "overall" { // a component that could not be read has no level of its own
		page.Each("resp_collector_available", "", func(labels map[string]string, v float64) {
			if reason := labels["reason"]; v == 0 && (reason == "timeout" || reason == "failed") {
				l.Of, l.Unread = Unread+labels["collector"]+" "+reason, true
			}
		})
	}
	if len(l.States) == 0 {
		return l, fmt.Errorf("no resp_app_workers of %s", t.Name)
	}
	return l, nil
}
