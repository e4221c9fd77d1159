package e2e_test

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v3"
)

// composed is a copy of the files that the compose file needs, with its own passwords.
type composed struct {
	dir     string
	project *types.Project // as a compose engine would load it
}

// copied is what the copy has: all that the images and containers are made of,
// and the files that may name an image.
var copied = []string{
	"docker-compose.yml", "Dockerfile", ".dockerignore", "Makefile", "README.md", "LICENSE", "go.mod", "go.sum",
	"cmd", "collectors", "internal", "deploy", "docs", "rules", "grafana", "e2e/shop", "integrations",
}

// copyRepo copies the repository's files to a new directory.
func copyRepo(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	fillRepo(t, dir)
	return dir
}

// fillRepo copies the repository's files to dir, without a clone's own
// passwords, and makes new ones.
func fillRepo(t *testing.T, dir string) {
	t.Helper()
	for _, name := range copied {
		clone(t, filepath.Join("..", name), filepath.Join(dir, name), copyFile)
	}
	tool(t, dir, "bash", "deploy/compose/up.sh", "secrets")
}

// clone puts each file below from to the same place below to.
func clone(t *testing.T, from, to string, put func(from, to string) error) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || strings.HasSuffix(path, ".png") || strings.HasSuffix(path, ".pyc") {
			return err
		}
		target := to + strings.TrimPrefix(path, from)
		if d.IsDir() {
			if strings.HasPrefix(path, "../") && d.Name() == "secrets" {
				return fs.SkipDir
			}
			return os.MkdirAll(target, 0o755)
		}
		return put(path, target)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// copyFile copies one file with its mode.
func copyFile(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, info.Mode().Perm())
}

// compose loads the compose file of a directory as an engine does.
func compose(t *testing.T, dir string) (composed, error) {
	t.Helper()
	c := composed{dir: dir}
	o, err := cli.NewProjectOptions([]string{filepath.Join(dir, "docker-compose.yml")}, cli.WithWorkingDirectory(dir))
	if err != nil {
		return c, err
	}
	c.project, err = o.LoadProject(context.WithoutCancel(t.Context()))
	return c, err
}

// fault is one change of one file that a check must find.
type fault struct {
	file, old, new string
	remove         string // a file or directory to be removed
	check          func(composed) []string
	finding        string // part of what it must say; empty: nothing
}

func (f fault) plant(t *testing.T, dir string) {
	t.Helper()
	if f.remove != "" {
		if err := os.RemoveAll(filepath.Join(dir, f.remove)); err != nil {
			t.Fatal(err)
		}
	}
	if f.file == "" {
		return
	}
	path := filepath.Join(dir, f.file)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), f.old) {
		t.Fatalf("%s has no %q to be replaced", f.file, f.old)
	}
	if err := os.Remove(path); err != nil { // other tests have the same file by another name
		t.Fatal(err)
	}
	write(t, path, strings.Replace(string(b), f.old, f.new, 1))
}

