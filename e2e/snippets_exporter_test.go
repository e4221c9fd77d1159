package e2e_test

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// snippetBase is what the documentation's parts of a configuration stand in:
// the app, the stores and the token that they name.
const snippetBase = `
apps: [{name: shop, match: {cmdline: "gunicorn.*shop"}, pools: [{name: main, mysql: main, user: shop, size: 5, max_overflow: 10}],
  sessions: [{redis: cache, prefix: "session:"}], tasks: [{type: rq, redis: cache, queues: [default]}]}]
mysql: [{name: main, dsn: "resp@tcp(127.0.0.1:3306)/", password_file: /etc/resp-exporter/mysql}]
redis: [{name: cache, url: "redis://resp@127.0.0.1:6379/0", password_file: /etc/resp-exporter/redis}]
healing: {mode: dry_run, token_file: /etc/resp-exporter/webhook-token}
`

// exporterSnippet checks a configuration of the exporter, or a part of one,
// with the exporter's own --config.check.
func exporterSnippet(t *testing.T, s snippet) {
	out, err := checkConfig(t, completed(t, s))
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func checkConfig(t *testing.T, text string) (string, error) {
	t.Helper()
	file := write(t, filepath.Join(t.TempDir(), "resp-exporter.yml"), secrets(t, text))
	out, err := exec.CommandContext(t.Context(), binary, "--config.check", "--config.file="+file).CombinedOutput()
	return string(out), err
}

// completed returns a part of a configuration within the rest that it needs. Lists replace
// lists, so that exactly the part of the page is checked.
func completed(t *testing.T, s snippet) string {
	t.Helper()
	var base map[string]any
	var part any
	for text, to := range map[string]any{snippetBase: &base, s.text: &part} {
		if err := yaml.Unmarshal([]byte(text), to); err != nil {
			t.Fatal(err)
		}
	}
	switch kind := yamlKind(t, s); kind {
	case "steps":
		part = map[string]any{"healing": map[string]any{"rules": []any{map[string]any{"name": "snippet", "match": map[string]any{"alertname": "RespPoolLeak"}, "steps": part}}}}
	case "app":
		app := map[string]any{"name": "shop", "match": map[string]any{"cmdline": "x"}}
		maps.Copy(app, part.(map[string]any))
		part = map[string]any{"apps": []any{app}}
	}
	b, err := yaml.Marshal(merged(base, part.(map[string]any)))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// merged returns base with part in it.
func merged(base, part map[string]any) map[string]any {
	out := maps.Clone(base)
	for k, v := range part {
		in, isMap := v.(map[string]any)
		was, wasMap := base[k].(map[string]any)
		if isMap && wasMap {
			v = merged(was, in)
		}
		out[k] = v
	}
	return out
}

// healingMatches returns the names of the alerts that the healing rules of the
// documentation and of the shipped configurations match.
func healingMatches(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, s := range snippets(t) {
		if s.lang == "yaml" && yamlKind(t, s) == "exporter" {
			texts[s.at] = s.text
		}
	}
	for _, file := range []string{"docs/resp-exporter.example.yml", "deploy/compose/exporter/resp-exporter.yml"} {
		b, err := os.ReadFile(filepath.Join("..", file))
		if err != nil {
			t.Fatal(err)
		}
		texts[file] = string(b)
	}
	out := map[string]string{}
	for at, text := range texts {
		var c struct {
			Healing struct {
				Rules []struct{ Match map[string]string }
			}
		}
		if err := yaml.Unmarshal([]byte(text), &c); err != nil {
			t.Fatalf("%s: %v", at, err)
		}
		for _, r := range c.Healing.Rules {
			if name := r.Match["alertname"]; name != "" && !strings.HasPrefix(name, "~") {
				out[name] = at
			}
		}
	}
	return out
}

// TestSnippetsFindFaults checks that a part that the exporter does not accept is found,
// whatever its kind.
func TestSnippetsFindFaults(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"a key":                  "apps:\n  - name: shop\n    math: {cmdline: x}\n",
		"a key of an app":        "pools: [{name: main, mysql: main, usr: shop}]\n",
		"a store":                "sessions: [{redis: cash, prefix: \"session:\"}]\n",
		"an action":              "- action: restart_host\n",
		"an action without caps": "- action: kill_leaked_connections\n  with: {app: shop, pool: main}\n",
		"a mode":                 "healing: {mode: on}\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if out, err := checkConfig(t, completed(t, snippet{at: name, lang: "yaml", text: text})); err == nil {
				t.Errorf("taken: %s", out)
			}
		})
	}
}
