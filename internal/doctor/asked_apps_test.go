package doctor_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/appside"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
)

// asking returns a step that asks an app, which it names unless that is "".
func asking(action, app, task string) config.HealingStep {
	s := config.NewHealingStep(action)
	switch {
	case s.Throttle != nil:
		s.Throttle.App = app
	case s.RestartTask != nil:
		s.RestartTask.App, s.RestartTask.Task = app, task
	}
	return s
}

// Workers that would not follow what a step asks of them are a fault before the alert
// comes, for each action that uses the control file; an app that is not named in a step
// need not have resp_flask.py.
func TestAskedApps(t *testing.T) {
	t.Parallel()
	began := time.Now()
	follows := appside.Control{Follows: true, Name: "shop"}
	refuses, other := follows, follows
	refuses.Refused, other.Name = true, "blog"
	report := func(c appside.Control, tasks ...string) []appside.Report {
		r := appside.Report{PID: 7, Began: began, State: appside.State{Control: c}}
		for _, name := range tasks {
			r.Tasks = append(r.Tasks, appside.Task{Name: name})
		}
		return []appside.Report{r}
	}
	throttle, restart := asking(config.ActionThrottle, "", ""), asking(config.ActionRestartTask, "shop", "mail")
	permission, unsupported := finding{"app:shop", collectors.Permission, true}, finding{"app:shop", collectors.Unsupported, true}
	for name, c := range map[string]struct {
		reports []appside.Report
		steps   []config.HealingStep
		off     bool // in the mode dry_run
		want    []finding
	}{
		"follow":                         {report(follows, "mail"), []config.HealingStep{throttle, restart}, false, nil},
		"refuse":                         {report(refuses, "mail"), []config.HealingStep{restart}, false, []finding{permission}},
		"refuse, two actions":            {report(refuses, "mail"), []config.HealingStep{throttle, restart}, false, []finding{permission}},
		"refuse, dry run":                {report(refuses, "mail"), []config.HealingStep{restart}, true, []finding{{"app:shop", collectors.Permission, false}}},
		"another name":                   {report(other, "mail"), []config.HealingStep{restart}, false, []finding{unsupported}},
		"no control file":                {report(appside.Control{}), []config.HealingStep{throttle}, false, []finding{unsupported}},
		"no such task":                   {report(follows, "clean"), []config.HealingStep{restart}, false, []finding{{"app:shop", collectors.NotFound, false}}},
		"not reported, named":            {nil, []config.HealingStep{restart}, false, []finding{{"app:shop", collectors.NotFound, false}}},
		"not reported, not named":        {nil, []config.HealingStep{throttle}, false, nil},
		"another app's":                  {report(refuses), []config.HealingStep{asking(config.ActionThrottle, "blog", "")}, false, nil},
		"the alert names the task":       {report(refuses), []config.HealingStep{asking(config.ActionRestartTask, "", "")}, false, []finding{permission}},
		"a task of another app":          {report(refuses, "clean"), []config.HealingStep{asking(config.ActionRestartTask, "", "mail")}, false, nil},
		"a task, whose app is not named": {report(refuses, "mail"), []config.HealingStep{asking(config.ActionRestartTask, "", "mail")}, false, []finding{permission}},
		"another version":                {[]appside.Report{{PID: 7, Began: began, OtherVersion: true}}, []config.HealingStep{restart}, false, nil},
		"an action that asks for no":     {report(refuses), []config.HealingStep{config.NewHealingStep(config.ActionRecycle)}, false, nil},
	} {
		t.Log(name)
		s := subject(t)
		if err := os.Chmod(s.Flags.StateDir, 0o700); err != nil {
			t.Fatal(err)
		}
		s.Flags.ControlDir = private(t)
		s.Config.Healing.Mode = config.HealEnforce
		if c.off {
			s.Config.Healing.Mode = config.HealDryRun
		}
		s.Config.Healing.Rules = []config.HealingRule{{Name: "x", Steps: c.steps}}
		s.Inside = func(app string) []appside.Report {
			if app == "blog" {
				return report(follows, "mail")
			}
			return c.reports
		}
		s.Apps = func(context.Context) ([]discovery.App, error) {
			worker := discovery.Worker{Process: discovery.Process{PID: 7}, Start: began}
			apps := []discovery.App{{Name: "shop", Up: true, UID: uint32(os.Geteuid()), Workers: []discovery.Worker{worker}}}
			if name == "a task of another app" {
				apps = append(apps, discovery.App{Name: "blog", UID: apps[0].UID})
			}
			return apps, nil
		}
		section, _ := sectionOf(t, s, "heal")
		status := "ok"
		for _, f := range c.want {
			if status = "note"; f.fault {
				status = "fault"
			}
		}
		expect(t, section, status, c.want...)
		for _, f := range section.Findings {
			if (f.Reason == collectors.Permission) != (len(f.Remedy) == 1 && strings.Contains(f.Remedy[0], "RESP_CONTROL_USER=")) {
				t.Errorf("remedy %q", f.Remedy)
			}
		}
	}
}
