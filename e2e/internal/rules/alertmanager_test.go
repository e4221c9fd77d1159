package rules_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/rules"
)

func TestRoute(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../rules/alertmanager.example.yml")
	if err != nil {
		t.Fatal(err)
	}
	r := rules.Routing{Webhook: "http://127.0.0.1:1/x", TokenFile: "/t", Interval: 2 * time.Second, Repeat: 10 * time.Second}
	out, err := r.Route(text)
	if err != nil {
		t.Fatal(err)
	}
	got := string(out)
	for _, never := range []string{"oncall", "smtp", "web-1", "5m", "12h", "/etc/"} {
		if strings.Contains(withoutComments(got), never) {
			t.Errorf("it still has %q:\n%s", never, got)
		}
	}
	for _, want := range []string{"url: http://127.0.0.1:1/x", "credentials_file: /t", "group_wait: 0s", "group_interval: 2s", "repeat_interval: 10s", "name: people", "inhibit_rules:", "continue: true"} {
		if !strings.Contains(got, want) {
			t.Errorf("it has no %q:\n%s", want, got)
		}
	}
	for name, bad := range map[string]rules.Routing{"no times": {}, "a negative one": {Wait: -1, Interval: 1, Repeat: 1}} {
		if _, err := bad.Route(text); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := r.Route([]byte("a: [")); err == nil {
		t.Error("no YAML: no error")
	}
}

func withoutComments(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		before, _, _ := strings.Cut(line, "#")
		b.WriteString(before + "\n")
	}
	return b.String()
}
