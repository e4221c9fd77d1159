// Package followers finds the workers of an app that follow its control file.
package followers

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/appside"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/process"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// Enough is the share of the workers that must have done what they were asked.
const Enough = 0.8

// startSlack is how far two readings of a start may be apart.
const startSlack = time.Second

// Reporter reads what the workers of an app say about themselves; [appside.Keeper] is one.
type Reporter interface {
	Reports(app string) []appside.Report
}

// Finder finds the followers of apps.
type Finder struct {
	Processes process.Snapshotter
	Reporter  Reporter
	Check     func(app string) error // why its control file cannot be written; nil: it can
}

// Follower is a worker that follows the control file of its app.
type Follower struct {
	Slot int
	appside.Report
}

// Identity returns the pid and the start of a worker, in seconds since 1970, as text, for
// [action.Victim.Identity].
func (f *Follower) Identity() string {
	return strconv.Itoa(f.PID) + ":" + strconv.FormatInt(f.Began.Unix(), 10)
}

// Find returns the workers of an app that follow its control file, by slot, without those
// that refuse it. A refusal: the app is unknown or down, no worker reports itself or follows,
// too many refuse the file, or it cannot be written. An error: no list of processes.
func (d *Finder) Find(ctx context.Context, name string) ([]Follower, action.Refusal, error) {
	app, err := d.app(ctx, name)
	if err != nil {
		return nil, action.Refusal{}, err
	}
	if app == nil {
		return nil, action.Refuse(action.CodeUnknownApp, "neither the rule nor the alert names a known app"), nil
	}
	if !app.Up {
		return nil, action.Refuse(action.CodeAppDown, "no process of the app is found: it is down, or the exporter may not see it"), nil
	}
	list, reports := d.of(app)
	if len(reports) == 0 {
		return nil, action.Refuse(action.CodeNoIntegration, "no worker of %s reports itself: add resp_flask.py to the app, or send it a first request", name), nil
	}
	if len(list) == 0 {
		return nil, d.notFollowed(name, reports), nil
	}
	all := len(list)
	list = slices.DeleteFunc(list, func(f Follower) bool { return f.Control.Refused })
	if !AreEnough(len(list), all) {
		return nil, action.Refuse(action.CodeNotFollowed, "%d of %d workers of %s refuse its control file: it and its directory must belong to root, the user of the app or the control_user of resp_flask, and nobody else may write there", all-len(list), all, name), nil
	}
	if err := d.Check(name); err != nil {
		return nil, action.Refuse(action.CodeNoControl, "the control file of %s cannot be written: %s", name, err), nil
	}
	return list, action.Refusal{}, nil
}

// Now returns the followers of an app at this moment, also those that refuse the file;
// none if the app is gone.
func (d *Finder) Now(ctx context.Context, name string) ([]Follower, error) {
	app, err := d.app(ctx, name)
	if app == nil {
		return nil, err
	}
	list, _ := d.of(app)
	return list, nil
}

// app returns a watched app; nil and no error if there is none of that name, or name is "".
func (d *Finder) app(ctx context.Context, name string) (*discovery.App, error) {
	snap, err := d.Processes.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	for i := range snap.Apps {
		if snap.Apps[i].Name == name && name != "" {
			return &snap.Apps[i], nil
		}
	}
	return nil, nil //nolint:nilnil // documented
}

// of returns the followers of an app by slot, also those that refuse its file, and all
// reports for the name of the app.
func (d *Finder) of(app *discovery.App) (list []Follower, all []appside.Report) {
	all = d.Reporter.Reports(app.Name)
	for i := range app.Workers {
		w := &app.Workers[i]
		for j := range all {
			r := &all[j]
			if r.PID == w.PID && r.Began.Sub(w.Start).Abs() < startSlack && appside.IsCalled(&r.State, app.Name) {
				list = append(list, Follower{Slot: w.Slot, Report: *r})
			}
		}
	}
	return list, all
}

// notFollowed returns why an app whose workers report themselves has no follower: one
// follows a control file (taken for that of another name), else one has another version of
// resp_flask.py, else they follow none.
func (d *Finder) notFollowed(name string, reports []appside.Report) action.Refusal {
	for i := range reports {
		if c := &reports[i].Control; c.Follows {
			return action.Refuse(action.CodeNotFollowed, "the workers of %s follow the control file of %s: give resp_flask the name %s", name, text.Quoted(c.Name, action.MaxValue), name)
		}
	}
	if slices.ContainsFunc(reports, func(r appside.Report) bool { return r.OtherVersion }) {
		return action.Refuse(action.CodeNotFollowed, "no worker of %s can be asked: its resp_flask.py is of another version: install the one of this exporter", name)
	}
	return action.Refuse(action.CodeNotFollowed, "the workers of %s follow no control file: give resp_flask a name and a control_dir, and update it if it is older than the exporter", name)
}

// Victims returns followers as a plan shows them. info is added to each.
func Victims(list []Follower, info map[string]string) []action.Victim {
	out := make([]action.Victim, 0, len(list))
	for i := range list {
		f := &list[i]
		all := map[string]string{"pid": strconv.Itoa(f.PID), "began": strconv.FormatInt(f.Began.UnixNano(), 10)}
		maps.Copy(all, info)
		out = append(out, action.Victim{Kind: "worker", ID: strconv.Itoa(f.Slot), Identity: f.Identity(), Info: all})
	}
	return out
}

// NewRun returns the id of what a run asks of an app, new at each call: the first 20 bytes
// of its id, and a random end. A worker does each once, and a rule may have a step twice.
func NewRun(id string) string { return text.Clip(id, 20) + "." + strings.ToLower(rand.Text()[:6]) }

// AreEnough reports whether done is at least the share [Enough] of all workers; false if
// there are none.
func AreEnough(done, all int) bool { return all > 0 && float64(done) >= Enough*float64(all) }
