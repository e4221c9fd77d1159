package e2e_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"gopkg.in/yaml.v3"
)

// snippet is one block of code in a page of the documentation.
type snippet struct {
	at   string // file and line
	lang string // as behind the fence
	text string // without the indentation of the fence
}

// fence matches the line that begins a block, with its indentation and language.
var fence = regexp.MustCompile("^( *)```([a-z]*)$")

// pages returns the Markdown files of the repository.
func pages(t *testing.T) (files []string) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && slices.Contains([]string{"node_modules", "build", ".git"}, d.Name()) {
			return fs.SkipDir
		}
		if err == nil && strings.HasSuffix(path, ".md") {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// snippets returns the blocks of code of all pages.
func snippets(t *testing.T) (all []snippet) {
	t.Helper()
	for _, file := range pages(t) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found, err := parseSnippets(file, string(b))
		if err != nil {
			t.Error(err)
		}
		all = append(all, found...)
	}
	return all
}

func parseSnippets(file, text string) (all []snippet, err error) {
	var open *snippet
	var indent string
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimRight(line, "\n")
		switch m := fence.FindStringSubmatch(line); {
		case open == nil && m != nil:
			open, indent = &snippet{at: fmt.Sprintf("%s:%d", strings.TrimPrefix(file, "../"), n), lang: m[2]}, m[1]
		case open == nil && strings.Contains(line, "```"):
			return nil, fmt.Errorf("%s:%d: a fence that is not read: %s", file, n, line)
		case open != nil && line == indent+"```":
			all, open = append(all, *open), nil
		case open != nil:
			open.text += strings.TrimPrefix(line, indent) + "\n"
		}
	}
	if open != nil {
		return nil, fmt.Errorf("%s: a fence without an end", open.at)
	}
	return all, nil
}

// TestSnippets checks every block of code of the documentation with the program that reads
// it. A block of an unknown language, or YAML of an unknown kind, fails because nothing
// checks it.
func TestSnippets(t *testing.T) {
	t.Parallel()
	kinds := map[string]int{}
	for _, s := range snippets(t) {
		kind := s.lang
		if kind == "yaml" {
			kind = yamlKind(t, s)
		}
		kinds[kind]++
		check, ok := snippetChecks[kind]
		if !ok {
			t.Errorf("%s: no check for a block of kind %q", s.at, kind)
			continue
		}
		t.Run(strings.ReplaceAll(s.at, "/", "_"), func(t *testing.T) {
			t.Parallel()
			check(t, s)
		})
	}
	for _, kind := range []string{"alertmanager", "prometheus", "compose", "exporter", "app", "steps", "client", "json", "python"} {
		if kinds[kind] == 0 {
			t.Errorf("no block of kind %q was seen: is the documentation read?", kind)
		}
	}
}

// snippetChecks has a check for each kind. What is for a shell, for SQL or
// Redis servers and for systemd is run by the tests of their topics.
var snippetChecks = map[string]func(*testing.T, snippet){
	"": func(*testing.T, snippet) {}, "ini": func(*testing.T, snippet) {}, "sql": func(*testing.T, snippet) {},
	"alertmanager": alertmanagerSnippet, "prometheus": prometheusSnippet, "compose": composeSnippet,
	"exporter": exporterSnippet, "app": exporterSnippet, "steps": exporterSnippet,
	"kustomization": kustomizationSnippet, "client": clientSnippet, "json": jsonSnippet, "python": pythonSnippet,
}

// clientSnippet checks settings of an HTTP client with the command that takes them.
func clientSnippet(t *testing.T, s snippet) {
	file := write(t, filepath.Join(t.TempDir(), "http.yml"), s.text)
	out, err := exec.Command(binary, "check", "--self", "--url=127.0.0.1:1", "--http.config.file="+file).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "cannot reach the exporter at https://127.0.0.1:1") && !strings.Contains(string(out), "ca.pem") {
		t.Errorf("%s: %v: %s", s.at, err, out)
	}
}

