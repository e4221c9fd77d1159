package main

import (
	"slices"
	"strings"

	"github.com/resp-exporter/resp-exporter/grafana/generate/runbook"
)

// runbookBase is where the section of an alert is; the anchor is its name in small letters.
const runbookBase = "https://github.com/resp-exporter/resp-exporter/blob/main/docs/runbooks.md#"

// linkRunbooks adds to each panel of a dashboard the links to the runbooks of its alerts.
func (d *dashboard) linkRunbooks() {
	panels := d.all()
	for _, x := range runbook.Panels() {
		i := slices.IndexFunc(panels, func(p *panel) bool { return p.Title == x.Panel })
		if x.UID != d.UID || i < 0 {
			continue
		}
		panels[i].Links = append(panels[i].Links, panelLink{Title: "Runbook " + x.Alert, URL: runbookBase + strings.ToLower(x.Alert), TargetBlank: true})
	}
}
