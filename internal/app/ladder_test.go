package app_test

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/resp-exporter/resp-exporter/"

// rung returns the rung of a package, which may import only lower ones.
func rung(pkg string) (float64, bool) {
	n, ok := map[string]float64{
		"cmd/resp-exporter": 8,
		"internal/app":      7, "internal/app/evidence": 6, "internal/app/fleetleases": 6,
		"internal/doctor": 6, "internal/doctor/holder": 5.5,
		"collectors": 5, "internal/webhook": 5, "internal/web": 5, "internal/serve": 5,
		"internal/heal":           4,
		"internal/web/waitstatus": 4, "internal/web/charts": 4, "internal/web/historystatus": 4, "internal/web/runbooks": 4, "internal/web/webtest": 4,
		"internal/web/display": 4.2, "internal/web/parts": 4.3, "internal/web/past": 4.3, // display reads waitstatus; past reads charts
		"docs": -2,
		// what is remembered of the apps
		"internal/history": 1, "internal/history/incidents": 2.5, "internal/history/records": 1, "internal/history/files": -1,
		"internal/waits": 3, "internal/workerends": 3,
		// the rooms below waits
		"internal/waits/sampling": 2.5, "internal/waits/sockets": 2.45, "internal/waits/ledger": 2.4,
		"internal/waits/sampling/viewtime": 2.47, "internal/waits/sampling/reserve": 2.4, "internal/waits/sampling/share": 2.45, "internal/waits/sampling/calls": 2.42, "internal/waits/sampling/viewcount": 2.48, "internal/waits/sampling/gil": 2.45, "internal/waits/sampling/loops": 2.4,
		"internal/leak/watch": 3, "internal/leak/growth": 3.2, "internal/health": 2, "internal/discovery": 2,
		"internal/diagnosis":       1.5,                                                                                                                                // health makes advice of it
		"internal/diagnosis/cause": 1.7,                                                                                                                                // the same
		"internal/health/locks":    1.5, "internal/health/measures": 1.5, "internal/health/levels": 1.5, "internal/health/words": 1.6, "internal/health/capacity": 1.6, // capacity reads measures
		// the rooms below discovery
		"internal/discovery/listeners": 1.6, "internal/discovery/match": 1.6, "internal/discovery/naming": 1.6, "internal/discovery/slots": 1.6, "internal/discovery/uwsgi": 1.6,
		"internal/discovery/table":   1.4,
		"internal/discovery/appname": 1.2, "internal/discovery/cmdline": 1.2, "internal/discovery/pss": 1.2,
		"internal/mysql/statement": 0, "internal/mysql/guard": 0, "internal/mysql/locks": 0.5, "internal/mysql": 1, "internal/redis": 1, "internal/ingest/statsd": 1, "internal/ingest/origin": 1,
		// the rooms above a Redis
		"internal/redis/tasks": 1.5, "internal/redis/sessions": 1.5, "internal/redis/leases": 1.5, "internal/redis/relaystream": 1.5, "internal/redis/controlkey": 1.5, "internal/redis/redistest": 1.5,
		"internal/leak": 1, "internal/leak/views": 1, "internal/leak/linear": 0.5, "internal/leak/trace": 1.5, "internal/leak/leaktest": 1.6,
		"internal/appside": 1, "internal/appside/control": 0.5, "internal/conns": 1, "internal/procid": 1, "internal/model/modeltest": 1,
		"grafana/generate/model": 0, "grafana/generate/runbook": 0, "grafana/generate": 1, "tools/mutate": 0, "tools/prometheusrule": 0, "internal/config": 0, "internal/ingest": 0, "internal/sockdiag": 0, "internal/cgroup": 0, "internal/procfs": 0, "internal/model": 0,
		// what a Python process does, from its memory
		"internal/pystack/memory": -0.5, "internal/pystack/layout": 0, "internal/pystack/lines": 0, "internal/pystack/image": 0.5, "internal/pystack": 1, "internal/pystack/pystacktest": 1.5,
		"internal/pystack/object": 0.5, "internal/pystack/request": 1.5, "internal/pystack/tasks": 1.6, "internal/pystack/census": 1.6,
		"internal/config/schema": -1, "internal/config/hostactions": -0.5, "internal/config/hidden": -1, "internal/config/appactions": -0.25, "internal/config/address": -1, "internal/config/fleet": -0.25, "internal/secret": -1, "internal/retry": -1, "internal/ticks": -1, "internal/logs": -1, "internal/reason": -2, "internal/openfiles": -2, "internal/safefile": -2, "internal/text": -2, "internal/golden": -2, // config uses the last two
	}[pkg]
	if strings.HasPrefix(pkg, "internal/heal/") {
		return 4, true
	}
	return n, ok
}