// kustomizationSnippet checks that what a kustomization names in this repository is there.
func kustomizationSnippet(t *testing.T, s snippet) {
	var doc struct{ Components, Resources []string }
	if err := yaml.Unmarshal([]byte(s.text), &doc); err != nil {
		t.Fatal(err)
	}
	for _, name := range append(doc.Components, doc.Resources...) {
		dir, ok := strings.CutPrefix(name, "https://github.com/resp-exporter/resp-exporter//")
		dir, _, _ = strings.Cut(dir, "?ref=")
		if _, err := os.Stat(filepath.Join("..", dir, "kustomization.yaml")); !ok || err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// yamlKind returns what a block of YAML configures, by its keys.
func yamlKind(t *testing.T, s snippet) string {
	t.Helper()
	var doc any
	if err := yaml.Unmarshal([]byte(s.text), &doc); err != nil {
		t.Errorf("%s: %v", s.at, err)
		return ""
	}
	if list, ok := doc.([]any); ok && len(list) > 0 {
		if step, ok := list[0].(map[string]any); ok && step["action"] != nil {
			return "steps"
		}
	}
	keys, _ := doc.(map[string]any)
	for _, k := range []struct{ kind, keys string }{
		{"alertmanager", "route receivers inhibit_rules"}, {"prometheus", "scrape_configs rule_files alerting"}, {"compose", "services"},
		{"kustomization", "components"},
		{"app", "pools sessions tasks mute"}, {"client", "basic_auth tls_config"},
		{"exporter", "apps mysql redis statsd thresholds healing monitoring_interval"},
	} {
		if slices.ContainsFunc(strings.Fields(k.keys), func(name string) bool { return keys[name] != nil }) {
			return k.kind
		}
	}
	return fmt.Sprintf("YAML with the keys %v", keys)
}

// secrets puts a file of ours in the place of each secret that a text names.
func secrets(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	return regexp.MustCompile(`/(?:etc/[a-z-]+|run/secrets)/([a-z_-]+)`).ReplaceAllStringFunc(text, func(path string) string {
		file := filepath.Join(dir, filepath.Base(path))
		if err := os.WriteFile(file, []byte("0123456789abcdef0123456789abcdef\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	})
}

func prometheusSnippet(t *testing.T, s snippet) {
	dir := t.TempDir()
	tool(t, dir, "promtool", "check", "config", "--syntax-only", write(t, filepath.Join(dir, "prometheus.yml"), secrets(t, s.text)))
}

func composeSnippet(t *testing.T, s snippet) {
	dir := t.TempDir()
	o, err := cli.NewProjectOptions([]string{write(t, filepath.Join(dir, "compose.yml"), s.text)}, cli.WithWorkingDirectory(dir), cli.WithName("snippet"))
	if err != nil {
		t.Fatal(err)
	}
	project, err := o.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range project.ServiceNames() { // what is shared must be there
		for _, shared := range []string{project.Services[name].Pid, project.Services[name].NetworkMode} {
			if other, ok := strings.CutPrefix(shared, "service:"); ok && !slices.Contains(project.ServiceNames(), other) {
				t.Errorf("service %s shares with %s, which is not there", name, other)
			}
		}
	}
}

// jsonSnippet checks JSON, and that an alert in it is one that is shipped.
func jsonSnippet(t *testing.T, s snippet) {
	var doc struct{ Alert struct{ Name string } }
	if err := json.Unmarshal([]byte(s.text), &doc); err != nil {
		t.Fatal(err)
	}
	if _, ok := shippedAlerts(t)[doc.Alert.Name]; doc.Alert.Name != "" && !ok {
		t.Errorf("no alert %s is shipped", doc.Alert.Name)
	}
}

func pythonSnippet(t *testing.T, s snippet) {
	tool(t, "", python, "-c", "import sys; compile(sys.argv[1], 'snippet', 'exec')", s.text)
}

// shippedAlerts returns the labels of each alert of the rules, by name; an
// alert has several where it is a warning and critical.
func shippedAlerts(t *testing.T) map[string][]map[string]string {
	t.Helper()
	out := map[string][]map[string]string{}
	_, alerts := shipped(t)
	for _, a := range alerts {
		out[a.Alert] = append(out[a.Alert], a.Labels)
	}
	return out
}

func TestParseSnippets(t *testing.T) {
	t.Parallel()
	got, err := parseSnippets("a.md", "x\n```\none\n```\n\n   ```yaml\n   a:\n     b\n   ```\n")
	if err != nil || len(got) != 2 || got[0] != (snippet{"a.md:2", "", "one\n"}) || got[1] != (snippet{"a.md:6", "yaml", "a:\n  b\n"}) {
		t.Errorf("%+v, %v", got, err)
	}
	for name, text := range map[string]string{"no end": "```\nx\n", "more words": "```yaml title\n```\n", "a tab": "\t```\nx\n```\n"} {
		if _, err := parseSnippets("a.md", text); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