// TestCompose loads the compose file as an engine loads it, and checks that no check has a
// finding.
func TestCompose(t *testing.T) {
	t.Parallel()
	c, err := compose(t, copyRepo(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, check := range map[string]func(composed) []string{
		"sources": sources, "ports": ports, "images": images, "awaited": awaited, "confined": confined, "dockerfiles": dockerfiles,
		"exporter": exporterCommand, "prometheus": prometheusConfig, "alertmanager": alertmanagerConfig, "grafana": grafanaConfig, "built": built,
	} {
		for _, f := range check(c) {
			t.Errorf("%s: %s", name, f)
		}
	}
	want := []string{"alertmanager", "grafana", "jobs", "load", "mysql", "pod", "prometheus", "redis", "resp-exporter", "shop"}
	if got := c.project.ServiceNames(); !slices.Equal(got, want) {
		t.Errorf("services are %v, want %v", got, want)
	}
}

// TestComposeDocs checks that the example of the documentation loads, and connects and
// exposes nothing that it should not.
func TestComposeDocs(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/compose.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, found := strings.Cut(string(text), "```yaml\nservices:\n")
	example, _, _ = strings.Cut(example, "```")
	if !found {
		t.Fatal("docs/compose.md has no example")
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "docker-compose.yml"), "name: example\nservices:\n"+example)
	c, err := compose(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range slices.Concat(sources(c), ports(c), awaited(c)) {
		t.Error(f)
	}
}

// TestComposeEnforces checks that the one line of docs/compose.md lets healing act: it is in
// the documentation as in the file, and with it the exporter's own check accepts the file, which
// differs in nothing else.
func TestComposeEnforces(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/compose.md")
	if err != nil || !strings.Contains(string(text), "```yaml\nhealing:\n  mode: enforce\n```") {
		t.Errorf("docs/compose.md does not have the line (%v)", err)
	}
	dir := copyRepo(t)
	fault{file: "deploy/compose/exporter/resp-exporter.yml", old: "  mode: dry_run\n", new: "  mode: enforce\n"}.plant(t, dir)
	c, err := compose(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	if found := exporterCommand(c); !slices.Equal(found, []string{"healing is in mode enforce, not dry_run"}) {
		t.Errorf("found %q", found)
	}
	if got := c.project.Services["resp-exporter"].Environment["RESPONSIVENESS_CLEANUP_ENABLED"]; got == nil || *got != "true" {
		t.Errorf("healing is switched off in the environment: %v", got)
	}
	file, _ := c.settings("resp-exporter")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var with struct {
		Healing struct {
			Rules []struct{ Mode string }
		}
	}
	if err := yaml.Unmarshal(b, &with); err != nil || len(with.Healing.Rules) < 5 {
		t.Fatalf("%d rules (%v)", len(with.Healing.Rules), err)
	}
	for i, r := range with.Healing.Rules {
		if r.Mode != "" {
			t.Errorf("rule %d has the mode %s of its own", i, r.Mode)
		}
	}
}

// TestComposeFaults checks that each check finds its injected fault.
func TestComposeFaults(t *testing.T) {
	t.Parallel()
	original := copyRepo(t)
	const file, exporterFile = "docker-compose.yml", "deploy/compose/exporter/resp-exporter.yml"
	for name, f := range map[string]fault{
		"nothing":              {check: sources},
		"a mount of nothing":   {file: file, old: "./e2e/shop/schema.sql:", new: "./e2e/shop/scheme.sql:", check: sources, finding: "e2e/shop/scheme.sql"},
		"a mount that is gone": {remove: "grafana/provisioning/datasources", check: sources, finding: "grafana/provisioning/datasources"},
		"no password":          {remove: "deploy/compose/secrets/redis_shop", check: sources, finding: "secret redis_shop"},
		"a password too weak":  {file: "deploy/compose/secrets/redis_shop", old: "", new: "'; DROP TABLE users; --", check: sources, finding: "secret redis_shop"},
		"no Dockerfile":        {file: file, old: "shop.Dockerfile", new: "stop.Dockerfile", check: sources, finding: "stop.Dockerfile"},
		"no context":           {file: file, old: "{context: ., ", new: "{context: ./none, ", check: sources, finding: "build context"},
		"no such target":       {file: file, old: "target: distroless", new: "target: slim", check: sources, finding: "no stage slim"},
		"a script not for the shell": {file: file, old: "./deploy/compose/mysql/20-users.sh:", new: "./deploy/compose/exporter/resp-exporter.yml:",
			check: sources, finding: "20-users.sh is not executable"},

		"one port twice":      {file: file, old: "${ALERTMANAGER_PORT:-9093}", new: "${ALERTMANAGER_PORT:-9090}", check: ports, finding: "9090 is published by"},
		"open to the world":   {file: file, old: `"127.0.0.1:${GRAFANA_PORT:-3000}:3000"`, new: `"${GRAFANA_PORT:-3000}:3000"`, check: ports, finding: "grafana publishes 3000 at every address"},
		"a floating port":     {file: file, old: `"127.0.0.1:${GRAFANA_PORT:-3000}:3000"`, new: `"127.0.0.1::3000"`, check: ports, finding: "without a number"},
		"latest":              {file: file, old: "redis:7.4.5", new: "redis:latest", check: images, finding: "redis:latest"},
		"no tag":              {file: file, old: "redis:7.4.5", new: "redis", check: images, finding: "redis"},
		"a base without tag":  {file: "Dockerfile", old: "busybox:1.37.0 AS", new: "busybox AS", check: images, finding: "busybox"},
		"another tag":         {file: "Dockerfile", old: "busybox:1.37.0 AS", new: "busybox:1.36.1 AS", check: images, finding: "busybox:1.3"},
		"another in a doc":    {file: "docs/compose.md", old: "\n", new: "\nmysql:8.0.1\n", check: images, finding: "docs/compose.md names mysql:8.0.1"},
		"another exporter":    {file: file, old: "resp-exporter/resp-exporter:0.1.0", new: "resp-exporter/resp-exporter:1", check: images, finding: "not that of VERSION"},
		"an older Kubernetes": {file: "deploy/kubernetes/base/daemonset.yaml", old: "resp-exporter:0.1.0", new: "resp-exporter:0.0.9", check: images, finding: "daemonset.yaml names"},
		"an older Go":         {file: "Dockerfile", old: "golang:1.26", new: "golang:1.25", check: images, finding: "go.mod wants"},

		"waits for nobody":    {file: file, old: "mysql: {condition: service_healthy}", new: "mariadb: {condition: service_healthy}", check: awaited, finding: "mariadb"},
		"waits for ever":      {file: file, old: "test: [CMD, mysqladmin", new: "disable: true\n      x-test: [CMD, mysqladmin", check: awaited, finding: "mysql has no healthcheck"},
		"joins nobody":        {file: file, old: `pid: "service:pod"`, new: `pid: "service:pad"`, check: awaited, finding: "pad"},
		"privileged":          {file: file, old: "    hostname: shop\n", new: "    hostname: shop\n    privileged: true\n", check: confined, finding: "pod is privileged"},
		"the host's PIDs":     {file: file, old: `pid: "service:pod"`, new: "pid: host", check: confined, finding: "pid is the host's"},
		"the host's network":  {file: file, old: `network_mode: "service:pod"`, new: "network_mode: host", check: confined, finding: "network is the host's"},
		"a capability":        {file: file, old: "    read_only: true\n    environment:", new: "    read_only: true\n    cap_add: [SYS_PTRACE]\n    environment:", check: confined, finding: "resp-exporter adds SYS_PTRACE"},
		"all capabilities":    {file: file, old: "  cap_drop: [ALL]\n", new: "", check: confined, finding: "keeps capabilities"},
		"may gain privileges": {file: file, old: `  security_opt: ["no-new-privileges:true"]` + "\n", new: "", check: confined, finding: "gain privileges"},
		"no limit":            {file: file, old: "    mem_limit: 1g\n", new: "", check: confined, finding: "mysql has no memory limit"},
		"root":                {file: file, old: `    user: "65532:65532"` + "\n    read_only: true\n    environment", new: "    user: root\n    read_only: true\n    environment", check: confined, finding: "resp-exporter runs as"},
		"may write": {file: file, old: `    user: "65532:65532"` + "\n    read_only: true\n    environment", new: `    user: "65532:65532"` + "\n    environment",
			check: confined, finding: "resp-exporter may write"},
		"the engine's socket": {file: file, old: "- resp-exporter:/var/lib/resp-exporter", new: "- /var/run/docker.sock:/var/run/docker.sock", check: confined, finding: "docker.sock"},
		"two users":           {file: "deploy/compose/shop.Dockerfile", old: "USER 65532:65532", new: "USER 10001:10001", check: confined, finding: "the shop runs as 10001"},

		"a flag of nobody":     {file: file, old: "--config.file=/etc/resp-exporter/", new: "--config.files=/etc/resp-exporter/", check: exporterCommand, finding: "unknown long flag"},
		"another file":         {file: file, old: "/etc/resp-exporter/resp-exporter.yml", new: "/etc/resp-exporter.yml", check: exporterCommand, finding: "/etc/resp-exporter.yml"},
		"a key of nobody":      {file: exporterFile, old: "dry_run", new: "dry_ruin", check: exporterCommand, finding: "healing.mode"},
		"another secret":       {file: exporterFile, old: "secrets/mysql_resp", new: "secrets/mysql_root", check: exporterCommand, finding: "/run/secrets/mysql_root"},
		"acts by itself":       {file: exporterFile, old: "mode: dry_run", new: "mode: enforce", check: exporterCommand, finding: "dry_run"},
		"another address":      {file: exporterFile, old: "shop:9868", new: "web:9868", check: exporterCommand, finding: "web:9868"},
		"a scrape of nobody":   {file: "deploy/compose/prometheus.yml", old: "job_name", new: "job_nome", check: prometheusConfig, finding: "job_nome"},
		"no rules":             {file: "deploy/compose/prometheus.yml", old: "*.rules.yml", new: "*.rule.yml", check: prometheusConfig, finding: "rule files"},
		"a flag of its own":    {file: file, old: "--storage.tsdb.path", new: "--storage.tsdb.paths", check: prometheusConfig, finding: "--storage.tsdb.paths"},
		"no receiver":          {file: "deploy/compose/alertmanager.yml", old: "- name: healing", new: "- name: heeling", check: alertmanagerConfig, finding: "healing"},
		"routes of its own":    {file: "deploy/compose/alertmanager.yml", old: "repeat_interval: 1h", new: "repeat_interval: 2h", check: alertmanagerConfig, finding: "differ from the example"},
		"another token":        {file: "deploy/compose/alertmanager.yml", old: "secrets/webhook_token", new: "secrets/token", check: alertmanagerConfig, finding: "/run/secrets/token"},
		"dashboards elsewhere": {file: file, old: ":/var/lib/grafana/dashboards:ro", new: ":/dashboards:ro", check: grafanaConfig, finding: "/var/lib/grafana/dashboards"},
		"no home":              {file: file, old: "resp-overview.json", new: "resp-over.json", check: sources, finding: "resp-over.json"},
		"a password elsewhere": {file: file, old: "/run/secrets/mysql_root", new: "/run/secrets/root", check: sources, finding: "/run/secrets/root"},
		"another Prometheus":   {file: "grafana/provisioning/datasources/prometheus.yml", old: "prometheus:9090", new: "prom:9090", check: grafanaConfig, finding: "prom:9090"},
		"another interval":     {file: "grafana/provisioning/datasources/prometheus.yml", old: "timeInterval: 15s", new: "timeInterval: 60s", check: grafanaConfig, finding: "scrapes each 15s"},
		"another uid":          {file: "grafana/provisioning/datasources/prometheus.yml", old: "uid: prometheus", new: "uid: P1809F7CD0C75ACF3", check: grafanaConfig, finding: "uid"},
		"may be changed":       {file: "grafana/provisioning/dashboards/resp-exporter.yml", old: "allowUiUpdates: false", new: "allowUiUpdates: true", check: grafanaConfig, finding: "in the browser"},
		"a source of nothing":  {file: "Dockerfile", old: "COPY collectors collectors", new: "COPY collections collectors", check: dockerfiles, finding: "collections"},
		"an ignored source":    {file: ".dockerignore", old: "!internal\n", new: "", check: dockerfiles, finding: "internal"},
		"secrets in the image": {file: ".dockerignore", old: "!e2e/shop\n", new: "!e2e/shop\n!deploy\n", check: dockerfiles, finding: "deploy/compose/secrets"},
		"a stage of nobody":    {file: "Dockerfile", old: "COPY --from=build /out/resp", new: "COPY --from=builder /out/resp", check: dockerfiles, finding: "builder"},
		"an unknown word":      {file: "Dockerfile", old: "EXPOSE", new: "EXPOSES", check: dockerfiles, finding: "EXPOSES"},
		"a build of nothing":   {file: "Dockerfile", old: "./cmd/resp-exporter\n", new: "./cmd/exporter\n", check: built, finding: "cmd/exporter"},
		"an unnamed version":   {file: "Dockerfile", old: "version.Version=", new: "version.Versions=", check: built, finding: "--version"},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			dir := t.TempDir()
			clone(t, original, dir, os.Link)
			f.plant(t, dir)
			c, err := compose(t, dir)
			var found []string
			if err != nil {
				found = []string{err.Error()} // then an engine does not even start
			} else {
				found = f.check(c)
			}
			said := strings.Join(found, "\n")
			if f.finding == "" && said != "" || !strings.Contains(said, f.finding) {
				t.Errorf("it found %q, want %q", said, f.finding)
			}
		})
	}
}

// composeRun runs a program to its end, and returns its output.
func composeRun(dir, program string, args ...string) (string, error) {
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}