// healRung returns the rung of a package within internal/heal. No action imports
// another one.
func healRung(pkg string) (int, bool) {
	n, ok := map[string]int{
		"internal/heal":                     4,
		"internal/heal/guard":               3,
		"internal/heal/firing":              3,
		"internal/heal/counts":              3,
		"internal/heal/relay":               3,
		"internal/heal/journal":             2,
		"internal/heal/importcheck":         2,
		"internal/heal/action/actiontest":   2,
		"internal/heal/journal/journaltest": 3,
		"internal/heal/dbconn":              1,
		"internal/heal/followers":           1,
		"internal/heal/handover":            1,
		"internal/heal/program":             1,
		"internal/heal/workers":             1,
		"internal/heal/action":              0,
		"internal/heal/keyspace":            0,
		"internal/heal/process":             0,
		"internal/heal/redact":              0,
	}[pkg]
	if !ok && strings.HasPrefix(pkg, "internal/heal/action/") {
		return 3, true
	}
	return n, ok
}

// imports returns "package import" pairs of the module's own packages.
func imports(t *testing.T) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-f", `{{$p := .ImportPath}}{{range .Imports}}{{$p}} {{.}}{{"\n"}}{{end}}`, module+"...").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

func TestLadder(t *testing.T) {
	pairs := imports(t)
	if len(pairs) < 50 {
		t.Fatalf("only %d imports found", len(pairs))
	}
	for _, pair := range pairs {
		from, to, _ := strings.Cut(pair, " ")
		if fault := climbs(from, to); fault != "" {
			t.Error(fault)
		}
	}
}

// climbs returns what is wrong with an import, "" for nothing. Imports of other
// modules are checked by depguard, see .golangci.yml.
func climbs(from, to string) string {
	from, to = strings.TrimPrefix(from, module), strings.TrimPrefix(to, module)
	high, ok := rung(from)
	if !ok {
		return from + " has no place on the ladder"
	}
	if low, ok := healRung(to); ok {
		if high, ok := healRung(from); ok {
			if low >= high {
				return from + " imports " + to + ", which is not below it"
			}
			return ""
		}
	}
	if _, ok := healRung(from); !ok && strings.HasPrefix(from, "internal/heal/") {
		return from + " has no place within internal/heal"
	}
	if low, ours := rung(to); ours && low >= high {
		return from + " imports " + to + ", which is not below it"
	}
	return ""
}

// climbs reports imports of the same rung and of a higher one.
func TestLadderNotices(t *testing.T) {
	for _, c := range [][2]string{
		{"internal/discovery", "collectors"}, {"internal/conns", "internal/redis"}, {"internal/web", "collectors"}, {"internal/procfs", "internal/discovery"},
		{"internal/discovery", "internal/waits"}, {"internal/doctor", "internal/app"}, {"internal/new", "fmt"}, {"internal/discovery/table", "internal/discovery"},
		{"internal/redis", "internal/redis/tasks"}, {"internal/redis/tasks", "internal/redis/sessions"},
	} {
		if climbs(module+c[0], module+c[1]) == "" {
			t.Errorf("%s may import %s", c[0], c[1])
		}
	}
}

// The ladder of CONTRIBUTING.md names each package, or one that contains it, and none
// that does not exist.
func TestLadderOfTheDocumentation(t *testing.T) {
	page, err := os.ReadFile("../../CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	_, ladder, _ := strings.Cut(string(page), "## The ladder\n")
	_, ladder, _ = strings.Cut(ladder, "```\n")
	ladder, _, _ = strings.Cut(ladder, "\n```")
	words := strings.Fields(ladder)
	packages := map[string]bool{}
	for _, pair := range imports(t) {
		from, _, _ := strings.Cut(pair, " ")
		packages[strings.TrimPrefix(from, module)] = true
	}
	for pkg := range packages {
		covers := func(w string) bool { return pkg == w || strings.HasPrefix(pkg, w+"/") }
		if strings.HasPrefix(pkg, "internal/") && !slices.ContainsFunc(words, covers) {
			t.Errorf("the ladder of CONTRIBUTING.md has no %s", pkg)
		}
	}
	for _, w := range words {
		if strings.HasPrefix(w, "internal/") && !packages[w] {
			t.Errorf("the ladder of CONTRIBUTING.md has %s, which does not exist", w)
		}
	}
}
