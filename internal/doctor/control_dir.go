package doctor

import (
	"errors"
	"fmt"
	"slices"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/appside/control"
	"github.com/resp-exporter/resp-exporter/internal/config"
)

// controlDirectory adds what is wrong with the directory of control files, if a step of
// healing asks an app to do something. It locks nothing that a running exporter needs.
func (d *doctor) controlDirectory() {
	if !d.asksApps() {
		return
	}
	dir := d.Flags.ControlDir
	if err := control.New(dir, nil).Check("app"); err != nil {
		remedy := "in the unit: RuntimeDirectory=resp-exporter resp-exporter/control, or: install -d -m 0755 -o " + d.who.name + " " + dir
		if errors.Is(err, control.ErrOff) {
			remedy = "--control.dir=/run/resp-exporter/control"
		}
		d.add("heal", Finding{
			Of: "heal", Reason: collectors.Permission, Fault: true, Remedy: []string{remedy},
			Detail: "apps cannot be asked to do anything (throttle, collect_garbage, restart_task, trace_memory): the directory of control files cannot be used: " + err.Error(),
		})
		return
	}
	d.fact("heal", "the directory of control files is %s", dir)
}

// asksApps reports whether a step of healing asks an app to do something.
func (d *doctor) asksApps() bool {
	return slices.ContainsFunc(stepsOf(d.Config.Healing), func(s config.HealingStep) bool {
		_, asks := d.requestOf(s)
		return asks
	})
}

// otherVersions adds a finding for each app whose resp_flask.py is of another version than
// the exporter's: what it reports is not read. It is a fault if healing would ask an app.
func (d *doctor) otherVersions() {
	if d.Inside == nil {
		return
	}
	for i := range d.apps {
		a := &d.apps[i]
		reports, n := d.Inside(a.Name), 0
		for _, r := range reports {
			if r.OtherVersion {
				n++
			}
		}
		if !a.Up || n == 0 {
			continue
		}
		d.add("requests", Finding{
			Of: "app:" + a.Name, Reason: collectors.Unsupported, Fault: d.Config.Healing.Mode == config.HealEnforce && d.asksApps(),
			Detail: fmt.Sprintf("the resp_flask.py of %s is of another version than the exporter in %d of the %d workers that have one: what it reports is not read, and these workers follow no control file", a.Name, n, len(reports)),
			Remedy: []string{"install the resp_flask.py of this exporter (/usr/share/resp-exporter/resp_flask.py) in the app, and restart the app"},
		})
	}
}
