package recycleworker

import (
	"context"
	"fmt"
	"strconv"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/process"
	"github.com/resp-exporter/resp-exporter/internal/heal/workers"
)

// Plan implements [action.Action]. It is cleared if no worker is to be recycled by the
// settings, and refused if the app is unknown or may not lose one, see choose and target; its
// only victim is the worst one.
func (r *Action) Plan(ctx context.Context, req action.PlanRequest) (action.Plan, error) {
	p := action.Plan{Action: config.ActionRecycle, Target: "app:?/workers"}
	name, refused := action.NameFrom(req.Alert, "app", r.c.App)
	if !refused.IsZero() {
		p.Refused = refused
		return p, nil
	}
	snap, err := r.d.Processes.Snapshot(ctx)
	if err != nil {
		return action.Plan{}, err
	}
	app := workers.FindApp(snap, name)
	if app == nil {
		p.Refused = action.Refuse(action.CodeUnknownApp, "neither the rule nor the alert names a known app")
		return p, nil
	}
	p.Target = "app:" + app.Name + "/workers"
	victim, _, refused, err := r.choose(ctx, app)
	switch {
	case err != nil:
		return action.Plan{}, err
	case !refused.IsZero():
		p.Refused = refused
		return p, nil
	case victim == nil:
		p.Cleared = true
		return p, nil
	}
	p.Measure, p.Total = victim.value, 1
	p.Summary = fmt.Sprintf("recycle worker %d of %d of %s, %s", victim.worker.Slot, len(app.Workers), app.Name, victim)
	t, refused, err := r.target(ctx, app, victim.worker)
	if err != nil {
		return action.Plan{}, err
	}
	p.Refused = refused
	if t == nil {
		return p, nil
	}
	info := process.Info(t.worker)
	info["master_pid"], info["master_start"] = strconv.Itoa(t.master.PID), strconv.FormatUint(t.master.Start, 10)
	info["workers"], info["of"], info["state"] = strconv.Itoa(len(app.Workers)), victim.of, string(victim.worker.State)
	if info["import_check"] = "not needed"; t.checkImport {
		info["import_check"] = "not run yet"
		p.Summary += "; before that, the app is imported as a check"
	}
	p.Victims = []action.Victim{{Kind: "worker", ID: strconv.Itoa(t.slot), Identity: process.IdentityOf(t.worker), Info: info}}
	p.Private = t
	return p, nil
}
