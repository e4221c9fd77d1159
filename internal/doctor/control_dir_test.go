package doctor_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/appside"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
)

// The directory of control files is examined only if a step needs it.
func TestControlDirectory(t *testing.T) {
	t.Parallel()
	file := func(t *testing.T) string { t.Helper(); return filepath.Join(private(t), "a", "b", "control") }
	for name, c := range map[string]struct {
		step   config.HealingStep
		dir    func(t *testing.T) string
		status string
		want   []finding
		facts  int
	}{
		"not needed":   {config.NewHealingStep(config.ActionRecycle), file, "ok", nil, 2},
		"there":        {config.NewHealingStep(config.ActionThrottle), private, "ok", nil, 3},
		"to be made":   {config.NewHealingStep(config.ActionCollect), func(t *testing.T) string { t.Helper(); return filepath.Join(private(t), "run", "control") }, "ok", nil, 3},
		"no parent":    {config.NewHealingStep(config.ActionThrottle), file, "fault", []finding{{"heal", collectors.Permission, true}}, 2},
		"switched off": {config.NewHealingStep(config.ActionThrottle), func(*testing.T) string { return "" }, "fault", []finding{{"heal", collectors.Permission, true}}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := subject(t)
			s.Config.Healing.Mode, s.Flags.StateDir, s.Flags.ControlDir = config.HealEnforce, private(t), c.dir(t)
			s.Config.Healing.Rules = []config.HealingRule{{Name: "x", Steps: []config.HealingStep{c.step}}}
			section, _ := sectionOf(t, s, "heal")
			expect(t, section, c.status, c.want...)
			if len(section.Facts) != c.facts {
				t.Errorf("facts %q", section.Facts)
			}
		})
	}
}

// A resp_flask.py of another version is named. It is a fault only where healing would ask
// the app.
func TestOtherVersions(t *testing.T) {
	t.Parallel()
	collect := config.NewHealingStep(config.ActionCollect)
	rules := []config.HealingRule{{Name: "memory", Steps: []config.HealingStep{collect}}}
	other, ours := appside.Report{PID: 2, OtherVersion: true}, appside.Report{PID: 3}
	for name, c := range map[string]struct {
		reports []appside.Report
		up      bool
		rules   []config.HealingRule
		status  string
		want    []finding
	}{
		"none":        {nil, true, rules, "ok", nil},
		"ours":        {[]appside.Report{ours}, true, rules, "ok", nil},
		"some":        {[]appside.Report{ours, other}, true, nil, "note", []finding{{"app:shop", collectors.Unsupported, false}}},
		"with a step": {[]appside.Report{other}, true, rules, "fault", []finding{{"app:shop", collectors.Unsupported, true}}},
		"it is down":  {[]appside.Report{other}, false, rules, "ok", nil},
	} {
		t.Log(name)
		s := subject(t)
		s.Config.Healing.Mode, s.Config.Healing.Rules = config.HealEnforce, c.rules
		s.Inside = func(string) []appside.Report { return c.reports }
		s.Apps = func(context.Context) ([]discovery.App, error) {
			return []discovery.App{{Name: "shop", Up: c.up, UID: uint32(os.Geteuid())}}, nil
		}
		section, _ := sectionOf(t, s, "requests")
		expect(t, section, c.status, c.want...)
	}
}
