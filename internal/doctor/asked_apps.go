package doctor

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/appside"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/followers"
)

// askedApps adds a finding for each app that steps of healing would ask to do something,
// and whose workers would not do it, as the actions see it.
func (d *doctor) askedApps(ctx context.Context) {
	if d.Inside == nil || d.Config.Healing.Mode == config.HealOff {
		return
	}
	for i := range d.apps {
		a := &d.apps[i]
		var requests []request
		for _, s := range stepsOf(d.Config.Healing) {
			r, asks := d.requestOf(s)
			switch {
			case !asks || !a.Up || cmp.Or(r.app, a.Name) != a.Name || slices.Contains(requests, r):
			case r.app == "" && r.task != "" && d.isOfAnother(a.Name, r.task):
			default:
				requests = append(requests, r)
			}
		}
		if len(requests) > 0 {
			d.askedApp(ctx, a.Name, requests)
		}
	}
}

// askedApp adds what keeps the workers of an app from doing what is asked of them. An app
// of which only the alerts may speak need not be one that can be asked.
func (d *doctor) askedApp(ctx context.Context, app string, requests []request) {
	reports := d.Inside(app)
	finder := followers.Finder{Processes: foundApps(d.apps), Reporter: reporter(d.Inside), Check: func(string) error { return nil }}
	list, refused, err := finder.Find(ctx, app)
	if err != nil || slices.ContainsFunc(reports, func(r appside.Report) bool { return r.OtherVersion }) { // otherVersions names the latter
		return
	}
	var actions []string
	named, perhaps := false, true
	for _, r := range requests {
		if !slices.Contains(actions, r.action) {
			actions = append(actions, r.action)
		}
		named, perhaps = named || r.app != "", perhaps && r.perhaps
		if refused.IsZero() && r.task != "" && !slices.ContainsFunc(list, func(f followers.Follower) bool { return hasTask(f.Tasks, r.task) }) {
			d.add("heal", Finding{Of: "app:" + app, Reason: collectors.NotFound, Detail: "restart_task: no worker of " + app + " reports the task of the step"})
		}
	}
	refuses := slices.ContainsFunc(reports, func(r appside.Report) bool { return r.Control.Refused })
	switch {
	case refused.IsZero(), refused.Code == action.CodeNoIntegration && !named:
	case refused.Code == action.CodeNoIntegration: // or the app has had no request yet
		d.add("heal", Finding{Of: "app:" + app, Reason: collectors.NotFound, Detail: strings.Join(actions, ", ") + " of " + app + " would be unavailable now: " + refused.Reason})
	default:
		reason, remedy := collectors.Unsupported, ""
		if refuses {
			reason, remedy = collectors.Permission, "in the environment of the app: RESP_CONTROL_USER="+d.who.name
		}
		d.lacks(perhaps, "app:"+app, reason, strings.Join(actions, ", ")+" of "+app+" would be unavailable: "+refused.Reason, remedy)
	}
}

// foundApps are apps as a snapshot.
type foundApps []discovery.App

// Snapshot implements the interface of [followers.Finder].
func (a foundApps) Snapshot(context.Context) (*discovery.Snapshot, error) {
	return &discovery.Snapshot{Apps: a}, nil
}

// reporter returns what the workers of an app say about themselves.
type reporter func(app string) []appside.Report

// Reports implements [followers.Reporter].
func (r reporter) Reports(app string) []appside.Report { return r(app) }
