package e2e_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// routed is the part of an Alertmanager's configuration that decides who is notified.
type routed struct {
	Route     map[string]any
	Receivers []struct {
		Name     string
		Webhooks []struct{ URL string } `yaml:"webhook_configs"`
	}
}

// roles returns the receivers that are exporters and those that are not.
func (r routed) roles() (healers, people []string) {
	for _, receiver := range r.Receivers {
		if slices.ContainsFunc(receiver.Webhooks, func(w struct{ URL string }) bool { return strings.HasSuffix(w.URL, "/api/v1/alerts") }) {
			healers = append(healers, receiver.Name)
		} else {
			people = append(people, receiver.Name)
		}
	}
	return healers, people
}

// alertmanagerSnippet checks that a configuration is what Alertmanager takes,
// and that every alert that is shipped goes where it must.
func alertmanagerSnippet(t *testing.T, s snippet) {
	for _, problem := range alertmanagerProblems(t, s.text, shippedAlerts(t)) {
		t.Error(problem)
	}
}

// alertmanagerProblems returns the faults of a configuration. One without routes or
// receivers is a part, and is completed by the shipped example. alerts holds the labels of
// the alerts to route, by name.
func alertmanagerProblems(t *testing.T, text string, alerts map[string][]map[string]string) (problems []string) {
	t.Helper()
	need(t, "amtool")
	text = secrets(t, wholeAlertmanager(t, text))
	file := write(t, filepath.Join(t.TempDir(), "alertmanager.yml"), text)
	if out, err := exec.CommandContext(t.Context(), "amtool", "check-config", file).CombinedOutput(); err != nil {
		return []string{fmt.Sprintf("%v\n%s", err, out)}
	}
	var r routed
	if err := yaml.Unmarshal([]byte(text), &r); err != nil {
		return []string{err.Error()}
	}
	healers, people := r.roles()
	if len(healers) == 0 || len(people) == 0 {
		return []string{fmt.Sprintf("receivers %v for exporters, %v for people", healers, people)}
	}
	matched := healingMatches(t)
	for name, series := range alerts {
		for _, labels := range series {
			got := receivers(t, file, name, labels)
			if problem := misrouted(name, labels, got, healers, matched[name]); problem != "" {
				problems = append(problems, problem)
			}
		}
	}
	return problems
}

// wholeAlertmanager returns a configuration with what it lacks from the example.
func wholeAlertmanager(t *testing.T, text string) string {
	t.Helper()
	example, err := os.ReadFile(alertmanagerExample)
	if err != nil {
		t.Fatal(err)
	}
	var base, part map[string]any
	for text, to := range map[string]*map[string]any{string(example): &base, text: &part} {
		if err := yaml.Unmarshal([]byte(text), to); err != nil {
			t.Fatal(err)
		}
	}
	for k, v := range base {
		if part[k] == nil {
			part[k] = v
		}
	}
	b, err := yaml.Marshal(part)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// receivers returns the receivers of an alert, as amtool reports them.
func receivers(t *testing.T, file, name string, labels map[string]string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "amtool", "config", "routes", "test", "--config.file="+file, // its warnings go elsewhere
		"alertname="+name, "severity="+labels["severity"], "component="+labels["component"], "job=resp", "instance=web-1:9868").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(out)), ",")
}

// misrouted returns the faults of an alert's receivers. People get everything but the
// heartbeat, whatever the exporter does about it; the exporter gets what it may heal and
// the heartbeat, never alerts about itself.
func misrouted(name string, labels map[string]string, got, healers []string, matchedAt string) string {
	toHealer := slices.ContainsFunc(got, func(r string) bool { return slices.Contains(healers, r) })
	toPeople := slices.ContainsFunc(got, func(r string) bool { return !slices.Contains(healers, r) })
	own := labels["component"] == "exporter" || labels["component"] == "healing"
	heartbeat := labels["severity"] == "none"
	switch {
	case heartbeat && name != "RespWatchdog":
		return name + " has the severity of the heartbeat"
	case heartbeat && (!toHealer || toPeople):
		return fmt.Sprintf("the heartbeat goes to %v", got)
	case heartbeat:
		return ""
	case !toPeople:
		return fmt.Sprintf("%s (%s) reaches nobody: it goes to %v", name, labels["severity"], got)
	case own && toHealer:
		return fmt.Sprintf("%s is about the exporter or healing, and goes to %v", name, got)
	case !own && !toHealer:
		return fmt.Sprintf("%s goes to %v, and not to the exporter", name, got)
	case matchedAt != "" && !toHealer:
		return fmt.Sprintf("%s does not reach the exporter, whose rules in %s match it", name, matchedAt)
	}
	return ""
}

// TestSnippetsAlertmanagerFiles applies the checks of the pages' configurations to those
// that are files.
func TestSnippetsAlertmanagerFiles(t *testing.T) {
	t.Parallel()
	for _, file := range []string{alertmanagerExample, "../deploy/compose/alertmanager.yml"} {
		t.Run(filepath.Base(filepath.Dir(file)), func(t *testing.T) {
			t.Parallel()
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			alertmanagerSnippet(t, snippet{at: file, text: string(b)})
		})
	}
}

// TestSnippetsHealingMatches checks that every alert that a healing rule names is shipped.
func TestSnippetsHealingMatches(t *testing.T) {
	t.Parallel()
	alerts, matches := shippedAlerts(t), healingMatches(t)
	if len(matches) < 5 {
		t.Errorf("only %v", matches)
	}
	for name, at := range matches {
		if alerts[name] == nil {
			t.Errorf("%s: no alert %s is shipped", at, name)
		}
	}
}

// TestSnippetsFindMutedPeople checks that routes that mute people, or the exporter, are
// found.
func TestSnippetsFindMutedPeople(t *testing.T) {
	t.Parallel()
	const head = "route:\n  receiver: people\n  routes:\n"
	const healer, last = `    - {receiver: healing, matchers: ['alertname =~ "Resp.+"'], continue: true}` + "\n", "    - {receiver: people}\n"
	const own = `    - {receiver: healing, matchers: ['alertname =~ "Resp.+"', 'component !~ "exporter|healing"'], continue: true}` + "\n"
	const heartbeat = "    - {receiver: healing, matchers: [alertname = RespWatchdog]}\n"
	alerts := shippedAlerts(t)
	maps.DeleteFunc(alerts, func(name string, _ []map[string]string) bool {
		return !slices.Contains([]string{"RespWatchdog", "RespHealNeedsHuman", "RespHealRunFailed", "RespPoolLeak", "RespExporterDown"}, name)
	})
	if len(alerts) != 5 {
		t.Fatalf("%v", alerts)
	}
	for name, c := range map[string]struct{ text, finding string }{
		"no last child":             {head + healer, "RespHealNeedsHuman (warning) reaches nobody"},
		"no last child, own apart":  {head + heartbeat + own, "RespPoolLeak (warning) reaches nobody"},
		"no continue":               {head + strings.ReplaceAll(heartbeat+own, ", continue: true", "") + last, "RespPoolLeak (warning) reaches nobody"},
		"the exporter about itself": {head + heartbeat + healer + last, "RespHealNeedsHuman is about the exporter"},
		"only what is critical":     {head + heartbeat + strings.Replace(own, "matchers: [", "matchers: [severity = critical, ", 1) + last, "RespPoolLeak goes to [people]"},
		"the heartbeat to people":   {head + own + last, "the heartbeat goes to"},
		"nobody heals":              {"route: {receiver: people}\nreceivers: [{name: people}]\n", "for exporters"},
		"no such receiver":          {"route: {receiver: peple}\n", "peple"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := strings.Join(alertmanagerProblems(t, c.text, alerts), "\n"); !strings.Contains(got, c.finding) {
				t.Errorf("no %q in\n%s", c.finding, got)
			}
		})
	}
	if got := alertmanagerProblems(t, head+heartbeat+own+last, alerts); len(got) > 0 {
		t.Errorf("nothing is wrong with it: %v", got)
	}
}
